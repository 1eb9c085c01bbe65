"""A module that is no Python class: a stack machine whose code is text."""

import json

import pytest
from replaying import replay_network

from benchpool.ao.message import Message, Outgoing, ProcessInfo
from benchpool.ao.tags import Tags
from benchpool.errors import HandlerError, UnknownModule
from benchpool.network import Network
from benchpool.process.process import Process, handler
from benchpool.process.registry import Registry


class Machine:
    """Brings its own trust, Eval and boot; JSON is text to it, as any other."""

    extensions = ()
    heavy = False
    inbox = ()

    def __init__(self, info: ProcessInfo, code: str) -> None:
        self.id = info.id
        self._owner = info.owner
        self._code = code
        self._stack: list[int] = []
        self._before: list[int] = []
        self._sent = self._sent_before = 0

    @property
    def state(self):
        return list(self._stack)

    def look_ahead(self, batch):
        raise AssertionError("it is not heavy")

    def handle(self, message: Message, most: int):
        self._before, self._sent_before = list(self._stack), self._sent
        code = self._code
        if message.type == "Process":
            code = message.tags.get("On-Boot")
        elif message.action == "Eval":
            if message.sender != self._owner:
                return (), (), (), "not you"
            code = message.text
        for word in code.split():
            if word == "+":
                self._stack.append(self._stack.pop() + self._stack.pop())
            elif word == "tell":
                self._sent += 1
            else:
                self._stack.append(int(word))
        told = tuple(
            Outgoing(message.sender, Tags({"Action": "Told"}), str(self._stack), number)
            for number in range(self._sent_before + 1, self._sent + 1)
        )
        if len(told) > most:
            raise HandlerError("too much to tell")
        return told, (), (), f"{len(self._stack)} deep"

    def commit(self):
        pass

    def undo(self):
        self._stack, self._sent = self._before, self._sent_before

    def dump(self):
        return json.dumps([self._sent, self._stack]).encode()

    def load(self, memory):
        self._sent, self._stack = json.loads(memory)

    def inspect(self):
        return {"handlers": [], "description": {"code": self._code}}


def machines():
    registry = Registry()
    registry.add(lambda info: Machine(info, code="1 + tell"), "Machine")
    return registry


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def test_a_module_need_not_be_a_class(home):
    with Network(home, registry=machines()) as network:
        network.spawn("Machine", {"On-Boot": "20 21"}, name="m")
        assert network.send("m", "Eval", data="+").result.output == "1 deep"
        sent = network.send("m", "Anything", {"Content-Type": "application/json"}, data="{")
        assert [reply.data for reply in sent.replies] == ["[42]"]
        failed = network.send("m", "Eval", data="7 tell +  +")
        assert "pop from empty list" in failed.result.error
        assert network.dry_run("m", "Eval", data="1 2").output == "3 deep"
        assert network.process("m").state == [42]
        stranger = network.new_wallet("stranger")
        assert network.send("m", "Eval", data="1", sender=stranger).result.output == "not you"
        assert network.inbox("m") == []
    with Network(home, registry=machines()) as network:
        assert network.process("m").state == [42]
        assert network.send("m", "Count").replies[-1].data == "[43]"
        replay = replay_network(network)
        assert (replay.difference, replay.messages) == (None, 6)


def test_what_makes_no_process_cannot_be_spawned(network):
    network.registry.add(Tags, "Tags")
    network.registry.add(lambda _info: 7, "Seven")
    with pytest.raises(UnknownModule, match="'Seven' makes a int, no process"):
        network.spawn("Seven")
    with pytest.raises(UnknownModule, match="no usable first state"):
        network.spawn("Tags")
    assert network.processes() == []


def test_a_handler_cannot_bear_the_name_of_what_the_units_call():
    with pytest.raises(TypeError, match="handlers named commit, load"):

        class Wrong(Process):
            @handler("Load")
            def load(self, message: Message) -> None: ...

            @handler("Commit")
            def commit(self, message: Message) -> None: ...
