"""Files of questions, as commands name them: a path, or the name of a data set that was pulled."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchpool.audit.judges import Judge
    from benchpool.evaluation.sample import Sample
    from benchpool.network import Network


class QuestionFile(NamedTuple):
    """Questions, their file, and how a data set process reads and judges them."""

    path: Path
    samples: Sequence[Sample]
    data: bytes
    judge: Judge

    @property
    def sha256(self) -> str:
        """The hash that pools are bound to."""
        return self.judge.hash(self.data, list(self.samples))

    @property
    def chance(self) -> Fraction | None:
        """What a blind guess scores; None if the file does not say."""
        return self.judge.chance(self.samples)

    def seal(self, salt: str) -> str:
        """Return what commits to the questions. Raises: DatasetError if no pool takes it."""
        from benchpool.audit.judges import CompiledJudge
        from benchpool.errors import DatasetError

        if isinstance(self.judge, CompiledJudge):
            raise DatasetError(
                "is compiled, and its questions cannot be sealed: before its file is loaded no"
                " pool knows by what protocol to ask and what a guesser scores",
                path=self.path,
            )
        return self.judge.seal(salt, self.data, list(self.samples))


def find_data(text: str) -> Path:
    """Find a file or folder, else a data set of the catalogue that was pulled.

    Raises:
        PrerequisiteError: there is neither.
    """
    from benchpool.tasks.catalogue.shelf import DatasetShelf

    path = Path(text).expanduser()
    if path.exists() or "/" in text or path.suffix:
        return path
    return DatasetShelf().find(text)


def read_questions(
    path: Path, network: Network | None = None, dataset: str | None = None
) -> QuestionFile:
    """Read questions.

    Args:
        path: a compiled file, or Social IQa in any form, a folder too.
        network: where `dataset` is.
        dataset: a process that reads them; without one, the file tells by itself what it is.

    Raises:
        DatasetError: it cannot be read; names the file and line.
    """
    from benchpool.audit.judges import CompiledJudge, SiqaJudge, judge_of
    from benchpool.evaluation.compiled import is_compiled
    from benchpool.evaluation.files import read_file
    from benchpool.evaluation.sample import load_samples

    if network is not None and dataset is not None:
        judge = judge_of(network.info(dataset), network.registry)
    elif path.is_dir():
        return QuestionFile(path, load_samples(path), b"", SiqaJudge())
    data = read_file(path)
    if network is None or dataset is None:
        judge = CompiledJudge() if is_compiled(data) else SiqaJudge()
    return QuestionFile(path, judge.load(data, path.name), data, judge)
