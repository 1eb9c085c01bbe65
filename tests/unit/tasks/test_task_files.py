from __future__ import annotations

from typing import Any

import pytest

from benchpool.errors import ConfigError
from benchpool.tasks.task import Task
from benchpool.tasks.task_file import TaskFile
from tests.unit.tasks.conftest import TASK

GENERATE = 'doc_to_text: "{{q}}"\ndoc_to_target: "{{a}}"\noutput_type: generate_until\n'


def load(bench: Any, text: str, **options: Any) -> Task:
    return Task(TaskFile(bench.write("task.yaml", text)), **options)


def test_a_task_takes_what_it_includes_and_says_it_better(bench: Any) -> None:
    bench.write("base.yaml", TASK + "description: base\nmetadata: {version: 1.0}\n")
    task = load(bench, "include: base.yaml\ntask: other\ndescription: mine\n")
    assert (task.name, task.version) == ("other", "1.0")
    assert task.file.get("description") == "mine"
    assert task.file.place("doc_to_text").endswith("base.yaml:4")
    alone = load(bench, TASK)
    assert alone.file.sha256 != task.file.sha256


def test_a_function_that_is_replaced_is_none(bench: Any) -> None:
    bench.write("base.yaml", TASK + "process_docs: !function utils.process\n")
    assert load(bench, "include: base.yaml\nprocess_docs: null\n").name == "mine"
    with pytest.raises(ConfigError, match=r"base\.yaml:7: process_docs is code \(!function utils"):
        load(bench, "include: base.yaml\n")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"task.yaml": "include: task.yaml"}, "task.yaml:1: include: .*task.yaml includes itself"),
        (
            {"task.yaml": "a: 1\ninclude: b.yaml", "b.yaml": "include: task.yaml"},
            "b.yaml:1: include: .*task.yaml includes itself",
        ),
        (
            {"task.yaml": "task: x\ninclude: none.yaml"},
            "task.yaml:2: include: .*none.yaml is no file",
        ),
        ({"task.yaml": "include: /etc/passwd"}, "task.yaml:1: include names files beside"),
        ({"task.yaml": "include: [1]"}, "task.yaml:1: include names files beside"),
        ({"task.yaml": ""}, "task.yaml: a task is a mapping"),
        ({"task.yaml": "- 1"}, "task.yaml: a task is a mapping"),
        ({"task.yaml": "task: [1"}, "task.yaml:1: "),
        ({"task.yaml": "task: a\ntask: b"}, "task.yaml:2: 'task' stands here twice"),
        ({"task.yaml": "task: !!python/object/apply:os.system [ls]"}, "task.yaml:1: could not"),
        ({"task.yaml": "a: &a [1,1]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: &d [*d]"}, "task.yaml:4: "),
        ({"task.yaml": "a: " + "[" * 1000}, "task.yaml:1: brackets are nested too deeply"),
        ({"task.yaml": "\n".join(" " * n + "a:" for n in range(1000))}, "nested too deeply"),
        ({"task.yaml": b"task: \xff"}, "task.yaml is not UTF-8 text"),
        ({"task.yaml": b"a" * (1 << 21)}, "more than 1024 KiB"),
        ({"task.yaml": "1: 2"}, "a key is a word, not 1"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(bench: Any, files: Any, said: str) -> None:
    for name, text in files.items():
        bench.write(name, text)
    with pytest.raises(ConfigError, match=said) as caught:
        TaskFile(bench.folder / "task.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("process_docs: !function utils.f", "process_docs is code (!function utils.f)"),
        ("doc_to_decontamination: 1", "the key doc_to_decontamination is not supported"),
        ("doc_to_image: x", "the key doc_to_image is not supported"),
        ("process_results: x", "the key process_results is not supported"),
        ("use_prompt: x", "the key use_prompt is not supported"),
        ("custom_dataset: !function x.y", "custom_dataset is code"),
        ("repeats: 3", "repeats is 1"),
        ("unsafe_code: true", "unsafe_code is not run"),
        ("num_fewshot: many", "num_fewshot is a number"),
        ("num_fewshot: -1", "num_fewshot is a number"),
        ("fewshot_config: {sampler: balanced}", "the sampler 'balanced' is not one of"),
        ("fewshot_config: {fewshot_indices: [1]}", "the key fewshot_indices of fewshot_config"),
        ("fewshot_config: {samples: !function u.s}", "fewshot_config is code (!function u.s)"),
        ("fewshot_config: {samples: 3}", "samples is a list of records"),
        ("target_delimiter: 3", "target_delimiter is a text, not 3"),
        (
            "generation_kwargs: {until: [a]}",
            "generation_kwargs goes with output_type generate_until",
        ),
        (
            "filter_list: [{name: a, filter: []}]",
            "filter_list goes with output_type generate_until",
        ),
        ("metric_list: acc", "metric_list is a list"),
        ("metric_list: [{metric: mcc}]", "the metric mcc is not supported for choices"),
        ("metric_list: [{metric: acc, aggregation: median}]", "aggregation 'median' of the metric"),
        (
            "metric_list: [{metric: acc, ignore_case: true}]",
            "the metric acc: the metric acc has no options",
        ),
        ("metric_list: [{metric: acc, higher_is_better: false}]", "higher_is_better False"),
        (
            "metric_list: [{metric: !function a.b}]",
            "an entry of metric_list begins with metric: NAME",
        ),
    ],
)
def test_what_is_not_understood_is_refused_by_its_line(bench: Any, line: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(bench, TASK + line + "\n")
    assert f"task.yaml:7: {said}" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("generation_kwargs: {do_sample: true}", "do_sample is True: texts are generated greedily"),
        (
            "generation_kwargs: {temperature: 0.7}",
            "temperature is 0.7: texts are generated greedily",
        ),
        ("generation_kwargs: {top_p: 0.7}", "the key top_p of generation_kwargs"),
        ("generation_kwargs: {until: 3}", "until is a list of texts"),
        ("generation_kwargs: {until: ['']}", "until is a list of texts"),
        ("generation_kwargs: {max_gen_toks: 0}", "max_gen_toks is a number from 1"),
        (
            "filter_list: [{name: a, filter: [{function: multi_choice_regex}]}]",
            "filter 1 is not supported: Invalid enum value 'multi_choice_regex'",
        ),
        (
            "filter_list: [{name: a, filter: [{function: take_first_k, k: 3}]}]",
            "filter 1 is not supported",
        ),
        (
            "filter_list: [{name: a, filter: [{function: map, mapping_dict: {a: 1}}]}]",
            "filter 1 is not supported",
        ),
        ("filter_list: [{name: a, filter: [{function: regex, regex_pattern: '('}]}]", "filter 1"),
        ("metric_list: [{metric: bleu}]", "the metric bleu is not supported for generate"),
        ("metric_list: [{metric: exact_match, ignore: 1}]", "the metric exact_match: "),
        (
            "metric_list: [{metric: exact_match, regexes_to_ignore: ['(']}]",
            "the metric exact_match: ",
        ),
    ],
)
def test_what_samples_or_cannot_be_scored_is_refused(bench: Any, line: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(bench, f"{GENERATE}{line}\n")
    assert f"task.yaml:4: {said}" in str(caught.value)


def test_the_line_is_that_of_the_part(bench: Any) -> None:
    text = TASK + "metric_list:\n  - metric: acc\n  - metric: mcc\n"
    with pytest.raises(ConfigError, match=r"task\.yaml:9: the metric mcc"):
        load(bench, text)
    assert load(bench, text, metrics=["acc"]).metrics == ("acc",)
    with pytest.raises(ConfigError, match="the metric f1 is not in metric_list"):
        load(bench, text, metrics=["f1"])


@pytest.mark.parametrize("key", ["doc_to_text", "doc_to_choice", "doc_to_target"])
def test_a_key_that_is_missing_is_named(bench: Any, key: str) -> None:
    lines = [line for line in TASK.splitlines() if not line.startswith(key)]
    with pytest.raises(ConfigError, match=rf"task\.yaml: {key} is missing"):
        load(bench, "\n".join(lines))


def test_what_groups_weigh_by_is_passed_over(bench: Any) -> None:
    text = (
        TASK + "group: g\nmetric_list: [{metric: acc, aggregation: mean, weight_by_size: true}]\n"
    )
    assert load(bench, text).metrics == ("acc",)


def test_what_generates_has_the_harness_defaults(bench: Any) -> None:
    task = load(bench, GENERATE)
    assert (task.stop, task.max_tokens, task.metrics) == (("\n\n",), 256, ("exact_match",))
    task = load(bench, GENERATE + "generation_kwargs: {until: x, temperature: 0.0}\n")
    assert task.stop == ("x",)
