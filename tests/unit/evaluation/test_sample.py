import io
import json
import os
import zipfile
from pathlib import Path

import pytest

from benchpool.errors import DatasetError
from benchpool.evaluation import archive
from benchpool.evaluation.sample import Sample, load_samples, parse_samples, to_json

ROW = {
    "context": "Ann fell.",
    "question": "How is Ann?",
    "answerA": "hurt",
    "answerB": "glad",
    "answerC": "rich",
}
GOOD = {**ROW, "label": "1"}
ANN = Sample(context="Ann fell.", question="How is Ann?", choices=("hurt", "glad", "rich"), gold=1)


def lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as opened:
        for name, data in members.items():
            opened.writestr(name, data)
    return buffer.getvalue()


PAIR = {"socialiqa/dev.jsonl": lines(ROW, ROW), "socialiqa/dev-labels.lst": b"1\n3\n"}


def refusal(data, **kwargs):
    with pytest.raises(DatasetError) as caught:
        parse_samples(data, name="x.jsonl", **kwargs)
    return str(caught.value)


@pytest.mark.parametrize("label", ["1", 1])
def test_json_lines_are_read(label):
    assert parse_samples(lines({**ROW, "label": label}), name="x") == [ANN]


def test_a_byte_order_mark_and_carriage_returns_are_no_part_of_the_data():
    data = b"\xef\xbb\xbf" + lines(GOOD, GOOD).replace(b"\n", b"\r\n")
    assert parse_samples(data, name="x") == [ANN, ANN]


def test_line_separators_inside_a_text_end_no_line():
    row = {**GOOD, "context": "one\u2028two\x85three"}
    (sample,) = parse_samples(lines(row), name="x")
    assert sample.context == "one\u2028two\x85three"


def test_spaces_around_a_text_are_kept_because_they_move_scores():
    (sample,) = parse_samples(lines({**GOOD, "answerB": " glad "}), name="x")
    assert sample.choices[1] == " glad "


