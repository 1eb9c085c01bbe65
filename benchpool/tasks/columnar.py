"""Parquet and Arrow, batch by batch, with what `benchpool[parquet]` installs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchpool.errors import DatasetError, PrerequisiteError

_ROWS = 1000
"""Rows that are in memory at a time."""
_FILE_MARK = b"ARROW1"


def read_columns(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet or Arrow file; an Arrow file may be a stream as well.

    Raises:
        PrerequisiteError: pyarrow is not installed.
        DatasetError: the file is broken.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
    except ImportError:
        raise PrerequisiteError(
            f"{path} is read with pyarrow; install it: pip install 'benchpool[parquet]'"
        ) from None
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    try:
        with _batches(path) as batches:
            for batch in batches:
                for start in range(0, batch.num_rows, _ROWS):
                    yield from batch.slice(start, _ROWS).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        said = (str(error).splitlines() or ["it is broken"])[0]
        raise DatasetError(f"cannot be read: {said}", path=path) from None


@contextmanager
def _batches(path: Path) -> Iterator[Iterator[Any]]:
    if path.suffix.lower() == ".parquet":
        from pyarrow import parquet  # noqa: PLC0415

        with parquet.ParquetFile(path, memory_map=True) as file:
            yield file.iter_batches(batch_size=_ROWS, use_threads=False)
        return
    from pyarrow import ipc, memory_map  # noqa: PLC0415

    with memory_map(str(path)) as mapped:
        if mapped.read(len(_FILE_MARK)) == _FILE_MARK:
            with ipc.open_file(mapped) as reader:
                yield (reader.get_batch(n) for n in range(reader.num_record_batches))
        else:
            mapped.seek(0)
            with ipc.open_stream(mapped) as reader:
                yield iter(reader)
