"""The token, told through messages only."""

import json

import pytest

from benchpool.ao.clock import HOUR_MS
from benchpool.audit.ledger import LedgerRecount
from benchpool.errors import HandlerError
from benchpool.winston import MAX_DIGITS

HOSTILE = ["1.5", "-1", "+5", "007", "1e9", " 5", "5 ", "", "٣", "0", "-0", "00", "0x10", "1_000"]


@pytest.fixture
def alice(network):
    return network.new_wallet("alice")


@pytest.fixture
def bob(network):
    return network.new_wallet("bob")


@pytest.fixture
def token(network, alice):
    token = network.spawn("WrappedAR", sender=alice)
    network.send(token, "Mint", {"Quantity": "1000"}, sender=alice)
    return token


def tags(message):
    return dict(message.tags.pairs)


def balance(network, token, wallet):
    result = network.dry_run(token, "Balance", {"Recipient": wallet.address})
    return int(result.messages[0].data)


def refused(network, token, sent):
    """Return the error of a message that must have had no other effect."""
    assert sent.replies == []
    assert sent.error
    return sent.error


def test_info_shows_the_token_with_its_defaults(network, token, bob):
    assert tags(network.send(token, "Info", sender=bob).reply()) == {
        "Name": "Wrapped AR",
        "Ticker": "wAR",
        "Logo": "",
        "Denomination": "12",
        "Total-Supply": "1000",
    }


def test_spawn_tags_name_the_token(network, alice):
    spawn_tags = {"Name": "Gold", "Ticker": "AU", "Denomination": "3", "Logo": "logo-id"}
    token = network.spawn("WrappedAR", spawn_tags, sender=alice)
    assert tags(network.send(token, "Info").reply()) == {
        **spawn_tags,
        "Total-Supply": "0",
    }


@pytest.mark.parametrize("decimals", ["twelve", "-1", "1.5", "256"])
def test_a_denomination_must_be_a_whole_number(network, decimals):
    with pytest.raises(HandlerError, match="Denomination must be a whole number from 0 to 255"):
        network.spawn("WrappedAR", {"Denomination": decimals})


def test_a_transfer_moves_the_amount_and_tells_both(network, token, alice, bob):
    sent = network.send(
        token,
        "Transfer",
        {"Recipient": bob.address, "Quantity": "300", "X-Pool": "7", "Memo": "no", "x-note": "hi"},
        sender=alice,
    )
    debit, credit = (child.message for child in sent.trace.children)
    assert debit.process == alice.address
    assert tags(debit) == {
        "Action": "Debit-Notice",
        "Recipient": bob.address,
        "Quantity": "300",
        "X-Pool": "7",
        "x-note": "hi",
    }
    assert credit.process == bob.address
    assert tags(credit) == {
        "Action": "Credit-Notice",
        "Sender": alice.address,
        "Quantity": "300",
        "X-Pool": "7",
        "x-note": "hi",
    }
    assert balance(network, token, alice) == 700
    assert balance(network, token, bob) == 300


def test_a_reference_comes_back_once_with_each_notice(network, token, alice, bob):
    given = {"Recipient": bob.address, "Quantity": "1", "X-Reference": "9", "X-Origin": "me"}
    sent = network.send(token, "Transfer", given, sender=alice)
    for child in sent.trace.children:
        assert child.message.tags.all("X-Reference") == ["9"]
        assert child.message.tags.all("X-Origin") == ["me"]


@pytest.mark.parametrize("cast", ["true", "false", ""])
def test_cast_suppresses_both_notices(network, token, alice, bob, cast):
    given = {"Recipient": bob.address, "Quantity": "300", "Cast": cast}
    sent = network.send(token, "Transfer", given, sender=alice)
    assert sent.trace.children == []
    assert balance(network, token, bob) == 300


def test_a_transfer_of_everything_leaves_an_account_out_of_balances(network, token, alice, bob):
    network.send(token, "Transfer", {"Recipient": bob.address, "Quantity": "1000"}, sender=alice)
    reply = network.send(token, "Balances", sender=bob).reply()
    assert json.loads(reply.data) == {bob.address: "1000"}