@pytest.mark.parametrize("field", ["context", "question", "answerA", "answerB", "answerC", "label"])
def test_a_missing_field_is_named_with_its_line(field):
    bad = {key: value for key, value in GOOD.items() if key != field}
    assert refusal(lines(GOOD, bad)) == f"x.jsonl, line 2: has no '{field}'"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"context": ""}, "'context' is empty"),
        ({"answerC": " \t"}, "'answerC' is empty"),
        ({"question": 5}, "'question' must be text, not 5"),
        ({"question": None}, "'question' must be text, not None"),
        ({"answerA": ["a" * 90]}, "'answerA' must be text, not ['" + "a" * 35 + "..."),
        ({"label": "0"}, "the label must be 1, 2 or 3, not '0'"),
        ({"label": 4}, "the label must be 1, 2 or 3, not 4"),
        ({"label": "A"}, "the label must be 1, 2 or 3, not 'A'"),
        ({"label": "01"}, "the label must be 1, 2 or 3, not '01'"),
        ({"label": True}, "the label must be 1, 2 or 3, not True"),
        ({"label": 1.0}, "the label must be 1, 2 or 3, not 1.0"),
        ({"label": [1]}, "the label must be 1, 2 or 3, not [1]"),
        ({"label": None}, "has no 'label'"),
    ],
)
def test_a_bad_field_is_refused_with_its_line(change, complaint):
    assert refusal(lines(GOOD, GOOD, {**GOOD, **change})) == f"x.jsonl, line 3: {complaint}"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b'{"context": ', "x.jsonl, line 2: is not valid JSON: "),
        (b'{"context": "\\ud800 "}', "x.jsonl, line 2: is not valid JSON: "),
        (b"[" * 100_000, "x.jsonl, line 2: is not valid JSON: "),
        (b'"text"', "x.jsonl, line 2: is not a JSON object but 'text'"),
        (b"", "x.jsonl, line 2: is an empty line"),
        (b'{"context": "\xff"}', "x.jsonl, line 2: is not UTF-8 (byte 14 of the line)"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused_by_number(line, complaint):
    assert refusal(lines(GOOD) + line + b"\n" + lines(GOOD)).startswith(complaint)


@pytest.mark.parametrize("data", [b"", b"\n\n", b" ", b"[]", b"\xef\xbb\xbf"])
def test_an_empty_data_set_is_refused(data):
    assert refusal(data) == "x.jsonl: holds no questions"


def test_the_error_carries_file_and_line():
    with pytest.raises(DatasetError) as caught:
        parse_samples(lines(GOOD, {}), name="x.jsonl")
    assert (caught.value.path, caught.value.line) == ("x.jsonl", 2)


@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_list_is_read(indent):
    data = json.dumps([GOOD, {**GOOD, "label": 1}], indent=indent).encode()
    assert parse_samples(b"\n " + data, name="x") == [ANN, ANN]


def test_a_bad_item_of_a_list_is_named_by_number_and_line():
    data = json.dumps([GOOD, GOOD, {**GOOD, "label": "9"}], indent=1).encode()
    # Each item takes eight lines, after the line of the bracket.
    assert refusal(data) == "x.jsonl, line 18: item 3: the label must be 1, 2 or 3, not '9'"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b'[\n{"a": 1},\n]', "x.jsonl, line 3: is not valid JSON: "),
        (b"[1]", "x.jsonl, line 1: item 1: is not a JSON object but 1"),
        (b'[\n{"a": "\xff"}]', "x.jsonl, line 2: is not UTF-8"),
        (b"[" * 100_000, "x.jsonl: is not valid JSON: "),
        (b'[\n{"a": "\\ud800 "}]', "x.jsonl"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused(data, complaint):
    assert refusal(data).startswith(complaint)


def test_what_is_written_is_read_back():
    samples = [ANN, Sample(context="é\u2028\n", question='"', choices=("a", "b", "ç"), gold=3)]
    text = to_json(samples)
    assert parse_samples(text.encode(), name="x") == samples
    assert to_json(parse_samples(text.encode(), name="x")) == text
    assert to_json([ANN]) == (
        '[{"context":"Ann fell.","question":"How is Ann?","answerA":"hurt","answerB":"glad",'
        '"answerC":"rich","label":"1"}]'
    )


def test_a_sample_of_two_choices_has_no_such_form():
    with pytest.raises(ValueError, match="shorter"):
        to_json([Sample(context="c", question="q", choices=("a", "b"), gold=1)])


def test_an_archive_is_read_past_its_macosx_shadow():
    shadow = {"__MACOSX/socialiqa/._dev.jsonl": b"\0", "__MACOSX/socialiqa/dev.jsonl": b"\0"}
    samples = parse_samples(zipped(shadow | PAIR), name="a.zip")
    assert [sample.gold for sample in samples] == [1, 3]


def test_a_split_is_chosen_by_name():
    train = {"s/train.jsonl": lines(ROW), "s/train-labels.lst": b"2\n"}
    (sample,) = parse_samples(zipped(PAIR | train), name="a.zip", split="train")
    assert sample.gold == 2
    assert "no split 'test'" in refusal(zipped(PAIR), split="test")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            {"socialiqa/dev-labels.lst": b"1\n"},
            "x.jsonl/socialiqa/dev-labels.lst, line 2: has 1 labels for the 2 questions of "
            "x.jsonl/socialiqa/dev.jsonl",
        ),
        (
            {"socialiqa/dev-labels.lst": b"1\n3\n2\n"},
            "x.jsonl/socialiqa/dev-labels.lst, line 3: has 3 labels for the 2 questions of "
            "x.jsonl/socialiqa/dev.jsonl",
        ),
        (
            {"socialiqa/dev-labels.lst": b"1\n4\n"},
            "x.jsonl/socialiqa/dev-labels.lst, line 2: the label must be 1, 2 or 3, not '4'",
        ),
        (
            {"socialiqa/dev-labels.lst": b"\n1\n"},
            "x.jsonl/socialiqa/dev-labels.lst, line 1: the label must be 1, 2 or 3, not ''",
        ),
        ({"socialiqa/dev.jsonl": b""}, "x.jsonl/socialiqa/dev.jsonl: holds no questions"),
        (
            {"socialiqa/dev.jsonl": lines(ROW, {**ROW, "context": ""})},
            "x.jsonl/socialiqa/dev.jsonl, line 2: 'context' is empty",
        ),
        ({"other/dev.jsonl": b""}, "x.jsonl: the archive has 2 files dev.jsonl"),
    ],
)
def test_a_bad_archive_is_refused_by_member_and_line(change, complaint):
    assert refusal(zipped(PAIR | change)) == complaint


