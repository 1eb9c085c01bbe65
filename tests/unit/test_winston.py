import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from benchpool.errors import InvalidQuantity
from benchpool.winston import WINSTON_PER_WAR, Winston, format_war, parse_quantity, parse_war, split


class Account(BaseModel):
    balance: Winston = 0


@pytest.mark.parametrize("text", ["1", "10", "123456789012345678901234567890", "9" * 4000])
def test_a_positive_whole_number_is_a_quantity(text):
    assert parse_quantity(text) == int(text)


@pytest.mark.parametrize("text", [None, ""])
def test_a_missing_quantity_is_required(text):
    with pytest.raises(InvalidQuantity, match=r"^Quantity is required!$"):
        parse_quantity(text)


@pytest.mark.parametrize("text", ["0", "00", "-1", "-0", "-12345678901234567890"])
def test_zero_and_negative_integers_are_too_small(text):
    with pytest.raises(InvalidQuantity, match=f"Quantity must be greater than 0, not '{text}'"):
        parse_quantity(text)


@pytest.mark.parametrize(
    "text", ["1.5", "+5", "007", "1e9", " 5", "5 ", "5\n", "1_000", "1,000", "٣", "²", "0x1", "abc"]
)
def test_anything_else_is_not_a_whole_number(text):
    with pytest.raises(InvalidQuantity, match="must be a whole number of winston") as caught:
        parse_quantity(text)
    assert ascii(text) in str(caught.value)


def test_a_number_that_python_would_not_convert_is_refused_with_its_length():
    with pytest.raises(InvalidQuantity, match=r"4,001 digits, at most 4,000 .*'1{36}\.\.\.$"):
        parse_quantity("1" * 4001)


def test_a_long_bad_text_is_shown_shortened():
    with pytest.raises(InvalidQuantity) as caught:
        parse_quantity("x" * 10_000)
    assert str(caught.value).endswith("'" + "x" * 36 + "...")


@pytest.mark.parametrize(
    ("winston", "text"),
    [
        (0, "0 wAR"),
        (1, "0.000000000001 wAR"),
        (1_500_000_000_000, "1.5 wAR"),
        (WINSTON_PER_WAR, "1 wAR"),
        (100 * WINSTON_PER_WAR, "100 wAR"),
        (1_234_567 * WINSTON_PER_WAR + 10, "1234567.00000000001 wAR"),
        (-1_500_000_000_000, "-1.5 wAR"),
        (-1, "-0.000000000001 wAR"),
    ],
)
def test_winston_are_written_as_war(winston, text):
    assert format_war(winston) == text


@given(st.integers(min_value=0))
def test_what_is_written_as_war_is_read_back(winston):
    assert parse_war(format_war(winston)) == winston
    assert parse_war(format_war(winston).removesuffix(" wAR")) == winston


@given(st.integers(min_value=1))
def test_a_quantity_is_read_back(winston):
    assert parse_quantity(str(winston)) == winston


@pytest.mark.parametrize(
    ("text", "winston"),
    [("1.5", 1_500_000_000_000), ("0", 0), ("0.000000000001", 1), ("007", 7 * WINSTON_PER_WAR)],
)
def test_war_is_exact(text, winston):
    assert parse_war(text) == winston


@pytest.mark.parametrize("text", ["", ".5", "1.", "-1", "+1", "1e3", " 1", "1,5", "٣", "1 AR"])
def test_what_is_no_decimal_number_is_no_war(text):
    with pytest.raises(InvalidQuantity, match=r"written like 1\.5"):
        parse_war(text)


def test_a_part_of_a_winston_is_refused():
    with pytest.raises(InvalidQuantity, match="at most 12 decimals"):
        parse_war("0.0000000000010")


def test_a_war_beyond_all_digits_is_refused():
    with pytest.raises(InvalidQuantity, match="digits"):
        parse_war("1" * 4000)


@pytest.mark.parametrize(
    ("total", "weights", "shares"),
    [
        (10, [1, 1, 1], [4, 3, 3]),
        (11, [1, 1, 1], [4, 4, 3]),
        (2, [0, 1, 0, 1, 1], [0, 1, 0, 1, 0]),
        (5, [0, 3], [0, 5]),
        (0, [1, 2], [0, 0]),
        (0, [], []),
        (0, [0, 0], [0, 0]),
    ],
)
def test_split_gives_the_remainder_in_the_order_given(total, weights, shares):
    assert split(total, weights) == shares


@pytest.mark.parametrize(("total", "weights"), [(-1, [1]), (1, [2, -1]), (1, []), (1, [0, 0])])
def test_split_refuses_what_cannot_be_divided(total, weights):
    with pytest.raises(ValueError, match=r"negative|every weight is zero"):
        split(total, weights)


@given(
    st.integers(0, 10**40),
    st.lists(st.integers(0, 10**20), min_size=1, max_size=30).filter(any),
)
def test_split_loses_nothing_and_is_off_by_less_than_one(total, weights):
    shares = split(total, weights)
    assert sum(shares) == total
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share * sum(weights) - total * weight) < sum(weights)
        assert weight or not share


@pytest.mark.parametrize("amount", [0, 1, 2**64, 10**40])
def test_an_amount_survives_json_as_a_string(amount):
    account = Account(balance=amount)
    assert account.model_dump() == {"balance": amount}
    assert account.model_dump_json() == f'{{"balance":"{amount}"}}'
    assert Account.model_validate_json(account.model_dump_json()) == account
    assert Account.model_validate_json(f'{{"balance":{amount}}}') == account


@pytest.mark.parametrize(
    "value", ["", "-1", "1.0", "01", " 1", "1_0", "٣", "1" * 4001, -1, 1.0, True, None, [1]]
)
def test_what_is_no_amount_does_not_enter_a_state(value):
    with pytest.raises(ValidationError):
        Account.model_validate({"balance": value})


def test_an_amount_in_a_dictionary_is_checked_too():
    class Book(BaseModel):
        balances: dict[str, Winston] = {}

    book = Book.model_validate({"balances": {"alice": "18446744073709551616"}})
    assert book.balances["alice"] == 2**64
    with pytest.raises(ValidationError):
        Book.model_validate({"balances": {"alice": "-1"}})
