# ruff: noqa: RUF012 - pydantic copies the defaults of a state

import pytest

from benchpool.ao.message import Message
from benchpool.errors import PushLimitExceeded
from benchpool.process.process import Process, State, handler
from benchpool.units.limits import Limits


class Heard(State):
    heard: list[str] = []


class Node(Process):
    state: Heard
    assignable = ({"Action": "Shared"},)

    def hear(self, message: Message) -> None:
        self.state.heard.append(message.tags.get("N") or message.action)

    @handler("Fan")
    def fan(self, message: Message) -> None:
        self.hear(message)
        for number, target in enumerate(message.tags.all("To")):
            self.send(target, "Hear", {"N": f"{message.tags['N']}.{number}", "To": self.id})

    @handler("Hear")
    def listen(self, message: Message) -> None:
        self.hear(message)
        if message.tags["N"].count(".") < 3:
            self.send(message.tags["To"], "Hear", {"N": message.tags["N"] + ".0", "To": self.id})

    @handler("Ping")
    def ping(self, message: Message) -> None:
        self.send(message.tags.get("To") or message.sender, "Ping")

    @handler("Bomb")
    def bomb(self, message: Message) -> None:
        self.send(self.id, "Bomb")
        self.send(self.id, "Bomb")

    @handler("Spawn-Bomb")
    def spawn_bomb(self, message: Message) -> None:
        self.spawn("Node")

    @handler("Spawned")
    def spawned(self, message: Message) -> None:
        self.spawn("Node")

    @handler("Shared")
    def shared(self, message: Message) -> None:
        self.hear(message)

    @handler("Share")
    def share(self, message: Message) -> None:
        self.assign(message.tags["Message"], message.tags.all("With"))

    @handler("Mail")
    def mail(self, message: Message) -> None:
        self.send(message.tags["To"], "Letter")


SMALL = Limits(push_depth=50, pushed_messages=200)


@pytest.fixture
def network(make_network):
    network = make_network(Node, limits=SMALL)
    for name in "abc":
        network.spawn("Node", name=name)
    return network


def heard(network, name):
    return network.process(name).state.heard


def test_a_round_is_pushed_in_the_order_of_what_caused_it(network):
    a, b, c = (network.resolve(name) for name in "abc")
    network.post(b, "Fan", [("N", "2"), ("To", c), ("To", a)])
    network.post(a, "Fan", [("N", "1"), ("To", c), ("To", c)])
    network.run()
    assert heard(network, "c") == ["2.0", "1.0", "1.1", "2.0.0.0", "1.0.0.0", "1.1.0.0"]


def test_a_pushed_message_says_whence_it_came(network):
    b, c = network.resolve("b"), network.resolve("c")
    sent = network.send("b", "Fan", [("N", "1"), ("To", c)])
    [pushed] = [message for message, _ in network.log("c") if message.action == "Hear"][:1]
    assert (pushed.sender, pushed.owner, pushed.target) == (b, network.messenger.address, c)
    assert (pushed.reference, pushed.pushed_for, pushed.from_module) == ("1", sent.id, "Node")
    assert (pushed.depth, pushed.anchor) == (1, "")


@pytest.mark.parametrize("action", ["Ping", "Bomb", "Spawn-Bomb"])
def test_a_chain_without_end_is_stopped_and_the_network_goes_on(network, action):
    with pytest.raises(PushLimitExceeded, match="without end"):
        network.send("a", action, {"To": network.resolve("b")})
    assert network.pending == 0
    assert network.store.count() < 600
    network.send("c", "Shared")
    assert heard(network, "c") == ["Shared"]
    network.run()


def test_two_that_answer_each_other_are_stopped_at_the_depth(network):
    with pytest.raises(PushLimitExceeded, match=r"51 pushes deep \(limit 50\).* Ping "):
        network.send("a", "Ping", {"To": network.resolve("b")})
    assert max(message.depth for message, _ in network.log("a")) == 50


def test_a_bomb_of_messages_is_stopped_at_the_count(network):
    with pytest.raises(PushLimitExceeded, match=r"2\d\d messages \(limit 200\)"):
        network.send("a", "Bomb")
    assert len(network.log("a")) <= 202


def test_what_else_was_pending_is_not_stopped_with_it(network):
    network.post("a", "Bomb")
    network.post("c", "Shared")
    network.post("b", "Fan", [("N", "1"), ("To", network.resolve("c"))])
    with pytest.raises(PushLimitExceeded):
        network.run()
    assert heard(network, "c") == ["Shared", "1.0", "1.0.0.0"]


def test_a_limit_counts_each_wallet_s_message_by_itself(network):
    for _ in range(60):
        network.post("b", "Fan", [("N", "1"), ("To", network.resolve("c"))])
    network.run()
    assert len(heard(network, "c")) == 120


def test_an_assigned_message_is_evaluated_once_as_it_was_sent(network):
    a, b = network.resolve("a"), network.resolve("b")
    sent = network.send("a", "Shared", {"N": "1"})
    for _ in range(2):
        network.send("c", "Share", [("Message", sent.id), ("With", b), ("With", a), ("With", "x")])
    network.post_assignment(sent.id, ["b", "c"])
    network.run()
    assert [heard(network, name) for name in "abc"] == [["1"], ["1"], ["1"]]
    assigned = network.log("b")[-1][0]
    assert (assigned.id, assigned.target, assigned.process) == (sent.id, a, b)
    assert assigned.sender == sent.sender


def test_an_assignment_that_the_module_does_not_declare_is_refused(network):
    sent = network.send("a", "Fan", {"N": "1"})
    network.post_assignment(sent.id, ["b"])
    network.run()
    assert heard(network, "b") == []
    assert "Assignment is not trusted" in network.result(sent.id, network.resolve("b")).output


def test_a_message_to_nobody_s_address_is_kept_as_mail(network):
    sent = network.send("a", "Mail", {"To": "0xSomebodyElse"})
    [letter] = [node.message for node in sent.trace.walk()][1:]
    assert letter.process == "0xSomebodyElse"
    assert network.pending == 0


def test_a_process_that_claims_to_be_another_is_not_heard(network):
    forged = network.send("a", "Shared", {"From-Process": network.resolve("b")})
    assert "not trusted" in forged.result.output
    assert heard(network, "a") == []


def test_several_listeners_are_told_of_each_round(network):
    told = {"one": [], "other": []}

    def listen(name):
        def listener(kind, messages, results, seconds):
            told[name].append((kind, [each.action for each in messages], len(results)))

        return network.messenger.observe(listener)

    stop_one, _ = listen("one"), listen("other")
    network.send("a", "Mail", {"To": "b"})
    stop_one()
    network.send("a", "Unknown")
    mail, unknown = (("light", [action], 1) for action in ("Mail", "Unknown"))
    assert told == {"one": [mail], "other": [mail, unknown]}
