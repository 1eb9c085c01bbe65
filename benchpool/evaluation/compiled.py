"""Compiled data sets: finished requests with what is right, in JSON Lines.

The first line is the header, every further one a question. Neither YAML nor a template is needed
to ask it or to score it, and the SHA-256 of the bytes is what pools, logs and audits bind to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from benchpool.errors import DatasetError
from benchpool.evaluation.text_scorers import Filter, Metric, check_filter, check_metric

FORMAT: Final = "benchpool-dataset/1"
MAX_CHOICES: Final = 256
MAX_TOKENS: Final = 32_768
"""Tokens that a question may ask to be generated at most."""
MAX_STOPS: Final = 32
MAX_STOP_CHARACTERS: Final = 256
MAX_LINE_BYTES: Final = 16 << 20
MAX_BYTES: Final = 1 << 29
MAX_QUESTIONS: Final = 1_000_000

Kind = Literal["choices", "generate", "likelihood"]

METHODS: Final[dict[Kind, str]] = {
    "choices": "cloze",
    "generate": "generate",
    "likelihood": "likelihood",
}
"""The protocol method that a kind of questions is compiled for, and asked by if none is named."""
LETTERS: Final = "letters"
"""The other method of `choices`: they are listed, and the model names one by its letter."""
MOST_LETTERS: Final = 26
METRICS: Final[dict[Kind, tuple[str, ...]]] = {
    "choices": ("acc", "acc_norm"),
    "generate": ("exact_match", "f1"),
    "likelihood": ("acc",),
}

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Hash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class SourceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that questions were compiled from."""

    file: str
    sha256: _Hash


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was compiled: the hash of the task's files, empty without any, and the data."""

    task: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")]
    data: tuple[SourceFile, ...]


class Unscored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question of the data, counted from 1, that was left out, and why."""

    item: Annotated[int, msgspec.Meta(ge=1)]
    reason: str


class Header(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """What the questions are, where they come from, and how they are scored."""

    format: Literal["benchpool-dataset/1"]
    name: _Text
    title: str
    source: str
    license: str
    version: str
    compiled: Origin
    kind: Kind
    protocol: _Text
    """The method that finished the requests, such as ``cloze``."""
    metrics: Annotated[tuple[str | Metric, ...], msgspec.Meta(min_length=1)]
    """The first is the one that pools rank by."""
    filters: tuple[Filter, ...]
    """The first is the one that pools rank by; without one, replies are taken as they are."""
    unscored: tuple[Unscored, ...]
    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_QUESTIONS)]
    chat: bool = False
    """Of ``generate``: a prompt is the user's turn in the model's chat template."""
    system: str = ""
    """What the chat template's system turn says."""

    @property
    def scorers(self) -> tuple[Metric, ...]:
        """The metrics with their options; a plain name has none."""
        return tuple(
            msgspec.convert({"name": each}, Metric) if isinstance(each, str) else each
            for each in self.metrics
        )

    @property
    def method(self) -> str:
        """The protocol method that these questions are compiled for."""
        return METHODS[self.kind]

    def methods(self, most_choices: int) -> tuple[str, ...]:
        """Return the protocol methods that these questions can be asked by; the first is `method`.

        Args:
            most_choices: the most that a question has.
        """
        lettered = self.kind == "choices" and most_choices <= MOST_LETTERS
        return (self.method, LETTERS) if lettered else (self.method,)


class ChoicesQuestion(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """Which continuation is the likeliest."""

    prompt: str
    choices: Annotated[tuple[_Text, ...], msgspec.Meta(min_length=2, max_length=MAX_CHOICES)]
    """Continuations, byte for byte as they are asked."""
    texts: tuple[str, ...]
    """What ``acc_norm`` divides by, by their length in characters: one a choice."""
    gold: Annotated[tuple[int, ...], msgspec.Meta(min_length=1)]
    """The right choices, counted from 1."""
    leads: tuple[str, ...] = ()
    """What stands between the prompt and each choice, where the choices differ in what precedes
    the text that is asked, as in WinoGrande; none elsewhere."""
    id: str = ""
    context: str = ""
    question: str = ""


class GenerateQuestion(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """What a model writes after a prompt, greedily."""

    prompt: str
    stop: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_STOP_CHARACTERS)], ...],
        msgspec.Meta(max_length=MAX_STOPS),
    ]
    """Strings that end the text, and are cut off."""
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=MAX_TOKENS)]
    targets: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    id: str = ""
    context: str = ""
    question: str = ""


