# ruff: noqa: RUF012 - pydantic copies the defaults of a state

import copy
import json
import math
from collections import defaultdict

import pytest
from pydantic import BaseModel

from benchpool.process.state import Journal, State, bind


class Entry(State):
    score: int = 0
    notes: list[str] = []


class Book(State):
    title: str = ""
    counts: dict[str, int] = {}
    rows: list[int] = []
    entries: dict[str, Entry] = {}
    nested: dict[str, dict[str, list[int]]] = {}
    anything: object = None


@pytest.fixture
def journal():
    return Journal()


@pytest.fixture
def book(journal):
    return bind(
        Book(
            title="a",
            counts={"x": 1, "y": 2, "z": 3},
            rows=[3, 1, 2],
            entries={"e": Entry(score=5, notes=["n"])},
            nested={"a": {"b": [1]}},
        ),
        journal,
    )


def shape(model):
    """The state with the order of its dicts, which == does not see."""
    return model.model_dump_json()


WRITES = {
    "a field": lambda b: setattr(b, "title", "new"),
    "a whole dict": lambda b: setattr(b, "counts", {"q": 1}),
    "a field of an inner state": lambda b: setattr(b.entries["e"], "score", 9),
    "a list of an inner state": lambda b: b.entries["e"].notes.append("m"),
    "a new inner state": lambda b: b.entries.update(f=Entry()),
    "a field of a new inner state": lambda b: (
        b.entries.update(f=Entry()),
        setattr(b.entries["f"], "score", 1),
    ),
    "dict set new": lambda b: b.counts.__setitem__("w", 1),
    "dict set old": lambda b: b.counts.__setitem__("x", 9),
    "dict del first": lambda b: b.counts.__delitem__("x"),
    "dict del middle": lambda b: b.counts.__delitem__("y"),
    "dict del last": lambda b: b.counts.__delitem__("z"),
    "dict pop": lambda b: b.counts.pop("y"),
    "dict pop missing": lambda b: b.counts.pop("nothing", None),
    "dict popitem": lambda b: b.counts.popitem(),
    "dict setdefault": lambda b: b.counts.setdefault("new", 4),
    "dict update": lambda b: b.counts.update({"x": 7}, k=8),
    "dict or": lambda b: b.counts.__ior__({"m": 1}),
    "dict clear": lambda b: b.counts.clear(),
    "dict inside": lambda b: b.nested["a"]["b"].append(2),
    "dict replaced inside": lambda b: (
        b.nested.update(c={"d": [1]}),
        b.nested["c"]["d"].append(2),
        b.nested.pop("a"),
    ),
    "list append": lambda b: b.rows.append(4),
    "list extend": lambda b: b.rows.extend([4, 5]),
    "list extend by itself": lambda b: b.rows.extend(b.rows),
    "list iadd": lambda b: b.rows.__iadd__([4]),
    "list imul": lambda b: b.rows.__imul__(2),
    "list pop": lambda b: b.rows.pop(),
    "list pop first": lambda b: b.rows.pop(0),
    "list pop from the end": lambda b: b.rows.pop(-2),
    "list set": lambda b: b.rows.__setitem__(1, 9),
    "list set slice": lambda b: b.rows.__setitem__(slice(0, 2), [7, 8, 9]),
    "list del": lambda b: b.rows.__delitem__(0),
    "list del slice": lambda b: b.rows.__delitem__(slice(None)),
    "list insert": lambda b: b.rows.insert(1, 5),
    "list remove": lambda b: b.rows.remove(1),
    "list clear": lambda b: b.rows.clear(),
    "list sort": lambda b: b.rows.sort(reverse=True),
    "list reverse": lambda b: b.rows.reverse(),
    "moving an entry": lambda b: b.entries.__setitem__("g", b.entries.pop("e")),
    "a deep copy": lambda b: (
        b.entries.__setitem__("c", copy.deepcopy(b.entries["e"])),
        b.entries["c"].notes.append("of the copy"),
        setattr(b.entries["c"], "score", 1),
    ),
    "a pydantic copy": lambda b: (
        b.entries.__setitem__("c", b.entries["e"].model_copy(deep=True)),
        b.entries["c"].notes.append("of the copy"),
    ),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_rollback_takes_every_write_back_with_the_order(book, journal, write):
    before = shape(book)
    write(book)
    journal.rollback()
    assert shape(book) == before
    write(book)
    journal.rollback()
    assert shape(book) == before


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_committed_write_does_what_a_plain_one_does(book, journal, write):
    plain = Book.model_validate_json(book.model_dump_json())
    write(book)
    journal.commit()
    after = shape(book)
    journal.rollback()
    assert shape(book) == after
    write(plain)
    assert shape(plain) == after


def test_writes_to_what_was_copied_deep_are_taken_back_once_it_is_kept(book, journal):
    book.entries["c"] = copy.deepcopy(book.entries["e"])
    journal.commit()
    before = shape(book)
    book.entries["c"].notes.append("x")
    book.entries["c"].score = 8
    journal.rollback()
    assert shape(book) == before


def test_what_belonged_to_another_journal_is_taken_over(book, journal):
    other = bind(Book(nested={"a": {"b": [1]}}, rows=[1]), Journal())
    book.nested, book.rows = other.nested, other.rows
    journal.commit()
    before = shape(book)
    book.nested["a"]["b"].append(2)
    book.rows.append(2)
    journal.rollback()
    assert shape(book) == before


@pytest.mark.parametrize(
    "write",
    [
        lambda b: b.counts.__setitem__("new", {1}),
        lambda b: b.counts.__setitem__("x", frozenset()),
        lambda b: b.counts.setdefault("s", set()),
        lambda b: b.counts.update({"ok": 1, "bad": set()}),
        lambda b: b.rows.append(set()),
        lambda b: b.rows.extend([1, {2}]),
        lambda b: b.rows.insert(0, set()),
        lambda b: b.rows.__setitem__(0, set()),
        lambda b: setattr(b, "anything", {"deep": [{1}]}),
        lambda b: setattr(b, "anything", set()),
    ],
)
def test_sets_are_refused_and_the_refusal_can_be_rolled_back(book, journal, write):
    before = shape(book)
    with pytest.raises(TypeError, match="a state holds no sets"):
        write(book)
    journal.rollback()
    assert shape(book) == before


class Plain(BaseModel):
    x: int = 0


@pytest.mark.parametrize("value", [defaultdict(list), bytearray(b"x"), Plain(), ([],), ({},)])
def test_what_could_be_changed_without_the_journal_is_refused(book, value):
    with pytest.raises(TypeError):
        book.anything = value


def test_a_set_in_a_first_state_is_refused(journal):
    with pytest.raises(TypeError, match="a state holds no sets"):
        bind(Book(anything={1}), journal)


def test_a_field_cannot_be_deleted(book, journal):
    with pytest.raises(TypeError, match="cannot be deleted"):
        del book.title


def test_an_unknown_field_is_refused(book):
    with pytest.raises(ValueError, match="no field"):
        book.titel = "x"


def test_a_state_that_is_not_bound_yet_behaves_like_any_model():
    free = Book()
    free.title = "x"
    free.counts["a"] = 1
    assert free.counts == {"a": 1}


def test_errors_of_dicts_and_lists_are_those_of_python(book, journal):
    with pytest.raises(KeyError):
        book.counts.pop("nothing")
    with pytest.raises(KeyError):
        del book.counts["nothing"]
    with pytest.raises(IndexError):
        book.rows.pop(10)
    with pytest.raises(IndexError):
        book.rows[10] = 1
    with pytest.raises(ValueError, match="not in list"):
        book.rows.remove(99)
    book.counts.clear()
    with pytest.raises(KeyError):
        book.counts.popitem()
    journal.rollback()
    assert book.counts == {"x": 1, "y": 2, "z": 3}
    assert book.rows == [3, 1, 2]


def test_a_sort_that_fails_halfway_is_taken_back(book, journal):
    def key(value):
        if value == 2:
            raise RuntimeError
        return value

    with pytest.raises(RuntimeError):
        book.rows.sort(key=key)
    journal.rollback()
    assert book.rows == [3, 1, 2]


class Floats(State):
    values: list[float] = []


def test_numbers_without_end_survive_a_dump():
    original = Floats(values=[math.inf, -math.inf, 0.1, math.nan])
    again = Floats.model_validate(json.loads(original.model_dump_json()))
    assert again.values[:3] == original.values[:3]
    assert math.isnan(again.values[3])


class Large(State):
    amount: int = 0


def test_integers_of_any_size_survive_a_dump():
    again = Large.model_validate(json.loads(Large(amount=10**60 + 1).model_dump_json()))
    assert again.amount == 10**60 + 1