def test_an_archive_without_the_files_is_refused():
    assert refusal(zipped({})) == "x.jsonl: the archive has no files dev.jsonl"
    alone = {"dev.jsonl": lines(ROW)}
    assert refusal(zipped(alone)) == "x.jsonl: the archive has no files dev-labels.lst"


def test_a_damaged_archive_is_refused():
    whole = zipped(PAIR)
    assert "damaged archive" in refusal(whole[:200])
    assert "damaged archive" in refusal(whole[:60] + b"\0\0\0\0\0\0\0\0" + whole[68:])


def test_a_member_that_unpacks_to_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBER_BYTES", 1 << 20)
    bomb = zipped({"dev.jsonl": b" " * ((1 << 20) + 1), "dev-labels.lst": b""})
    assert len(bomb) < 5_000
    assert refusal(bomb) == "x.jsonl: dev.jsonl unpacks to more than 1 MiB"


def test_a_rare_compression_is_refused():
    assert "neither stored nor deflated" in refusal(zipped(PAIR, zipfile.ZIP_BZIP2))


@pytest.mark.parametrize("below", ["", "socialiqa-train-dev"])
def test_a_folder_is_read_itself_or_one_level_down(tmp_path, below):
    place = tmp_path / below
    place.mkdir(exist_ok=True)
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "dev.jsonl").write_bytes(b"\0")
    (place / "dev.jsonl").write_bytes(lines(ROW))
    (place / "dev-labels.lst").write_bytes(b"2")
    (sample,) = load_samples(tmp_path)
    assert sample.gold == 2


def test_a_folder_without_one_pair_of_files_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"has no dev\.jsonl"):
        load_samples(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dev.jsonl").write_bytes(lines(ROW))
    with pytest.raises(DatasetError, match="more than one folder: a, b"):
        load_samples(tmp_path)
    with pytest.raises(DatasetError, match=r"no dev-labels\.lst beside it"):
        load_samples(tmp_path / "a")


def test_a_bad_line_in_a_folder_names_the_path(tmp_path):
    (tmp_path / "dev.jsonl").write_bytes(lines(ROW))
    (tmp_path / "dev-labels.lst").write_bytes(b"7\n")
    with pytest.raises(DatasetError) as caught:
        load_samples(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'dev-labels.lst'}, line 1: ")


def test_a_file_is_read_and_its_absence_reported(tmp_path):
    path = tmp_path / "x.jsonl"
    with pytest.raises(DatasetError, match=r"x\.jsonl: cannot be read: No such file"):
        load_samples(path)
    path.write_bytes(lines(GOOD))
    assert load_samples(path) == [ANN]


@pytest.fixture
def official():
    beside = Path(__file__).parents[3].parent / "shared" / "datasets" / "siqa"
    path = Path(os.environ.get("BENCHPOOL_SIQA") or beside / "socialiqa-train-dev.zip")
    if path.is_dir() and (path / "socialiqa-train-dev.zip").exists():
        path = path / "socialiqa-train-dev.zip"
    if not path.exists():
        pytest.skip("the Social IQa archive is not here; BENCHPOOL_SIQA may name it")
    return path


def test_the_official_archive_has_its_published_sizes(official):
    dev = load_samples(official)
    assert len(dev) == 1_954
    assert dev[0].context == "Tracy didn't go home that evening and resisted Riley's attacks."
    assert dev[0].choices == ("make a new plan", "Go home and see Riley", "Find somewhere to go")
    assert [sample.gold for sample in dev[:3]] == [3, 1, 2]
    assert parse_samples(to_json(dev).encode(), name="dev.json") == dev
    assert len(load_samples(official, split="train")) == 33_410
