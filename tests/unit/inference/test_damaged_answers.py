"""A damaged cache of answers costs time, and never an answer or a message."""

import logging
import shutil
import sqlite3
from contextlib import closing

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchpool.inference import (
    ChoicesAnswer,
    ChoicesRequest,
    GenerateRequest,
    Generation,
    LogLikelihood,
    Runtime,
    Unanswered,
    answer_cache,
)
from benchpool.inference.answer_cache import FILE_NAME, SET_ASIDE, AnswerCache
from benchpool.inference.engine_pool import EnginePool

MODEL = "ab" * 32
RUNTIME = Runtime("build", "cpu", "stored", "canonical-2")
QUESTIONS = [ChoicesRequest(f"The number {n} is", (" even", " odd")) for n in range(60)]
TURN = GenerateRequest("hi", max_tokens=3)
ASKED = [*QUESTIONS, TURN]


def likelihoods(n, count=2):
    return ChoicesAnswer(tuple(LogLikelihood(-n / 7 - at, 2) for at in range(count)), 9)


ANSWERS = [*(likelihoods(n) for n in range(60)), Generation("yes", 4, 2, "stop")]


@pytest.fixture
def folder(tmp_path):
    with closing(AnswerCache(tmp_path / "answers")) as cache:
        cache.keep(MODEL, RUNTIME, zip(ASKED, ANSWERS, strict=True))
    return tmp_path / "answers"


def found(folder):
    with closing(AnswerCache(folder)) as cache:
        return cache.find(MODEL, RUNTIME, ASKED)


def change_row(folder, request, **columns):
    names = ", ".join(f"{name} = ?" for name in columns)
    with closing(sqlite3.connect(folder / FILE_NAME)) as database, database:
        changed = database.execute(
            f"UPDATE answers SET {names} WHERE request = ?",
            (*columns.values(), msgspec.msgpack.encode(request)),
        )
        assert changed.rowcount == 1


def seal(request, answer):
    """Write a row as the cache would."""
    rows = msgspec.msgpack.encode(request), msgspec.msgpack.encode(answer)
    runtime = msgspec.json.encode(RUNTIME).decode()
    return {"answer": rows[1], "checksum": answer_cache._checksum(MODEL, runtime, *rows)}


def flipped(raw, bit):
    changed = bytearray(raw)
    changed[bit // 8 % len(raw)] ^= 1 << bit % 8
    return bytes(changed)


KEPT = msgspec.msgpack.encode(ANSWERS[3])


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param({"answer": b"\xc1 no MessagePack"}, id="nothing that can be read"),
        pytest.param({"answer": KEPT[:-4]}, id="cut off"),
        pytest.param({"answer": b""}, id="empty"),
        pytest.param({"answer": msgspec.msgpack.encode({"kind": "else"})}, id="no answer"),
        pytest.param({"answer": msgspec.msgpack.encode(ANSWERS[4])}, id="another answer"),
        pytest.param({"answer": flipped(KEPT, 8 * len(KEPT) - 3)}, id="one bit changed"),
        pytest.param({"answer": 5}, id="a number"),
        pytest.param({"answer": "text"}, id="a text"),
        pytest.param({"checksum": b"0" * 16}, id="another checksum"),
        pytest.param({"checksum": ""}, id="no checksum"),
        pytest.param({"answer": b"\x93" * 5000}, id="deeper than any stack"),
        pytest.param(seal(QUESTIONS[3], likelihoods(3, count=3)), id="too many choices"),
        pytest.param(seal(QUESTIONS[3], likelihoods(3, count=0)), id="no choices"),
        pytest.param(seal(QUESTIONS[3], ANSWERS[-1]), id="a text for a question with choices"),
        pytest.param(seal(QUESTIONS[3], Unanswered("I would not")), id="unanswered"),
    ],
)
def test_a_row_that_is_no_answer_is_a_miss_and_written_over(folder, columns):
    change_row(folder, QUESTIONS[3], **columns)
    with closing(AnswerCache(folder)) as cache:
        assert set(range(61)) - set(cache.find(MODEL, RUNTIME, ASKED)) == {3}
        cache.keep(MODEL, RUNTIME, [(QUESTIONS[3], ANSWERS[3])])
        assert cache.find(MODEL, RUNTIME, ASKED) == dict(enumerate(ANSWERS))


