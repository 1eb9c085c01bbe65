"""A task and its data become a data set of finished requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchpool.errors import ConfigError, DatasetError
from benchpool.evaluation.compiled import (
    FORMAT,
    MAX_QUESTIONS,
    METHODS,
    Header,
    Origin,
    Question,
    SourceFile,
    Unscored,
)
from benchpool.tasks.fewshot import Exemplar, Exemplars
from benchpool.tasks.records import DataFile, Record
from benchpool.tasks.requests import CannotScore, Requests
from benchpool.tasks.task import Task
from benchpool.tasks.task_file import TaskFile

MAX_CHARACTERS = 1 << 28
"""The most that the prompts and choices of a data set may have in all."""


class Bounds:
    """Counts questions and their characters, of which a data set may have so many."""

    def __init__(self) -> None:
        self._questions = self._characters = 0

    def add(self, record: Record, texts: Iterable[str]) -> None:
        """Count a question with its texts. Raises: DatasetError if these are too many."""
        self._questions += 1
        self._characters += sum(map(len, texts))
        if self._questions > MAX_QUESTIONS or self._characters > MAX_CHARACTERS:
            raise record.error(
                f"these are more than {MAX_QUESTIONS:,} questions or {MAX_CHARACTERS:,} characters;"
                " take the first ones with --limit"
            )


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="task"):
    """What is to be compiled.

    Args:
        task: the YAML file.
        data: data files, each with the split that it is; empty for the split that is asked.
        limit: how many questions are taken at most, from the first on.
        shots: how many exemplars stand before a question; None leaves it to the task.
        metrics: which of the task's metrics are taken; none for all.
        leave_out: leave out questions without an answer that could be right, and say so.
        name: the name of the data set; empty for the task's, and so are the further ones.
        title: what people call it.
        license: under which it may be used.
        source: where it comes from.
    """

    task: str
    data: tuple[tuple[str, str], ...]
    limit: int | None = None
    shots: int | None = None
    metrics: tuple[str, ...] = ()
    leave_out: bool = False
    name: str = ""
    title: str = ""
    license: str = ""
    source: str = ""


class Compiled(NamedTuple):
    """A header with its questions."""

    header: Header
    questions: list[Question]


def compile_task(job: Job, began: Callable[[str], None]) -> Compiled:
    """Compile a task with its data.

    Args:
        job: what is to be compiled.
        began: is told where each record stands before it is looked at.

    Raises:
        ConfigError: the task cannot be compiled; names the file and line.
        DatasetError: the data cannot be read, or does not go with the task; names the line.
        PrerequisiteError: the data is columnar, and pyarrow is not installed.
    """
    began(job.task)
    task = Task(TaskFile(Path(job.task)), shots=job.shots, metrics=job.metrics)
    files = Files.of(task, job)
    exemplars = Exemplars(task.fewshot, list(files.exemplars(task)))
    requests: Requests | None = None

    def make(record: Record) -> Question:
        nonlocal requests
        began(f"{record.path}, {record.place}")
        if requests is None:
            requests = Requests(task, record.columns.keys())
        return requests.question(record, exemplars.choose(record.columns))

    return collect(task, job, files, make)


def collect(
    task: Task, job: Job, files: Files, make: Callable[[Record], Question], code: str = ""
) -> Compiled:
    """Make the questions of a task, and the header that tells of them.

    Args:
        task: what is asked.
        job: what is to be compiled.
        files: the data.
        make: makes a question of a record, in the order of the records.
        code: the hash of what else the questions depend on; empty for nothing.

    Raises:
        DatasetError: a question cannot be scored and is not to be left out; or there are none, or
            too many.
    """
    questions: list[Question] = []
    unscored: list[Unscored] = []
    bounds = Bounds()
    for item, record in enumerate(files.questions(job), 1):
        try:
            question = make(record)
        except CannotScore as reason:
            if not job.leave_out:
                raise record.error(
                    f"{reason}; leave such questions out, and count them, with --leave-out"
                ) from None
            unscored.append(Unscored(item=item, reason=str(reason)))
            continue
        questions.append(question)
        bounds.add(record, texts_of(question))
    if not questions:
        raise DatasetError("no question can be scored", path=files.asked[0].path)
    used = (*files.asked, *(files.shown if task.fewshot.count else ()))
    header = Header(
        format=FORMAT,
        name=job.name or task.name,
        title=job.title or task.name,
        source=job.source or task.source,
        license=job.license,
        version=task.version,
        compiled=Origin(
            task=code or task.file.sha256,
            data=tuple(SourceFile(file=each.path.name, sha256=each.sha256) for each in used),
        ),
        kind=task.kind,
        protocol=METHODS[task.kind],
        metrics=task.metrics,
        filters=task.filters,
        unscored=tuple(unscored),
        count=len(questions),
    )
    return Compiled(header, questions)


class Files(NamedTuple):
    """The data of a task: what is asked, and what exemplars come from."""

    asked: list[DataFile]
    shown: list[DataFile]

    @classmethod
    def of(cls, task: Task, job: Job) -> Files:
        """Tell the files of a job apart. Raises: ConfigError, DatasetError."""
        files = cls([], [])
        for split, name in job.data:
            file = DataFile(Path(name))
            if split in ("", task.split):
                files.asked.append(file)
            elif split == task.fewshot.split:
                files.shown.append(file)
            else:
                raise ConfigError(
                    f"the task {task.name} asks the split {task.split or 'without a name'!r} and"
                    f" takes exemplars of {task.fewshot.split or 'none'!r}, not {split!r}; a file"
                    " without a split is the one that is asked"
                )
        if not files.asked:
            raise ConfigError("give the data that is asked: --data FILE")
        return files

    def questions(self, job: Job) -> Iterator[Record]:
        """Yield the records that are asked."""
        return islice(_records(self.asked), job.limit)

    def exemplars(self, task: Task) -> Iterator[Exemplar]:
        """Yield what exemplars are chosen from. Raises: ConfigError, DatasetError."""
        settings = task.fewshot
        if not settings.count:
            return
        if not settings.split:
            yield from settings.samples
            return
        if not self.shown and settings.split != task.split:
            raise ConfigError(
                f"the task {task.name} shows {settings.count} exemplars of its split"
                f" {settings.split!r}: add --data {settings.split}=FILE, or ask without: --shots 0"
            )
        records = _records(self.shown or self.asked)
        if settings.sampler == "first_n" and not settings.without_own:
            records = islice(records, settings.count)
        for record in records:
            yield record.columns


def _records(files: list[DataFile]) -> Iterator[Record]:
    for file in files:
        yield from file.records()


def texts_of(question: Question) -> Iterator[str]:
    """Yield the texts of a question."""
    yield question.prompt
    for name in ("leads", "choices", "targets"):
        yield from getattr(question, name, ())