def test_balances_lists_every_holder_as_decimal_strings(network, token, alice, bob):
    network.send(token, "Transfer", {"Recipient": bob.address, "Quantity": "1"}, sender=alice)
    reply = network.send(token, "Balances", sender=bob).reply()
    assert json.loads(reply.data) == {alice.address: "999", bob.address: "1"}


def parts(network, token, limit, sender, between=lambda: None):
    """Ask for all balances in parts; return these."""
    found, cursor = [], "0"
    while cursor:
        given = {"Limit": str(limit), "Cursor": cursor}
        reply = network.send(token, "Balances", given, sender=sender).reply()
        found.append(json.loads(reply.data))
        cursor = reply.tags.get("Next-Cursor")
        between()
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 100_000])
def test_balances_can_be_had_in_parts(network, token, alice, bob, limit):
    for number in range(9):
        given = {"Recipient": f"holder {number}".replace(" ", "-"), "Quantity": str(number + 1)}
        network.send(token, "Transfer", given, sender=alice)
    for empty in (alice.address, "holder-3", "holder-8"):
        network.process(token).state.balances[empty] = 0
    held = json.loads(network.send(token, "Balances", sender=bob).reply().data)
    found = parts(network, token, limit, bob)
    assert [pair for part in found for pair in part.items()] == list(held.items())
    assert all(len(part) == limit for part in found[:-1])
    assert 0 < len(found[-1]) <= limit


def test_what_comes_meanwhile_moves_nothing_to_another_part(network, token, alice, bob):
    for number in range(6):
        given = {"Recipient": f"holder-{number}", "Quantity": "1"}
        network.send(token, "Transfer", given, sender=alice)
    more = iter(range(6, 9))

    def transfer():
        given = {"Recipient": f"holder-{next(more, 0)}", "Quantity": "1"}
        network.send(token, "Transfer", given, sender=alice)

    found = [account for part in parts(network, token, 2, bob, transfer) for account in part]
    assert len(found) == len(set(found))
    assert {f"holder-{number}" for number in range(6)} <= set(found)


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ({"Cursor": "1000000"}, {}),
        ({"Limit": "5", "Cursor": "1000000000000000"}, {}),
        ({"Cursor": "1"}, None),
        ({"Limit": "0"}, "Limit must be a whole number from 1 to 100000, not '0'"),
        ({"Limit": "100001"}, "Limit must be"),
        ({"Limit": "ten"}, "Limit must be"),
        ({"Limit": "5", "Cursor": "-1"}, "Cursor must be"),
        ({"Cursor": "x"}, "Cursor must be"),
    ],
)
def test_a_part_that_is_none(network, token, alice, given, held):
    sent = network.send(token, "Balances", given, sender=alice)
    if isinstance(held, str):
        assert held in sent.error
    else:
        found = json.loads(sent.reply().data)
        assert found == held if held is not None else alice.address not in found
        assert "Next-Cursor" not in sent.reply().tags


def test_more_balances_than_one_answer_holds_are_told_how_to_ask_for(network, token, alice):
    process = network.process(token)
    balances = process.state.balances
    balances.update({f"{number:043d}": 10**12 for number in range(200_000)})
    process.commit()
    said = network.dry_run(token, "Balances", sender=alice).error
    assert said == (
        "200,001 accounts hold something, too many for one answer; ask with Limit"
        " (at most 100,000), and go on with Next-Cursor of the answer as Cursor"
    )
    asked = network.dry_run(token, "Balances", {"Cursor": "100001"}, sender=alice)
    assert len(json.loads(asked.messages[0].data)) == 100_000
    balances.update({f"{number:043d}": 0 for number in range(40_000)})
    process.commit()
    whole = network.dry_run(token, "Balances", sender=alice)
    assert len(json.loads(whole.messages[0].data)) == 160_001


def test_a_transfer_to_oneself_comes_out_even(network, token, alice):
    given = {"Recipient": alice.address, "Quantity": "1000"}
    sent = network.send(token, "Transfer", given, sender=alice)
    assert [reply.action for reply in sent.replies] == ["Debit-Notice", "Credit-Notice"]
    assert balance(network, token, alice) == 1000