@pytest.mark.parametrize(
    "answer",
    [
        likelihoods(1),
        Generation("yes", 4, 4, "length"),
        Generation("y" * 3000, 4, 3, "stop"),
        Generation("", 4, -1, "stop"),
    ],
)
def test_a_text_is_no_longer_than_was_asked_for(folder, answer):
    change_row(folder, TURN, **seal(TURN, answer))
    assert 60 not in found(folder)


def test_an_answer_to_another_model_or_on_another_runtime_is_a_miss(folder):
    with closing(sqlite3.connect(folder / FILE_NAME)) as database, database:
        database.execute("UPDATE answers SET model = ?", ("cd" * 32,))
    with closing(AnswerCache(folder)) as cache:
        assert cache.find("cd" * 32, RUNTIME, ASKED) == {}
        assert cache.find(MODEL, RUNTIME, ASKED) == {}


def test_a_bad_row_costs_a_model_nothing_but_time(tiny, tmp_path):
    pool = EnginePool(workers=1, answers=tmp_path)
    with closing(pool), pool.open(tiny) as engine:
        first = engine.answer(QUESTIONS)
        for number in range(0, 60, 2):
            change_row(tmp_path, QUESTIONS[number], answer=b"\xc1")
        assert engine.answer(QUESTIONS) == first
        assert pool.stats().cached == 30
        assert engine.answer(QUESTIONS) == first
        assert pool.stats().cached == 90


# -- the whole file ------------------------------------------------------------------------------


def scribble(path):
    raw = bytearray(path.read_bytes())
    raw[1024:] = b"\xa5" * len(raw[1024:])
    path.write_bytes(raw)


def other_table(path):
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE answers (model TEXT, answer BLOB)")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_bytes(b"no database" * 100), id="no database"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:3000]), id="truncated"),
        pytest.param(scribble, id="malformed"),
        pytest.param(other_table, id="another table"),
    ],
)
def test_a_damaged_file_is_set_aside_for_a_new_one(folder, damage, caplog):
    damage(folder / FILE_NAME)
    with closing(AnswerCache(folder)) as cache:
        assert cache.find(MODEL, RUNTIME, ASKED) == {}
        cache.keep(MODEL, RUNTIME, zip(ASKED, ANSWERS, strict=True))
        assert cache.find(MODEL, RUNTIME, ASKED) == dict(enumerate(ANSWERS))
    assert found(folder) == dict(enumerate(ANSWERS))
    assert (folder / (FILE_NAME + SET_ASIDE)).exists()
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "is damaged, and set aside" in warning.getMessage()


def test_damage_under_an_open_cache_is_set_aside_too(folder, caplog):
    with closing(AnswerCache(folder)) as cache:
        cache.find(MODEL, RUNTIME, ASKED)
        scribble(folder / FILE_NAME)
        cache._database.execute("PRAGMA cache_size=0")
        cache._database.execute("PRAGMA shrink_memory")
        assert len(cache.find(MODEL, RUNTIME, ASKED)) < len(ASKED)
        cache.keep(MODEL, RUNTIME, zip(ASKED, ANSWERS, strict=True))
    assert found(folder) == dict(enumerate(ANSWERS))


def test_what_somebody_else_set_aside_is_not_set_aside_again(folder):
    with closing(AnswerCache(folder)) as one, closing(AnswerCache(folder)) as other:
        (folder / FILE_NAME).write_bytes(b"no database" * 1000)
        assert one._set_aside(sqlite3.DatabaseError("malformed"))
        one.keep(MODEL, RUNTIME, zip(ASKED, ANSWERS, strict=True))
        assert other._set_aside(sqlite3.DatabaseError("malformed"))
        assert other.find(MODEL, RUNTIME, ASKED) == dict(enumerate(ANSWERS))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(bits=st.lists(st.integers(0, 8 * 40_000), min_size=1, max_size=20))
