from enum import Enum

import pytest

from benchpool.ao.tags import Tags


class Colour(str, Enum):  # noqa: UP042 - not written as its value, which a StrEnum is
    RED = "red"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([("A", 1), ("B", None)], (("A", "1"), ("B", "None"))),
        ({"A": True}, (("A", "True"),)),
        ([("A", Colour.RED)], (("A", "Colour.RED"),)),
        ((("a_b", "x"), ("A-B", "y")), (("a_b", "x"), ("A-B", "y"))),
        (iter([("A", "x")]), (("A", "x"),)),
        ([], ()),
    ],
)
def test_values_become_text_and_names_stay_as_they_were_sent(given, kept):
    assert Tags(given).pairs == kept


@pytest.mark.parametrize("pairs", [[(5, "x")], [("A", "x"), (None, "y")], [(5, 6)]])
def test_a_name_that_is_no_text_is_refused(pairs):
    with pytest.raises(TypeError, match=r"the name of a tag is text, not (int|NoneType)"):
        Tags(pairs)


@pytest.mark.parametrize("pair", [("A",), ("A", "b", "c")])
def test_what_is_no_pair_is_refused(pair):
    with pytest.raises(ValueError, match="unpack"):
        Tags([("A", "x"), pair])


@pytest.mark.parametrize("name", ["X-Foo", "x-foo", "X_FOO", "x_Foo"])
def test_a_tag_is_found_in_any_case_the_first_or_the_last(name):
    tags = Tags([("x-foo", "1"), ("Other", ""), ("X-FOO", "2"), ("X_Foo", "3")])
    assert tags.get(name) == tags[name] == "1"
    assert tags.last(name) == "3"
    assert tags.all(name) == ["1", "2", "3"]
    assert name in tags
    assert tags.get("Other", "default") == "", "an empty value is a value"


@pytest.mark.parametrize("tags", [Tags(), Tags([("A", "x")])])
def test_what_is_not_there_is_the_default(tags):
    assert tags.get("b") == tags.last("b") == ""
    assert tags.get("B", "d") == tags.last("B", "d") == "d"
    assert "B" not in tags
    assert 5 not in tags
    with pytest.raises(KeyError):
        tags["B"]


@pytest.mark.parametrize(
    ("pairs", "characters", "ascii_"),
    [((), 0, True), ((("A", "xyz"), ("Bc", "")), 6, True), ((("Ä", "x"),), 2, False)],
)
def test_tags_know_their_size_however_they_were_made(pairs, characters, ascii_):
    for tags in (Tags(pairs), Tags.of(pairs)):
        assert (tags.characters, tags.ascii) == (characters, ascii_)
        assert tags.pairs == pairs