@pytest.mark.parametrize("quantity", ["1001", str(10**400)])
def test_too_little_money_is_a_reply_and_not_an_error(network, token, alice, bob, quantity):
    given = {"Recipient": bob.address, "Quantity": quantity, "X-Pool": "7", "X-Reference": "3"}
    sent = network.send(token, "Transfer", given, sender=alice)
    assert sent.error == ""
    assert [tags(reply) for reply in sent.replies] == [
        {
            "Action": "Transfer-Error",
            "Message-Id": sent.id,
            "Error": "Insufficient Balance!",
            "X-Pool": "7",
            "X-Reference": "3",
        }
    ]
    assert balance(network, token, alice) == 1000
    assert balance(network, token, bob) == 0


def test_who_has_no_account_has_no_money(network, token, bob, alice):
    given = {"Recipient": alice.address, "Quantity": "1"}
    sent = network.send(token, "Transfer", given, sender=bob)
    assert sent.reply().tags["Error"] == "Insufficient Balance!"


@pytest.mark.parametrize("quantity", HOSTILE)
@pytest.mark.parametrize("action", ["Transfer", "Mint", "Burn"])
def test_a_malformed_quantity_is_refused(network, token, alice, bob, action, quantity):
    before = network.process(token).dump()
    given = {"Recipient": bob.address, "Quantity": quantity}
    sent = network.send(token, action, given, sender=alice)
    assert "Quantity" in refused(network, token, sent)
    assert network.process(token).dump() == before


@pytest.mark.parametrize("action", ["Transfer", "Mint", "Burn"])
def test_a_quantity_is_required(network, token, alice, bob, action):
    sent = network.send(token, action, {"Recipient": bob.address}, sender=alice)
    assert refused(network, token, sent) == "Quantity is required!"


def test_a_recipient_is_required(network, token, alice):
    sent = network.send(token, "Transfer", {"Quantity": "1"}, sender=alice)
    assert refused(network, token, sent) == "Recipient is required!"


@pytest.mark.parametrize(
    "recipient", [" ", "a b", "bob\n", "\tbob", "bo\x00b", "bob\u200b", "\u00a0"]
)
@pytest.mark.parametrize("action", ["Transfer", "Mint"])
def test_a_recipient_holds_nothing_that_cannot_be_seen(network, token, alice, action, recipient):
    before = network.process(token).dump()
    sent = network.send(token, action, {"Recipient": recipient, "Quantity": "1"}, sender=alice)
    assert "Recipient is not an address" in refused(network, token, sent)
    assert network.process(token).dump() == before


def test_any_other_text_is_an_address(network, token, alice):
    given = {"Recipient": "vault", "Quantity": "5"}
    network.send(token, "Transfer", given, sender=alice)
    reply = network.send(token, "Balance", {"Recipient": "vault"}, sender=alice).reply()
    assert reply.data == "5"


def test_balance_answers_for_recipient_then_target_then_sender(network, token, alice, bob):
    def ask(given, sender):
        reply = network.send(token, "Balance", given, sender=sender).reply()
        assert reply.data == reply.tags["Balance"]
        return tags(reply)

    alices = {"Balance": "1000", "Ticker": "wAR", "Account": alice.address}
    bobs = {"Balance": "0", "Ticker": "wAR", "Account": bob.address}
    assert ask({"Recipient": alice.address}, bob) == alices
    assert ask({"Target": alice.address}, bob) == alices
    assert ask({}, alice) == alices
    assert ask({}, bob) == bobs


def test_the_owner_mints_for_anybody(network, token, alice, bob):
    given = {"Quantity": "50", "Recipient": bob.address}
    sent = network.send(token, "Mint", given, sender=alice)
    assert tags(sent.reply()) == {"Action": "Mint-Confirmation", **given}
    assert balance(network, token, bob) == 50
    assert network.send(token, "Total-Supply").reply().data == "1050"


def test_a_cron_tick_of_the_token_may_mint(network, alice):
    cron = {
        "Cron-Interval": "1-hour",
        "Cron-Tag-Action": "Mint",
        "Cron-Tag-Quantity": "7",
        "Cron-Tag-Recipient": "treasury",
    }
    token = network.spawn("WrappedAR", cron, sender=alice)
    network.advance(3 * HOUR_MS)
    assert network.send(token, "Balance", {"Recipient": "treasury"}).reply().data == "21"


