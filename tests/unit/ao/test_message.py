import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from benchpool.ao.ids import decode_id, encode_id, is_id
from benchpool.ao.message import (
    EMPTY_RESULT,
    AssignRequest,
    Item,
    Message,
    Outgoing,
    Result,
    SpawnRequest,
    decode_message,
    decode_result,
    encode,
    encode_result,
)
from benchpool.ao.tags import Tags, normalise_name
from benchpool.errors import HandlerError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
data = st.one_of(texts, st.binary(max_size=20))
pairs = st.lists(st.tuples(texts, texts), max_size=6)
tags = pairs.map(Tags)
numbers = st.integers(0, 2**53)
messages = st.builds(
    Message,
    id=texts,
    process=texts,
    target=texts,
    owner=texts,
    sender=texts,
    tags=tags,
    data=data,
    timestamp=numbers,
    block_height=numbers,
    nonce=st.integers(-1, 2**53),
    hash_chain=texts,
    anchor=texts,
    reference=texts,
    pushed_for=texts,
    from_module=texts,
    cron=st.booleans(),
    read_only=st.booleans(),
    depth=numbers,
    position=numbers,
)
results = st.builds(
    Result,
    messages=st.lists(st.builds(Outgoing, texts, tags, data, numbers), max_size=3).map(tuple),
    spawns=st.lists(st.builds(SpawnRequest, texts, tags, data, numbers), max_size=2).map(tuple),
    assignments=st.lists(
        st.builds(AssignRequest, texts, st.lists(texts, max_size=3).map(tuple)), max_size=2
    ).map(tuple),
    output=texts,
    error=texts,
    recorded=st.lists(st.binary(max_size=9), max_size=3).map(tuple),
)


def message(**fields):
    base = {"id": "i", "process": "p", "target": "p", "owner": "o", "sender": "s"}
    return Message(**(base | fields))


@given(st.binary(min_size=32, max_size=32))
def test_an_id_is_43_characters_and_reads_back(digest):
    text = encode_id(digest)
    assert len(text) == 43
    assert is_id(text)
    assert decode_id(text) == digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "a" * 42,
        "a" * 44,
        "ä" * 43,
        "=" * 43,
        " " * 43,
        "../" * 14 + "a",
        "a/" * 21 + "A",
        "a+" * 21 + "A",
    ],
)
def test_what_has_another_form_is_no_id(text):
    assert not is_id(text)


@given(messages)
def test_a_message_reads_back_from_the_log_as_it_was(original):
    again = decode_message(encode(original))
    assert again == original
    assert type(again.data) is type(original.data)
    assert encode(again) == encode(original)


@given(results)
def test_a_result_reads_back_from_the_log_as_it_was(original):
    again = decode_result(encode_result(original))
    assert again == original
    assert encode_result(again) == encode_result(original)


def test_the_empty_result_is_encoded_like_any_other():
    assert encode_result(EMPTY_RESULT) == encode_result(Result())


@given(texts, tags, data)
def test_equal_items_have_equal_ids(target, given_tags, given_data):
    first = Item(target, "o", "s", given_tags, given_data)
    second = Item(target, "o", "s", Tags(list(given_tags)), given_data)
    assert first.id() == second.id()
    assert len(first.id()) == 43


ITEM = Item("t", "o", "s", Tags({"A": "1"}), "d", anchor="1", reference="2", pushed_for="3")


@pytest.mark.parametrize(
    "change",
    [
        {"target": "x"},
        {"owner": "x"},
        {"sender": "x"},
        {"tags": Tags({"A": "2"})},
        {"tags": Tags([("A", "1"), ("A", "1")])},
        {"data": "x"},
        {"anchor": "x"},
        {"reference": "x"},
        {"pushed_for": "x"},
        {"type": "Process"},
    ],
)
def test_every_field_that_a_sender_says_changes_the_id(change):
    assert replace(ITEM, **change).id() != ITEM.id()


def test_text_and_the_same_text_as_bytes_have_one_id():
    assert replace(ITEM, data="é").id() == replace(ITEM, data="é".encode()).id()


def test_the_id_of_a_known_item_never_changes():
    assert ITEM.id() == "gl5C9i1jpooEQJqxQD8g0PzIp_laKnPIweZTk8rFfgI"


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("x-foo_bar", "X-Foo-Bar"),
        ("X-FOO-BAR", "X-Foo-Bar"),
        ("myTag", "Mytag"),
        ("action", "Action"),
        ("", ""),
        ("-a-", "-A-"),
    ],
)
def test_tag_names_are_normalised_as_aos_does(name, normal):
    assert normalise_name(name) == normal


