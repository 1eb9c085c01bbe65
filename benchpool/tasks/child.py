"""The child process in which a task or a table is compiled: its limits, and what it tells."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Literal

import msgspec

from benchpool.errors import BenchpoolError, ConfigError, PrerequisiteError
from benchpool.evaluation.compiled import Header, write_compiled

MEMORY_BYTES = 2 << 30
TOTAL_S = 3600
PLACE, OUTPUT = "place", "output"
"""Files in the folder of a compilation: where it is, and what it makes."""
_PLACE_BYTES = 500

Failure = Literal["config", "prerequisite", "other"]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a compilation ended: with a header or an error."""

    header: Header | None = None
    failure: Failure = "other"
    error: str = ""


def main() -> None:
    """Compile what stdin tells; report on stdout.

    The arguments are the folder for what is made, and how long a record may be worked on, in
    seconds of the processor's time.
    """
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    warnings.simplefilter("ignore")
    _limit()
    with (folder / PLACE).open("r+b", buffering=0) as place:
        outcome = _run(sys.stdin.buffer.read(), folder, place.fileno(), seconds)
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


def _run(job: bytes, folder: Path, place: int, seconds: float) -> Outcome:
    def began(where: str) -> None:
        os.pwrite(place, where.encode(errors="replace")[:_PLACE_BYTES].ljust(_PLACE_BYTES), 0)
        _wind_up(seconds)

    try:
        # Within limits from the first import on.
        from benchpool.tasks.compiling import Job, compile_task  # noqa: PLC0415
        from benchpool.tasks.tables import Table, compile_table  # noqa: PLC0415

        wanted: Job | Table = msgspec.json.decode(job, type=Job | Table)
        if isinstance(wanted, Table):
            header, questions = compile_table(wanted, began)
        else:
            header, questions = compile_task(wanted, began)
        _wind_up(0)
        (folder / OUTPUT).write_bytes(write_compiled(header, questions))
    except ConfigError as error:
        return Outcome(failure="config", error=str(error))
    except PrerequisiteError as error:
        return Outcome(failure="prerequisite", error=str(error))
    except BenchpoolError as error:
        return Outcome(error=str(error))
    except MemoryError:
        return Outcome(error=f"needs more than {MEMORY_BYTES >> 20} MiB of memory")
    except OSError as error:
        return Outcome(error=f"cannot be written: {error.strerror}")
    return Outcome(header=header)


def _limit() -> None:
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return
    for what, limit in (
        (resource.RLIMIT_DATA, MEMORY_BYTES),
        (resource.RLIMIT_CPU, TOTAL_S),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        least = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (least, least))


def _wind_up(seconds: float) -> None:
    # The signal ends the process: no template catches it, no long operation outlasts it.
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


if __name__ == "__main__":
    main()
