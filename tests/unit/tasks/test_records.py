from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from benchpool.errors import DatasetError, PrerequisiteError
from benchpool.tasks import records
from benchpool.tasks.records import DataFile


def read(path: Path) -> list[Any]:
    return [(record.columns, record.place) for record in DataFile(path).records()]


def zipped(**members: str | bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return target.getvalue()


def packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def damaged(whole: bytes, at: int = 40) -> bytes:
    """Fill packed text with a byte that begins no block."""
    return whole[:at] + b"\xff" * 12 + whole[at + 12 :]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.jsonl", '{"q":"ä","n":1}\n\n{"q":"b\\n","n":2}'),
        ("d.ndjson", '\ufeff{"q":"ä","n":1}\r\n{"q":"b\\n","n":2}\n'),
        ("d.json", '[{"q":"ä","n":1},{"q":"b\\n","n":2}]'),
        ("d.json", '\ufeff{"version":"1","data":[{"q":"ä","n":1},{"q":"b\\n","n":2}]}'),
        ("d.JSON", '[{"q":"ä","n":1},{"q":"b\\n","n":2}]'),
        ("d.zip", zipped(d__json='[{"q":"ä","n":1},{"q":"b\\n","n":2}]', readme__md="x")),
        ("d.zip", zipped(d__jsonl='{"q":"ä","n":1}\n{"q":"b\\n","n":2}')),
        ("d.jsonl.gz", packed('{"q":"ä","n":1}\n{"q":"b\\n","n":2}'.encode())),
        ("d.json.gz", packed('[{"q":"ä","n":1},{"q":"b\\n","n":2}]'.encode())),
    ],
)
def test_json_is_read_in_all_its_forms(bench: Any, name: str, content: str | bytes) -> None:
    found = read(bench.write(name, content))
    assert [columns for columns, _ in found] == [{"q": "ä", "n": 1}, {"q": "b\n", "n": 2}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.csv", 'q,n\n"a, ""b""\nc",1\nd,2\n'),
        ("d.csv", '\ufeffq,n\r\n"a, ""b""\nc",1\r\nd,2'),
        ("d.csv", 'q;n\n"a, ""b""\nc";1\nd;2\n'),
        ("d.tsv", 'q\tn\n"a, ""b""\nc"\t1\n\nd\t2\n'),
        ("d.zip", zipped(d__csv='q,n\n"a, ""b""\nc",1\nd,2\n')),
    ],
)
def test_tables_are_read(bench: Any, name: str, content: str | bytes) -> None:
    found = read(bench.write(name, content))
    assert [columns for columns, _ in found] == [{"q": 'a, "b"\nc', "n": "1"}, {"q": "d", "n": "2"}]
    assert found[0][1] == "line 2"


def test_a_file_in_a_zip_is_named(bench: Any) -> None:
    path = bench.write("d.zip", zipped(a__jsonl='{"q":1}', b__jsonl='{"q":2}'))
    assert read(path / "b.jsonl") == [({"q": 2}, "line 1")]
    with pytest.raises(DatasetError, match=r"holds 2 data files .* name one: .*d\.zip/a\.jsonl"):
        read(path)
    with pytest.raises(DatasetError, match=r"d\.zip: does not hold c\.jsonl"):
        read(path / "c.jsonl")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("d.jsonl", "", r"d\.jsonl: is empty"),
        ("d.jsonl", "\n\n", r"d\.jsonl: holds no record"),
        ("d.json", "[]", r"d\.json: holds no record"),
        ("d.csv", "a,b\n", r"d\.csv: holds no record"),
        ("d.jsonl", '{"a":1}\n{"a":', "line 2: is not JSON"),
        ("d.jsonl", '{"a":1}\n[1]', "line 2: is no JSON object"),
        ("d.jsonl", b'{"a":1}\n{"a":"\xe4"}', "line 2: byte 7 is not UTF-8"),
        ("d.jsonl", "[" * 100_000, "line 1: is not JSON"),
        ("d.jsonl", '{"a":NaN}', "line 1: is not JSON"),
        ("d.json", b'[{"a":"\xe4"}]', "not UTF-8|is not JSON"),
        ("d.json", '{"a":1}', "holds no list of objects"),
        ("d.json", "[1]", "record 1: is no JSON object"),
        ("d.csv", b"a,b\n1,\xe4\n", "line 2: byte 3 is not UTF-8"),
        ("d.csv", "a,b\n1,2".encode("utf-16"), "line 1: byte 1 is not UTF-8"),
        ("d.csv", "a,b\n1,2\n3\n", "line 3: has 1 columns, and the first line names 2"),
        ("d.csv", 'a,b\n1,2\n"3,4\n', "line 3: is no row of a table"),
        ("d.csv", "a,a\n1,2\n", "line 1: names the column 'a' twice"),
        ("d.csv", "\n1,2\n", "line 1: names no columns"),
        ("d.csv", "a" + ",a" * 5000, "line 1: has more than 4096 columns"),
        ("d.txt", "x", r"d\.txt: is of no kind that is read: \.jsonl"),
        ("d", "x", "is of no kind that is read"),
        ("d.zip", "x", "is no zip that can be read"),
        ("d.zip", zipped(readme__md="x"), "does not hold a file that ends in"),
        ("d.zip", zipped(d__csv=""), "is empty"),
        ("d.zip", damaged(zipped(d__csv="a,b\n" + "1,2\n" * 999)), "is no zip that can be read"),
        ("d.jsonl.gz", "x", "cannot be unpacked"),
        ("d.jsonl.gz", packed(b'{"a":1}')[:-9], "cannot be unpacked"),
        ("d.jsonl.gz", damaged(packed(b'{"a":1}\n' * 999), 10), "cannot be unpacked"),
        ("d.jsonl.gz", packed(b""), "holds no record"),
        ("d.gz", packed(b"x"), "is of no kind that is read"),
        ("d.zip.gz", packed(b"x"), "is of no kind that is read"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    bench: Any, name: str, content: str | bytes, said: str
) -> None:
    with pytest.raises(DatasetError, match=said) as caught:
        read(bench.write(name, content))
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_named(bench: Any) -> None:
    for path in (bench.folder, bench.folder / "none.csv", bench.folder / "none.zip" / "a.csv"):
        with pytest.raises(DatasetError, match="is no file"):
            read(path)