class LikelihoodQuestion(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """Whether one continuation is what the model would write."""

    prompt: str
    choices: Annotated[tuple[_Text, ...], msgspec.Meta(min_length=1, max_length=1)]
    targets: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    id: str = ""
    context: str = ""
    question: str = ""


Question = ChoicesQuestion | GenerateQuestion | LikelihoodQuestion

QUESTIONS: Final[dict[Kind, type[Question]]] = {
    "choices": ChoicesQuestion,
    "generate": GenerateQuestion,
    "likelihood": LikelihoodQuestion,
}


class CompiledDataset(NamedTuple):
    """A header and its questions, in the order of the data."""

    header: Header
    questions: tuple[Question, ...]


def is_compiled(data: bytes) -> bool:
    """Whether bytes begin as a compiled data set does, in its canonical form."""
    return data.startswith(b'{"format":"benchpool-dataset/')


def read_compiled(data: bytes, name: str) -> CompiledDataset:
    """Read a compiled data set; all of it, or nothing.

    Args:
        data: The whole file.
        name: What errors call it.

    Raises:
        DatasetError: Not a compiled data set, or a wrong one; names the file and line.
    """
    if len(data) > MAX_BYTES:
        raise DatasetError(f"has {len(data)} bytes; at most {MAX_BYTES} can be read", path=name)
    lines = _lines(data, name)
    _, first = next(lines, (1, b""))
    if not first:
        raise DatasetError("is empty; a compiled data set begins with its header", path=name)
    header = read_header(first, name)
    decode = msgspec.json.Decoder(QUESTIONS[header.kind]).decode
    normed = any(each.name == "acc_norm" for each in header.scorers)
    questions: list[Question] = []
    for number, line in islice(lines, header.count + 1):
        try:
            question: Question = decode(line)
            _check_question(question, normed=normed)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, DatasetError) as error:
            raise DatasetError(f"is no question: {error}", path=name, line=number) from None
        questions.append(question)
    if len(questions) != header.count:
        more = "more" if len(questions) > header.count else str(len(questions))
        raise DatasetError(
            f"holds {more} questions, and its header tells of {header.count}; compile it again",
            path=name,
            line=1,
        )
    return CompiledDataset(header, tuple(questions))


def read_header(line: bytes, name: str) -> Header:
    """Read the first line of a compiled data set.

    Raises:
        DatasetError: Not a header, or one that asks for what cannot be scored.
    """
    try:
        header = msgspec.json.decode(line, type=Header)
        _check_header(header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, DatasetError) as error:
        raise DatasetError(
            f"is no header of a compiled data set: {error}", path=name, line=1
        ) from None
    return header


def write_compiled(header: Header, questions: Iterable[Question]) -> bytes:
    """Write a data set in its canonical form: equal questions give equal bytes.

    Raises:
        DatasetError: Questions that ``read_compiled`` would refuse.
    """
    encode = msgspec.json.encode
    data = b"".join(encode(each) + b"\n" for each in (header, *questions))
    read_compiled(data, header.name)
    return data


def led_choices(question: ChoicesQuestion) -> tuple[str, ...]:
    """Return the choices, each after its lead if it has one."""
    if not question.leads:
        return question.choices
    pairs = zip(question.leads, question.choices, strict=True)
    return tuple(f"{lead}{choice}" for lead, choice in pairs)


def most_choices(questions: Iterable[Question]) -> int:
    """Return how many choices the question has that has the most; 0 without choices."""
    of_choices = (len(each.choices) for each in questions if isinstance(each, ChoicesQuestion))
    return max(of_choices, default=0)


def chance(questions: Iterable[Question]) -> Fraction:
    """Return the share of answers that are right if choices are drawn by lot, exactly.

    The mean of right choices over choices; nobody writes a text or its likeliest word by chance.
    """
    counted, total = 0, Fraction()
    shares: dict[tuple[int, int], int] = {}
    for question in questions:
        counted += 1
        if isinstance(question, ChoicesQuestion):
            key = len(question.gold), len(question.choices)
            shares[key] = shares.get(key, 0) + 1
    for (right, choices), times in shares.items():
        total += Fraction(right * times, choices)
    return total / counted if counted else total


def _lines(data: bytes, name: str) -> Iterator[tuple[int, bytes]]:
    # Only b"\n" ends a line, and lines are cut out one at a time: a file may have a gigabyte.
    start = number = 0
    while start < len(data):
        number += 1
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        if end - start > MAX_LINE_BYTES:
            raise DatasetError(f"has more than {MAX_LINE_BYTES >> 20} MiB", path=name, line=number)
        line = data[start:end]
        if not line.strip():
            raise DatasetError("is an empty line", path=name, line=number)
        yield number, line
        start = end + 1


def _check_header(header: Header) -> None:
    names = []
    for metric in header.metrics:
        name = metric if isinstance(metric, str) else metric.name
        if name not in METRICS[header.kind]:
            raise DatasetError(
                f"no metric of {header.kind}: {name!r}; there are {', '.join(METRICS[header.kind])}"
            )
        names.append(name)
    if len(set(names)) != len(names):
        raise DatasetError(f"a metric stands twice among {', '.join(names)}")
    for scorer in header.scorers:
        check_metric(scorer)
    for each in header.filters:
        check_filter(each)
    if header.kind != "generate" and (header.filters or header.chat):
        raise DatasetError("`filters` and `chat` are for the kind `generate`")
    if header.system and not header.chat:
        raise DatasetError("`system` goes with `chat`")


def _check_question(question: Question, *, normed: bool) -> None:
    if not isinstance(question, ChoicesQuestion):
        return
    if len(question.texts) != len(question.choices):
        raise DatasetError(f"{len(question.texts)} texts stand for {len(question.choices)} choices")
    if question.leads and len(question.leads) != len(question.choices):
        raise DatasetError(f"{len(question.leads)} leads stand for {len(question.choices)} choices")
    if normed and not all(question.texts):
        raise DatasetError("an empty text has no likelihood per character (`acc_norm`)")
    if len(set(question.gold)) != len(question.gold):
        raise DatasetError("a right choice is named twice")
    if not all(1 <= gold <= len(question.choices) for gold in question.gold):
        raise DatasetError(
            f"the right choice must be 1 to {len(question.choices)}, not"
            f" {', '.join(map(str, question.gold))}"
        )
