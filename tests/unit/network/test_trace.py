import pytest

from benchpool.ao.message import Message
from benchpool.errors import HandlerError, UnknownProcess
from benchpool.process.process import Process, State, handler
from benchpool.units.limits import Limits


class Step(Process):
    state: State

    @handler("Transfer")
    def transfer(self, message: Message) -> None:
        self.reply(message, "Debit-Notice")
        self.send(message.tags["Recipient"], "Credit-Notice")

    @handler("Credit-Notice")
    def credit(self, message: Message) -> None:
        raise HandlerError("no room")

    @handler("Down")
    def down(self, message: Message) -> None:
        left = int(message.tags["Left"])
        if left:
            self.send(self.id, "Down", {"Left": left - 1})

    @handler("Make")
    def make(self, message: Message) -> None:
        self.spawn(message.tags["What"], {"For": message.sender})

    @handler("Spawned", "Spawn-Error")
    def spawned(self, message: Message) -> None:
        self.send(message.tags["For"], f"Told-{message.action}")

    @handler("Share")
    def share(self, message: Message) -> None:
        self.assign(message.id, [self.id, message.tags["With"]])

    assignable = ({"Action": "Share"},)


@pytest.fixture
def network(make_network):
    network = make_network(Step, limits=Limits(push_depth=6_000))
    network.spawn("Step", name="a")
    network.spawn("Step", name="b")
    return network


def actions(trace):
    return [node.message.action for node in trace.walk()]


def test_a_transfer_s_tree_is_its_notices_in_the_order_sent(network):
    sent = network.send("a", "Transfer", {"Recipient": network.resolve("b")})
    assert actions(sent.trace) == ["Transfer", "Debit-Notice", "Credit-Notice"]
    debit, credit = sent.trace.children
    assert debit.result is None
    assert credit.result.error == "no room"
    assert [(m.action, why) for m, why in sent.trace.errors()] == [("Credit-Notice", "no room")]
    assert [m.action for m in sent.replies] == ["Debit-Notice"]
    assert sent.reply().action == "Debit-Notice"
    with pytest.raises(HandlerError, match="no Credit-Notice came back"):
        sent.reply("Credit-Notice")


def test_a_spawn_s_tree_has_the_child_the_notice_and_what_came_of_it(network):
    sent = network.send("a", "Make", {"What": "Step"})
    root = sent.trace
    child, notice = root.children
    assert child.message.type == "Process"
    assert notice.message.action == "Spawned"
    assert notice.message.tags["Process"] == child.message.process
    assert sent.reply().action == "Told-Spawned"


def test_a_refused_spawn_s_tree_has_the_notice(network):
    for _ in range(2):
        sent = network.send("a", "Make", {"What": "Nothing"})
        assert actions(sent.trace) == ["Make", "Spawn-Error", "Told-Spawn-Error"]
        assert "no module named 'Nothing'" in sent.trace.children[0].message.tags["Error"]


def test_a_chain_of_5000_is_walked_without_recursion(network):
    sent = network.send("a", "Down", {"Left": 5_000})
    nodes = list(sent.trace.walk())
    assert len(nodes) == 5_001
    assert [node.message.depth for node in nodes] == list(range(5_001))
    assert sent.trace.errors() == []


def test_messages_assigned_in_a_circle_are_shown_once(network):
    sent = network.send("a", "Share", {"With": network.resolve("b")})
    places = [(n.message.id, n.message.process) for n in sent.trace.walk()]
    assert places == [(sent.id, network.resolve("a")), (sent.id, network.resolve("b"))]
    assert network.logs.trace(sent.id, network.resolve("b")).message.process == network.resolve("b")


def test_a_message_that_does_not_exist_has_no_trace(network):
    with pytest.raises(UnknownProcess, match="no message with id"):
        network.logs.trace("nothing")


def test_a_cron_tick_has_a_trace(network):
    cron = [("Cron-Interval", "1-hour"), ("Cron-Tag-Action", "Down"), ("Cron-Tag-Left", "2")]
    network.spawn("Step", cron, name="c")
    network.advance("1h")
    tick = next(message for message, _ in network.log("c") if message.cron)
    assert actions(network.logs.trace(tick.id)) == ["Down", "Down", "Down"]
