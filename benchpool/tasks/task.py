"""What a task of lm-evaluation-harness says, checked key by key.

What is not understood is refused by its key, file and line: a key that was passed over in silence
would make another benchmark under the same name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from benchpool.errors import DatasetError
from benchpool.evaluation.compiled import MAX_TOKENS, METRICS, Kind
from benchpool.evaluation.text_scorers import Filter, Metric, check_filter, check_metric
from benchpool.tasks.task_file import TaskFile
from benchpool.tasks.yaml_source import Function

KINDS: Final[dict[str, Kind]] = {
    "multiple_choice": "choices",
    "generate_until": "generate",
    "loglikelihood": "likelihood",
}
DEFAULT_TOKENS: Final = 256
MAX_SHOTS: Final = 1000
Sampler = Literal["default", "first_n"]

_INFORMATION = (
    "task",
    "task_alias",
    "tag",
    "group",
    "group_alias",
    "dataset_path",
    "dataset_name",
    "dataset_kwargs",
    "training_split",
    "validation_split",
    "test_split",
    "should_decontaminate",
    "doc_to_decontamination_query",
    "metadata",
)
_LAZY = ("metric_list", "doc_to_decontamination_query")
"""Keys that may name code, as long as it is not needed."""
_CODE = (
    "process_docs",
    "doc_to_text",
    "doc_to_choice",
    "doc_to_target",
    "description",
    "gen_prefix",
    "fewshot_config",
)
"""Keys whose code makes requests; none of it scores."""
_PROMPTS = (
    "doc_to_text",
    "doc_to_choice",
    "doc_to_target",
    "description",
    "gen_prefix",
    "target_delimiter",
    "fewshot_delimiter",
)
_SETTINGS = (
    "output_type",
    "fewshot_split",
    "num_fewshot",
    "fewshot_config",
    "generation_kwargs",
    "filter_list",
    "metric_list",
    "repeats",
    "unsafe_code",
)
_OVERRIDES = (
    "doc_to_text",
    "doc_to_choice",
    "doc_to_target",
    "gen_prefix",
    "target_delimiter",
    "fewshot_delimiter",
)
_DEFAULT_METRICS: Final[dict[Kind, tuple[str, ...]]] = {
    "choices": ("acc", "acc_norm"),
    "generate": ("exact_match",),
    "likelihood": ("acc",),
}


@dataclass(frozen=True)
class FewshotSettings:
    """Which exemplars stand before a question.

    Args:
        count: how many.
        sampler: the first of them, or drawn anew for each question as lm-evaluation-harness does.
        split: the split that they come from; empty if `samples` are given.
        samples: exemplars that the task itself holds.
        without_own: whether a question is taken out of its own exemplars.
        overrides: keys of the task that are different for exemplars.
    """

    count: int
    sampler: Sampler
    split: str
    samples: tuple[dict[str, Any], ...]
    without_own: bool
    overrides: dict[str, Any]


class Task:
    """A task whose every key is understood.

    Args:
        file: the task as it is written.
        shots: how many exemplars stand before a question; None leaves it to the task.
        metrics: the metrics that are taken, where the task names more; none for all.
        code: whether the task's prompts and records may be made by code, which is run elsewhere.

    Raises:
        ConfigError: a key that is not understood, or a value that it cannot have.
    """

    def __init__(
        self,
        file: TaskFile,
        *,
        shots: int | None = None,
        metrics: Sequence[str] = (),
        code: bool = False,
    ) -> None:
        self.file = file
        self._code = code
        self._refuse_what_is_unknown()
        self.name = self._text("task") or file.path.stem
        self.kind = self._kind()
        self.split = self._text("test_split") or self._text("validation_split")
        for key in ("doc_to_text", "doc_to_target"):
            if file.get(key) is None:
                raise file.error(f"{key} is missing", key)
        if self.kind == "choices" and file.get("doc_to_choice") is None:
            raise file.error("doc_to_choice is missing", "doc_to_choice")
        self.target_delimiter = self._text("target_delimiter", " ")
        self.fewshot_delimiter = self._text("fewshot_delimiter", "\n\n")
        self.fewshot = self._fewshot(shots)
        self.stop, self.max_tokens = self._generation()
        self.metrics = self._metrics(metrics)
        self.filters = self._filters()

    @property
    def version(self) -> str:
        """The version in the task's metadata, as text."""
        metadata = self.file.get("metadata", {})
        version = metadata.get("version") if isinstance(metadata, dict) else None
        return "" if version is None else str(version)[:100]

    @property
    def source(self) -> str:
        """The data set that the task names."""
        parts = (self.file.get("dataset_path"), self.file.get("dataset_name"))
        return " ".join(str(part)[:200] for part in parts if isinstance(part, str))

    def _refuse_what_is_unknown(self) -> None:
        for key in self.file.keys:
            value = self.file.get(key)
            if value is None:
                continue
            allowed = (*_LAZY, *_CODE) if self._code else _LAZY
            function = None if key in allowed else _function_in(value)
            if function is not None:
                raise self.file.error(
                    f"{key} is code (!function {function}), which is not run", key
                )
            if key not in (*_INFORMATION, *_PROMPTS, *_SETTINGS, *(_CODE if self._code else ())):
                raise self.file.error(f"the key {key} is not supported", key)
        if self.file.get("repeats", 1) != 1:
            raise self.file.error("repeats is 1: a question is asked once", "repeats")
        if self.file.get("unsafe_code", False) is not False:
            raise self.file.error("unsafe_code is not run", "unsafe_code")

    def _text(self, key: str, default: str = "") -> str:
        value = self.file.get(key, default)
        if not isinstance(value, str):
            raise self.file.error(f"{key} is a text, not {_shown(value)}", key)
        return value

    def _kind(self) -> Kind:
        kind = self._text("output_type", "generate_until")
        if kind not in KINDS:
            known = ", ".join(KINDS)
            raise self.file.error(f"output_type {kind} is not one of {known}", "output_type")
        return KINDS[kind]

    def _fewshot(self, shots: int | None) -> FewshotSettings:
        file = self.file
        config = file.get("fewshot_config", {})
        if not isinstance(config, dict):
            raise file.error("fewshot_config is a mapping", "fewshot_config")
        for key, value in config.items():
            known = ("sampler", "split", "samples", *_OVERRIDES)
            made = self._code and key == "process_docs"
            if value is not None and key not in known and not made:
                raise file.error(
                    f"the key {key} of fewshot_config is not supported", "fewshot_config", str(key)
                )
        sampler: Any = config.get("sampler") or "default"
        if sampler not in ("default", "first_n"):
            raise file.error(
                f"the sampler {_shown(sampler)} is not one of default, first_n",
                "fewshot_config",
                "sampler",
            )
        count: Any = file.get("num_fewshot", 0) if shots is None else shots
        if type(count) is not int or not 0 <= count <= MAX_SHOTS:
            raise file.error(f"num_fewshot is a number from 0 to {MAX_SHOTS}", "num_fewshot")
        split = config.get("split") or self._text("fewshot_split")
        samples = config.get("samples") or []
        samples = [{}] if isinstance(samples, Function) else samples
        if not isinstance(split, str):
            raise file.error("split is a text", "fewshot_config", "split")
        if not isinstance(samples, list) or not all(isinstance(each, dict) for each in samples):
            raise file.error("samples is a list of records", "fewshot_config", "samples")
        named = split
        if not split and not samples:
            # The order in which lm-evaluation-harness looks for exemplars.
            split = (
                self._text("training_split")
                or self._text("validation_split")
                or self._text("test_split")
            )
        return FewshotSettings(
            count=count,
            sampler=sampler,
            split=split,
            samples=() if split else tuple(samples),
            without_own=named == self._text("test_split"),
            overrides={key: config[key] for key in _OVERRIDES if config.get(key) is not None},
        )

    def _generation(self) -> tuple[tuple[str, ...], int]:
        settings = self.file.get("generation_kwargs", {})
        key = "generation_kwargs"
        if not isinstance(settings, dict):
            raise self.file.error(f"{key} is a mapping", key)
        if settings and self.kind != "generate":
            raise self.file.error(f"{key} goes with output_type generate_until", key)
        for name, value in settings.items():
            allowed = {
                "until": True,
                "max_gen_toks": True,
                "do_sample": value is False or value is None,
                "temperature": not value and not isinstance(value, str),
            }
            if name not in allowed:
                raise self.file.error(f"the key {name} of {key} is not supported", key, str(name))
            if not allowed[name]:
                raise self.file.error(
                    f"{name} is {_shown(value)}: texts are generated greedily, not sampled",
                    key,
                    name,
                )
        until = settings.get("until", [self.fewshot_delimiter])
        until = [until] if isinstance(until, str) else until or []
        if not isinstance(until, list) or not all(isinstance(x, str) and x for x in until):
            raise self.file.error("until is a list of texts that end the answer", key, "until")
        tokens = settings.get("max_gen_toks", DEFAULT_TOKENS)
        if type(tokens) is not int or not 1 <= tokens <= MAX_TOKENS:
            raise self.file.error(
                f"max_gen_toks is a number from 1 to {MAX_TOKENS:,}", key, "max_gen_toks"
            )
        return tuple(until), tokens

    def _metrics(self, wanted: Sequence[str]) -> tuple[str | Metric, ...]:
        key = "metric_list"
        listed = self.file.get(key, [{"metric": name} for name in _DEFAULT_METRICS[self.kind]])
        if not isinstance(listed, list) or not listed:
            raise self.file.error(f"{key} is a list: - metric: acc", key)
        metrics: dict[str, str | Metric] = {}
        for number, entry in enumerate(listed):
            name = entry.get("metric") if isinstance(entry, dict) else None
            if not isinstance(name, str):
                raise self.file.error(f"an entry of {key} begins with metric: NAME", key, number)
            if not wanted or name in wanted:
                metrics[name] = self._metric(name, entry, number)
        missing = [name for name in wanted if name not in metrics]
        if missing:
            raise self.file.error(f"the metric {missing[0]} is not in {key}", key)
        return tuple(metrics[name] for name in wanted or metrics)

    def _metric(self, name: str, entry: dict[str, Any], number: int) -> str | Metric:
        key, known = "metric_list", METRICS[self.kind]
        if name not in known:
            raise self.file.error(
                f"the metric {name} is not supported for {self.kind}; there are {', '.join(known)}:"
                f" take some of the task's with --metric {known[0]}",
                key,
                number,
                "metric",
            )
        fixed = {
            "metric": (name,),
            "aggregation": ("mean", name),
            "higher_is_better": (True,),
            "weight_by_size": (False, True),  # of groups of tasks
            "hf_evaluate": (False, True) if name == "exact_match" else (False,),
        }
        options = {}
        for option, value in entry.items():
            if option not in fixed:
                options[option] = value
            elif value is not None and value not in fixed[option]:
                raise self.file.error(
                    f"{option} {_shown(value)} of the metric {name} is not supported",
                    key,
                    number,
                    str(option),
                )
        if not options:
            return name
        try:
            metric = msgspec.convert({"name": name, **options}, Metric)
            check_metric(metric)
        except (msgspec.ValidationError, DatasetError, TypeError) as error:
            raise self.file.error(f"the metric {name}: {error}", key, number) from None
        return metric

    def _filters(self) -> tuple[Filter, ...]:
        key = "filter_list"
        listed = self.file.get(key, [])
        if not isinstance(listed, list):
            raise self.file.error(f"{key} is a list of filters", key)
        if self.kind != "generate":
            if listed:
                raise self.file.error(f"{key} goes with output_type generate_until", key)
            return ()
        filters = []
        for number, entry in enumerate(listed):
            try:
                each = msgspec.convert(entry, Filter)
                check_filter(each)
            except (msgspec.ValidationError, DatasetError) as error:
                raise self.file.error(
                    f"filter {number + 1} is not supported: {error}", key, number
                ) from None
            filters.append(each)
        return tuple(filters)


def _function_in(value: Any) -> str | None:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Function):
            return each.name
        if isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
    return None


def _shown(value: Any) -> str:
    return repr(value)[:60]