def test_whatever_bits_are_changed_no_wrong_answer_is_found(folder, tmp_path_factory, bits):
    copy = tmp_path_factory.mktemp("copy")
    raw = (folder / FILE_NAME).read_bytes()
    for bit in bits:
        raw = flipped(raw, bit)
    (copy / FILE_NAME).write_bytes(raw)
    with closing(AnswerCache(copy)) as cache:
        for number, answer in cache.find(MODEL, RUNTIME, ASKED).items():
            assert answer == ANSWERS[number]
        cache.keep(MODEL, RUNTIME, zip(ASKED, ANSWERS, strict=True))
        cache.runs()
        for number, answer in cache.find(MODEL, RUNTIME, ASKED).items():
            assert answer == ANSWERS[number]
    shutil.rmtree(copy)


# -- a file that cannot be used ------------------------------------------------------------------


def a_folder(path):
    path.mkdir()


def under_a_file(path):
    path.parent.rmdir()
    path.parent.write_bytes(b"")


@pytest.mark.parametrize("place", [a_folder, under_a_file])
def test_without_a_place_for_the_file_answers_are_computed(tiny, tmp_path, caplog, place):
    (tmp_path / "answers").mkdir()
    place(tmp_path / "answers" / FILE_NAME)
    pool = EnginePool(workers=1, answers=tmp_path / "answers")
    with closing(pool), pool.open(tiny) as engine:
        first = engine.answer(QUESTIONS[:3])
        assert engine.answer(QUESTIONS[:3]) == first
        assert pool.stats().cached == 0
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "computed without it" in warning.getMessage()


def test_a_locked_file_is_left_out_for_a_while(folder, monkeypatch, caplog):
    monkeypatch.setattr(answer_cache, "_LOCK_S", 0.01)
    with (
        closing(AnswerCache(folder)) as cache,
        closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as other,
    ):
        other.execute("BEGIN EXCLUSIVE")
        cache.keep(MODEL, RUNTIME, [(QUESTIONS[0], likelihoods(5))])
        assert cache.find(MODEL, RUNTIME, ASKED) == {}, "it is not asked again and again"
        other.execute("ROLLBACK")
        cache._again_s = 0.0
        assert cache.find(MODEL, RUNTIME, ASKED) == dict(enumerate(ANSWERS))
    assert len(caplog.records) == 1
    assert not (folder / (FILE_NAME + SET_ASIDE)).exists()


def test_a_full_disk_loses_no_answer(folder, caplog):
    with closing(AnswerCache(folder)) as cache:
        (pages,) = cache._database.execute("PRAGMA page_count").fetchone()
        cache._database.execute(f"PRAGMA max_page_count={pages}")
        long = [ChoicesRequest(f"{n}" * 3000, (" a", " b")) for n in range(50)]
        cache.keep(MODEL, RUNTIME, [(request, likelihoods(1)) for request in long])
        assert "full" in caplog.text
        cache._again_s = 0.0
        assert cache.find(MODEL, RUNTIME, ASKED) == dict(enumerate(ANSWERS))
        assert cache.find(MODEL, RUNTIME, long) == {}


def test_a_file_that_may_only_be_read_is_left_out(folder, monkeypatch, caplog):
    connect = sqlite3.connect

    def only_read(path, **options):
        return connect(f"file:{path}?mode=ro", uri=True, **options)

    monkeypatch.setattr(answer_cache.sqlite3, "connect", only_read)
    with closing(AnswerCache(folder)) as cache:
        cache.keep(MODEL, RUNTIME, zip(ASKED, ANSWERS, strict=True))
        assert cache.runs() == []
    assert (folder / FILE_NAME).exists()
    assert not (folder / (FILE_NAME + SET_ASIDE)).exists()
    assert "readonly" in caplog.text


def test_a_closed_cache_finds_and_keeps_nothing(folder):
    cache = AnswerCache(folder)
    cache.close()
    cache.keep(MODEL, RUNTIME, [(QUESTIONS[0], likelihoods(5))])
    assert cache.find(MODEL, RUNTIME, ASKED) == {}
    assert found(folder) == dict(enumerate(ANSWERS))


def test_the_first_edition_of_the_file_is_left_alone(tmp_path):
    old = tmp_path / "answers-1.sqlite"
    old.write_bytes(b"as it was")
    assert found(tmp_path) == {}
    assert old.read_bytes() == b"as it was"