def test_a_tag_is_found_in_any_case_and_with_either_dash():
    found = Tags({"X-Max_Tokens": "4"})
    for name in ("X-Max-Tokens", "x-max-tokens", "x_max_tokens", "X-MAX_TOKENS"):
        assert found[name] == found.get(name) == "4"
        assert name in found


def test_the_first_of_several_tags_wins_and_all_are_kept_in_order():
    several = Tags([("A", "1"), ("B", "2"), ("a", "3"), ("A", "1")])
    assert several["A"] == "1"
    assert several.all("a") == ["1", "3", "1"]
    assert list(several) == [("A", "1"), ("B", "2"), ("a", "3"), ("A", "1")]
    assert len(several) == 4


@given(pairs)
def test_tags_keep_what_was_sent(given_pairs):
    tags = Tags(given_pairs)
    assert list(tags) == given_pairs
    for name, _ in given_pairs:
        first = next(v for n, v in given_pairs if normalise_name(n) == normalise_name(name))
        assert tags[name] == first
        assert tags.all(name)[0] == first


def test_tag_values_become_text():
    assert Tags({"N": 5, "S": "x", "F": None}).pairs == (("N", "5"), ("S", "x"), ("F", "None"))
    assert Tags({"N": 5})["n"] == "5"


def test_a_missing_tag_gives_the_default_or_a_key_error():
    assert Tags().get("A") == ""
    assert Tags().get("A", "d") == "d"
    assert "A" not in Tags()
    assert 5 not in Tags()
    with pytest.raises(KeyError):
        Tags()["A"]


def test_equal_tags_are_equal_and_hash_alike():
    assert Tags({"A": "1"}) == Tags([("A", "1")])
    assert hash(Tags({"A": "1"})) == hash(Tags([("A", "1")]))
    assert Tags({"A": "1"}) != Tags({"a": "1"})
    assert repr(Tags({"A": "1"})) == "Tags(A=1)"


def test_extras_are_the_tags_that_belong_to_the_user():
    assert Tags([("X-A", "1"), ("B", "2"), ("x-a", "3")]).extras() == [("X-A", "1"), ("x-a", "3")]


def test_get_looks_at_the_message_s_own_fields_before_its_tags():
    given_message = message(
        sender="real", tags=Tags({"From": "forged", "Owner": "forged", "Colour": "red"}), nonce=7
    )
    assert given_message.get("From") == "real"
    assert given_message.get("owner") == "o"
    assert given_message.get("Nonce") == "7"
    assert given_message.get("colour") == "red"
    assert given_message.get("Size") == ""
    assert given_message.get("Size", "small") == "small"


def test_get_gives_data_as_text_even_if_it_came_as_bytes():
    assert message(data="é").get("Data") == "é"
    assert message(data="é".encode()).get("Data") == "é"


def test_text_of_bytes_is_their_utf8_text():
    assert message(data="é".encode()).text == "é"
    with pytest.raises(HandlerError, match="not UTF-8"):
        _ = message(data=b"\xff").text


def test_json_data_is_parsed_from_text_and_bytes():
    assert message(data='{"a": 1}').json() == {"a": 1}
    assert message(data=b"[1]").json() == [1]


@pytest.mark.parametrize("bad", ["", "{", "[" * 100_000, b"\xff"])
def test_bad_json_is_a_handler_error(bad):
    with pytest.raises(HandlerError, match="Data is not"):
        message(data=bad).json()


def test_json_with_half_a_character_is_a_handler_error():
    # A lone surrogate cannot be written to the log: refused where it enters.
    with pytest.raises(HandlerError, match="Data is not valid JSON"):
        message(data=r'{"a": "\ud800"}').json()
    assert message(data=r'"\ud83d\ude00"').json() == "😀"


def test_of_a_tag_twice_the_last_counts_at_the_root_and_the_first_in_the_tags():
    twice = message(tags=Tags([("action", "A"), ("N", "1"), ("Action", "B"), ("n", "2")]))
    assert (twice.action, twice.get("N")) == ("B", "2")
    assert (twice.tags["Action"], twice.tags.get("N"), twice.tags.last("n")) == ("A", "1", "2")
    assert message().action == ""