def test_a_gigabyte_is_refused_before_it_is_read(bench: Any) -> None:
    path = bench.write("d.jsonl", '{"a":1}\n')
    with path.open("r+b") as file:
        file.truncate(1 << 30)
    with pytest.raises(DatasetError, match=r"has 1,073,741,824 bytes; at most 536,870,912"):
        read(path)


def test_a_zip_that_unpacks_to_more_than_it_tells_is_refused(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_FILE_BYTES", 1 << 20)
    monkeypatch.setattr(records, "MAX_LINE_BYTES", 1 << 16)
    with pytest.raises(DatasetError, match="at most 1,048,576 can be read"):
        read(bench.write("d.zip", zipped(d__jsonl=b'{"a":1}\n' * (1 << 18))))
    with pytest.raises(DatasetError, match="line 1: has more than 65,536 bytes"):
        read(bench.write("e.zip", zipped(d__jsonl=b" " * (1 << 17))))
    with pytest.raises(DatasetError, match="has more than 1,048,576 bytes"):
        read(bench.write("f.jsonl.gz", packed(b'{"a":1}\n' * (1 << 18))))


def test_a_json_file_is_limited_as_a_whole(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_JSON_BYTES", 100)
    with pytest.raises(DatasetError, match=r"read as JSON Lines, .* ends in \.jsonl"):
        read(bench.write("d.json", '[{"a":"' + "x" * 100 + '"}]'))


def test_records_are_read_one_by_one(bench: Any) -> None:
    path = bench.write("d.jsonl", '{"a":1}\n{"a":2}\nbroken')
    found = DataFile(path).records()
    assert [next(found).columns, next(found).columns] == [{"a": 1}, {"a": 2}]
    with pytest.raises(DatasetError, match="line 3"):
        next(found)


def test_columns_are_read_batch_by_batch(bench: Any) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"q": "ä", "c": {"text": ["a", "b"]}, "n": n} for n in range(2500)]
    table = pa.Table.from_pylist(rows)
    parquet.write_table(table, bench.folder / "d.parquet")
    for name, opened in (("s.arrow", pa.ipc.new_stream), ("f.arrow", pa.ipc.new_file)):
        with opened(bench.folder / name, table.schema) as target:
            target.write_table(table)
    for name in ("d.parquet", "s.arrow", "f.arrow"):
        found = read(bench.folder / name)
        assert [columns for columns, _ in found] == rows
        assert found[-1][1] == "record 2500"
    for name in ("d.parquet", "s.arrow", "f.arrow"):
        data = (bench.folder / name).read_bytes()
        for broken in (data[:100], b"x" * 100, data[: len(data) // 2]):
            with pytest.raises(DatasetError, match=rf"{name}: cannot be read|holds no record"):
                read(bench.write(name, broken))


def test_columns_without_the_extra_ask_for_it(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(PrerequisiteError, match=r"pip install 'benchpool\[parquet\]'"):
        read(bench.write("d.parquet", "x"))