def test_of_two_quantities_the_last_is_moved_and_recounted(network, token, alice, bob):
    said = [
        ("Recipient", "carol"),
        ("Recipient", bob.address),
        ("Quantity", "1"),
        ("Quantity", "7"),
    ]
    network.send(token, "Transfer", said, sender=alice)
    assert network.send(token, "Balance", sender=bob).reply().data == "7"
    recount = LedgerRecount(network.info(token))
    for message, result in network.log(token):
        recount.take(message, result)
    assert (recount.problems, recount.balances[bob.address]) == ([], 7)


def test_a_stranger_mints_nothing(network, token, bob):
    sent = network.send(token, "Mint", {"Quantity": "50", "X-Why": "greed"}, sender=bob)
    assert tags(sent.reply()) == {
        "Action": "Mint-Error",
        "Message-Id": sent.id,
        "Error": "Only the Process Id can mint new wAR tokens!",
        "X-Why": "greed",
    }
    assert network.send(token, "Total-Supply").reply().data == "1000"


def test_a_stranger_who_claims_to_be_the_token_is_not_heard(network, token, bob):
    given = {"Quantity": "50", "From-Process": token}
    sent = network.send(token, "Mint", given, sender=bob)
    assert "not trusted" in sent.result.output
    assert network.send(token, "Total-Supply").reply().data == "1000"


def test_burning_takes_from_the_sender_and_the_supply(network, token, alice, bob):
    sent = network.send(token, "Burn", {"Quantity": "400"}, sender=alice)
    assert tags(sent.reply()) == {"Action": "Burn-Confirmation", "Quantity": "400"}
    assert balance(network, token, alice) == 600
    reply = network.send(token, "Total-Supply", sender=bob).reply()
    assert tags(reply) == {"Action": "Total-Supply", "Total-Supply": "600", "Ticker": "wAR"}
    assert reply.data == "600"


def test_nobody_burns_more_than_they_have(network, token, alice):
    sent = network.send(token, "Burn", {"Quantity": "1001"}, sender=alice)
    assert tags(sent.reply()) == {
        "Action": "Burn-Error",
        "Message-Id": sent.id,
        "Error": "Insufficient Balance!",
    }
    assert balance(network, token, alice) == 1000


def test_amounts_beyond_any_machine_word_are_exact(network, token, alice, bob):
    huge = 10**400 + 1
    network.send(token, "Mint", {"Quantity": huge}, sender=alice)
    network.send(token, "Transfer", {"Recipient": bob.address, "Quantity": huge}, sender=alice)
    assert balance(network, token, bob) == huge
    assert balance(network, token, alice) == 1000
    assert network.send(token, "Total-Supply").reply().data == str(huge + 1000)


def test_the_supply_stays_within_what_can_be_written_down(network, token, alice):
    most = 10**MAX_DIGITS - 1
    sent = network.send(token, "Mint", {"Quantity": str(most)}, sender=alice)
    assert sent.reply().tags["Error"] == "The supply would become too large!"
    network.send(token, "Mint", {"Quantity": str(most - 1000)}, sender=alice).reply(
        "Mint-Confirmation"
    )
    process = network.process(token)
    process.load(process.dump())
    assert balance(network, token, alice) == most


def test_an_unknown_action_changes_nothing(network, token, alice):
    sent = network.send(token, "Steal", {"Quantity": "1"}, sender=alice)
    assert sent.replies == []
    assert balance(network, token, alice) == 1000


@pytest.mark.parametrize("action", ["Info", "Balance", "Balances"])
def test_tokens_that_are_made_to_ask_each_other_stop(network, token, action):
    """An answer without Action is no question: no handler of the other token takes it."""
    other = network.spawn("WrappedAR", {"Name": "Other"})
    sent = network.send(token, action, {"Reply-To": other})
    assert [each.message.action for each in sent.trace.walk()] == [action, ""]
    assert len(network.inbox(other)) == 1


def test_a_users_own_reference_comes_back(network, token):
    reply = network.send(token, "Balance", {"Reference": "17"}).reply()
    assert reply.tags["X-Reference"] == "17"
    given = {"Reference": "17", "X-Reference": "4"}
    assert network.send(token, "Balance", given).reply().tags.all("X-Reference") == ["4"]
