"""What an auction does, as a story of messages."""

import pytest
from auction import Auction, House

from benchpool import Network


@pytest.fixture
def network():
    with Network(seed=1) as network:  # in memory; the same seed, the same ids
        network.registry.add(Auction)
        network.registry.add(House)
        token = network.spawn("WrappedAR", name="Token")
        for name in ("ana", "ben"):
            wallet = network.new_wallet(name)
            network.send(token, "Mint", {"Recipient": wallet.address, "Quantity": 100})
        cron = {"Cron-Interval": "1-hour", "Cron-Tag-Action": "Tick"}
        tags = {"Item": "lamp", "Token": token, "House": network.spawn("House", name="House")}
        network.spawn("Auction", {**tags, **cron}, name="Lamp")
        yield network


def bid(network, who, quantity):
    tags = {"Recipient": network.resolve("Lamp"), "Quantity": quantity}
    return network.send("Token", "Transfer", tags, sender=who)


def balance(network, who):
    return network.send("Token", "Balance", sender=who).reply().data


def test_who_is_outbid_gets_the_money_back(network):
    bid(network, "ana", 10)
    bid(network, "ben", 20)
    assert network.process("Lamp").state.bidder == network.resolve("ben")
    assert (balance(network, "ana"), balance(network, "ben")) == ("100", "80")


def test_a_bid_that_is_too_low_comes_back(network):
    bid(network, "ana", 10)
    assert (
        bid(network, "ben", 10).trace.replies(network.resolve("ben"))[-1].tags["X-Reason"]
        == "too low"
    )
    assert balance(network, "ben") == "100"


def test_the_highest_bid_wins_when_the_time_has_come(network):
    bid(network, "ana", 10)
    network.advance("1d")
    assert [mail.action for mail in network.inbox("ana")][-1] == "Won"
    assert balance(network, "default") == "10"
    assert network.process("House").state.prices == [10]
    bid(network, "ben", 50)
    assert balance(network, "ben") == "100"


def test_only_the_owner_sells_and_only_with_an_item(network):
    assert (
        "not its owner" in network.send("Lamp", "Sell-Next", {"Item": "vase"}, sender="ana").error
    )
    assert network.send("Lamp", "Sell-Next").error == "Item is required!"
    network.send("Lamp", "Sell-Next", {"Item": "vase"})
    following = network.process("Lamp").state.next
    assert network.dry_run(following, "Info").messages[0].tags["Item"] == "vase"


def test_a_notice_that_is_not_the_tokens_moves_nothing(network):
    sent = network.send("Lamp", "Credit-Notice", {"Sender": "me", "Quantity": 5}, sender="ana")
    assert "not the token" in sent.result.output
    assert network.process("Lamp").state.bid == 0


def test_an_auction_of_nothing_is_no_process(network):
    with pytest.raises(Exception, match="Item and Token are required!"):
        network.spawn("Auction")
