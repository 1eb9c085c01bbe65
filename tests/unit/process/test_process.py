# ruff: noqa: RUF012 - pydantic copies the defaults of a state

import pytest

from benchpool.ao.ids import encode_id
from benchpool.ao.message import Message, ProcessInfo
from benchpool.ao.tags import Tags
from benchpool.errors import HandlerError, UnknownModule
from benchpool.extensions.base import Recorder
from benchpool.process.handlers import Verdict
from benchpool.process.process import Process, State, handler, state_type
from benchpool.units.folding import Instance, fold

OWNER = encode_id(b"o" * 32)
MESSENGER = encode_id(b"m" * 32)
STRANGER = encode_id(b"s" * 32)
PROCESS = encode_id(b"p" * 32)


def make(module, *, authority=MESSENGER, **tags):
    pairs = [("Module", module.__name__), *tags.items()]
    if authority:
        pairs.append(("Authority", authority))
    info = ProcessInfo(
        id=PROCESS,
        module=module.__name__,
        owner=OWNER,
        tags=Tags(pairs),
        created_ms=0,
        created_height=0,
        order=0,
    )
    return Instance(module(info), Recorder())


def message(action="", tags=(), **fields):
    base = {"id": "i", "process": PROCESS, "target": PROCESS, "owner": OWNER}
    base["sender"] = fields.get("owner", OWNER)
    pairs = [("Action", action)] if action else []
    return Message(tags=Tags([*pairs, *Tags(tags)]), **(base | fields))


def pushed(action="", tags=(), sender=STRANGER, **fields):
    return message(action, tags, owner=MESSENGER, sender=sender, **fields)


class Counts(State):
    count: int = 0
    seen: dict[str, int] = {}
    answers: list[str] = []


class Clerk(Process):
    state: Counts

    inbox_limit = 3
    assignable = ({"Action": "Shared"},)

    def on_spawn(self, message: Message) -> None:
        if "Refuse" in self.tags:
            raise HandlerError("Refuse is not for me")
        self.state.count = 100

    @handler("Count", requires=("Step",))
    def add(self, message: Message) -> None:
        self.state.count += int(message.tags["Step"])
        self.log(f"count {self.state.count}")
        self.log("done")

    @handler("Ping", "Pong")
    def ping(self, message: Message) -> None:
        self.reply(message, "Answer", {"N": 1}, "data")

    @handler("Pass-On")
    def pass_on(self, message: Message) -> None:
        self.forward(message, STRANGER, {"Colour": "blue"})

    @handler("Fail")
    def fail(self, message: Message) -> None:
        self.state.count += 1
        self.state.seen["x"] = 1
        self.send(STRANGER, "Lost")
        self.spawn("Clerk")
        self.assign("m", [STRANGER])
        self.log("lost")
        self.receive({"Action": "Later"}, self.later)
        self.keep_in_inbox(message)
        raise {"bug": ZeroDivisionError("by design"), "": HandlerError("refused")}[
            message.tags.get("How")
        ]

    @handler("Secret", owner_only=True)
    def secret(self, message: Message) -> None:
        self.state.count = -1

    @handler("Shared")
    def shared(self, message: Message) -> None:
        self.state.count += 1000

    @handler("Ask")
    def ask(self, message: Message) -> None:
        reference = self.send(STRANGER, "Question")
        self.on_reply(reference, STRANGER, self.answered, asked_by=message.sender, n=[1])

    def answered(self, message: Message, asked_by: str, n: list[int]) -> None:
        if "Fail" in message.tags:
            raise HandlerError("not that answer")
        self.state.answers.append(f"{asked_by[:2]} {n} {message.text}")

    @handler("Wait")
    def wait(self, message: Message) -> None:
        self.receive({"Action": "Later"}, self.later)

    def later(self, message: Message) -> None:
        self.state.answers.append(f"later {message.text}")
        if "Again" in message.tags:
            self.receive({"Action": "Later"}, self.later)


@pytest.fixture
def clerk():
    return make(Clerk)


def everything(instance):
    process = instance.process
    return (
        process.dump(),
        process.reference,
        list(process.inbox),
        [(row.name, row.describe()) for row in process.handlers],
    )


# -- the table ---------------------------------------------------------------------------------


def test_the_handler_table_lists_the_methods_as_written(clerk):
    assert [(row.name, row.describe()) for row in clerk.process.handlers] == [
        ("Count", "Action = Count"),
        ("Ping", "Action = Ping"),
        ("Pong", "Action = Pong"),
        ("Pass-On", "Action = Pass-On"),
        ("Fail", "Action = Fail"),
        ("Secret", "Action = Secret"),
        ("Shared", "Action = Shared"),
        ("Ask", "Action = Ask"),
        ("Wait", "Action = Wait"),
    ]


class Base(Process):
    state: Counts

    @handler("One")
    def one(self, message: Message) -> None:
        self.log("base one")

    @handler({"Action": "Two"}, name="second", then=Verdict.CONTINUE)
    def two(self, message: Message) -> None:
        self.log("base two")


class Derived(Base):
    @handler("Three")
    def three(self, message: Message) -> None:
        self.log("three")

    @handler("One")
    def one(self, message: Message) -> None:
        self.log("derived one")


def test_a_subclass_keeps_its_base_s_places_and_replaces_its_methods():
    derived = make(Derived)
    assert [row.name for row in derived.process.handlers] == ["One", "second", "Three"]
    assert fold(derived, message("One")).output == "derived one"
    two = fold(derived, message("Two"))
    assert two.output.startswith("base two\nNew Message From")


def test_a_module_without_a_state_has_an_empty_one():
    assert state_type(Process) is State
    assert state_type(Derived) is Counts
    assert make(Process).process.dump() == b'{"reference":0,"state":{},"receives":[],"inbox":[]}'


# -- handling ----------------------------------------------------------------------------------


def test_log_lines_become_the_output(clerk):
    assert fold(clerk, message("Count", {"Step": 2})).output == "count 2\ndone"
    assert clerk.process.state.count == 2


@pytest.mark.parametrize("tags", [{}, {"Step": ""}])
def test_a_required_tag_that_is_missing_or_empty_refuses_the_message(clerk, tags):
    assert fold(clerk, message("Count", tags)).error == "Step is required!"


def test_an_owner_s_action_refuses_others_but_not_the_process_itself(clerk):
    refused = fold(clerk, pushed("Secret"))
    assert "owner of this process only" in refused.error
    assert clerk.process.state.count == 0
    assert fold(clerk, message("Secret")).error == ""
    assert fold(clerk, pushed("Secret", sender=PROCESS)).error == ""
    assert clerk.process.state.count == -1


def test_the_first_message_calls_on_spawn(clerk):
    assert fold(clerk, message(type="Process")).error == ""
    assert clerk.process.state.count == 100
    assert fold(make(Clerk, Refuse="1"), message(type="Process")).error == "Refuse is not for me"


@pytest.mark.parametrize(
    ("how", "error"), [("", "refused"), ("bug", "ZeroDivisionError: by design (test_process.py:")]
)
def test_a_failing_handler_leaves_everything_as_it_was(clerk, how, error):
    for action in ("Ask", "Wait", "Unknown"):
        fold(clerk, message(action))
    before = everything(clerk)
    result = fold(clerk, message("Fail", {"How": how}))
    assert result.error.startswith(error)
    assert (result.messages, result.spawns, result.assignments, result.output) == ((), (), (), "")
    assert everything(clerk) == before
    after = fold(clerk, message("Ping"))
    assert [each.reference for each in after.messages] == [2]


def test_a_dry_run_leaves_everything_as_it_was(clerk):
    for action in ("Ask", "Wait", "Wait", "Unknown"):
        fold(clerk, message(action))
    before = everything(clerk)
    for action in ("Count", "Ping", "Ask", "Later", "Wait", "Nothing", "Fail"):
        fold(clerk, message(action, {"Step": 5}), keep=False)
        assert everything(clerk) == before
    assert fold(clerk, message("Count", {"Step": 5}), keep=False).output == "count 5\ndone"
    assert len(fold(clerk, message("Ping"), keep=False).messages) == 1


def test_messages_that_no_handler_took_stay_in_the_inbox_up_to_its_bound(clerk):
    for number in range(5):
        result = fold(clerk, message("Odd", data=str(number)))
    assert result.output == f"New Message From {OWNER}: Action = Odd"
    assert [each.text for each in clerk.process.inbox] == ["2", "3", "4"]
    fold(clerk, message("Odd", data="dry"), keep=False)
    assert [each.text for each in clerk.process.inbox] == ["2", "3", "4"]


# -- sending -----------------------------------------------------------------------------------


def tags_of(result):
    return [list(each.tags) for each in result.messages]


def test_a_reply_goes_to_the_sender_with_its_reference(clerk):
    [reply] = fold(clerk, pushed("Ping", reference="7")).messages
    assert reply.target == STRANGER
    assert list(reply.tags) == [("Action", "Answer"), ("N", "1"), ("X-Reference", "7")]
    assert (reply.data, reply.reference) == ("data", 1)


def test_a_reply_goes_to_reply_to_with_the_x_reference_and_x_origin(clerk):
    tags = {"Reply-To": OWNER, "X-Reference": "3", "X-Origin": "origin"}
    [reply] = fold(clerk, pushed("Pong", tags, reference="7")).messages
    assert reply.target == OWNER
    assert reply.tags["X-Reference"] == "3"
    assert reply.tags["X-Origin"] == "origin"


def test_a_reply_to_a_wallet_has_no_reference(clerk):
    assert tags_of(fold(clerk, message("Ping"))) == [[("Action", "Answer"), ("N", "1")]]


def test_forwarding_keeps_tags_and_data_and_says_where_to_answer(clerk):
    sent = pushed("Pass-On", {"Colour": "red", "Size": "1"}, sender=OWNER, reference="4", data="d")
    [copy] = fold(clerk, sent).messages
    assert copy.target == STRANGER
    assert copy.data == "d"
    assert dict(copy.tags) == {
        "Action": "Pass-On",
        "Colour": "blue",
        "Size": "1",
        "Reply-To": OWNER,
        "X-Origin": OWNER,
        "X-Reference": "4",
    }
    assert len(copy.tags) == 6


def test_forwarding_again_keeps_the_first_place_to_answer(clerk):
    tags = {"Reply-To": "r", "X-Origin": "o", "X-Reference": "1"}
    [copy] = fold(clerk, pushed("Pass-On", tags, reference="9")).messages
    for name, value in tags.items():
        assert copy.tags.all(name) == [value]


def test_forwarding_leaves_out_what_belongs_to_the_envelope(clerk):
    tags = {"From-Process": "f", "Data-Protocol": "ao", "Type": "Message", "Pushed-For": "p"}
    [copy] = fold(clerk, pushed("Pass-On", tags)).messages
    assert {name for name, _ in copy.tags} == {"Action", "Colour", "Reply-To", "X-Origin"}


def test_json_data_is_encoded_and_says_so(clerk):
    clerk.process.send(STRANGER, "A", {"T": 1}, {"k": ["ä", 1]})
    [sent], *_ = clerk.process.take_outbox()
    assert sent.data == '{"k":["ä",1]}'
    assert list(sent.tags) == [("Action", "A"), ("T", "1"), ("Content-Type", "application/json")]


@pytest.mark.parametrize("target", ["", None, 5])
def test_a_message_needs_a_target(clerk, target):
    with pytest.raises(HandlerError, match="without a target"):
        clerk.process.send(target, "A")


def test_messages_and_spawns_share_one_counter(clerk):
    process = clerk.process
    assert process.next_reference == 1
    assert process.send(STRANGER, "A") == 1
    assert process.spawn("Clerk", {"T": "1"}) == 2
    assert process.send(STRANGER, "B") == 3
    messages, [spawn], _, _ = process.take_outbox()
    assert [each.reference for each in messages] == [1, 3]
    assert (spawn.module, list(spawn.tags), spawn.reference) == ("Clerk", [("T", "1")], 2)


# -- waiting -----------------------------------------------------------------------------------


def answer(reference, **fields):
    return pushed("Answer", {"X-Reference": reference, **fields.pop("tags", {})}, **fields)


def test_a_reply_is_received_once_and_only_from_whom_it_was_asked(clerk):
    fold(clerk, message("Ask"))
    fold(clerk, answer(1, sender=PROCESS, data="from another"))
    fold(clerk, answer(2, data="to another question"))
    assert clerk.process.state.answers == []
    fold(clerk, answer(1, data="yes"))
    fold(clerk, answer(1, data="twice"))
    assert clerk.process.state.answers == [f"{OWNER[:2]} [1] yes"]
    assert [each.text for each in clerk.process.inbox][-1] == "twice"


def test_a_wait_whose_handler_fails_goes_on(clerk):
    fold(clerk, message("Ask"))
    assert fold(clerk, answer(1, tags={"Fail": "1"})).error == "not that answer"
    fold(clerk, answer(1, data="yes"))
    assert len(clerk.process.state.answers) == 1


def test_waits_survive_a_dump_in_their_order(clerk):
    for action in ("Ask", "Wait", "Ask", "Wait"):
        fold(clerk, message(action))
    fold(clerk, answer(2, data="two"))
    again = make(Clerk)
    again.process.load(clerk.process.dump())
    assert everything(again) == everything(clerk)
    for given in (answer(1, data="one"), message("Later", data="a"), message("Later", data="b")):
        assert fold(again, given) == fold(clerk, given)
    assert everything(again) == everything(clerk)
    assert again.process.state.answers[1:] == [f"{OWNER[:2]} [1] one", "later a", "later b"]


def test_every_wait_has_a_row_of_its_own(clerk):
    fold(clerk, message("Wait"))
    fold(clerk, message("Wait"))
    for number in range(4):
        fold(clerk, message("Later", {"Again": "1"}, data=str(number)))
        waits = [row for row in clerk.process.handlers if row.name.startswith("_receive_")]
        assert len({row.name for row in waits}) == len(waits) == 2
    for _ in range(2):
        fold(clerk, message("Later", data="end"))
    fold(clerk, message("Later", data="too late"))
    assert len(clerk.process.state.answers) == 6
    assert len(clerk.process.inbox) == 1


def test_what_a_wait_remembers_must_be_json(clerk):
    with pytest.raises(TypeError, match="not JSON serializable"):
        clerk.process.receive({}, clerk.process.later, what=object())


def test_what_a_wait_remembers_is_a_copy(clerk):
    process = clerk.process
    process.receive({"Action": "Later"}, process.later, seen=process.state.seen)
    process.state.seen["new"] = 1
    assert process._receives[0].context == {"seen": {}}


# -- memory ------------------------------------------------------------------------------------


def test_a_dump_loads_into_an_equal_process(clerk):
    for given in (
        message("Count", {"Step": 3}),
        message("Odd", data=b"\xff\x00"),
        message("Odd", {"ä": "ö"}, data='"\\'),
        message("Ping"),
    ):
        fold(clerk, given)
    again = make(Clerk)
    again.process.load(clerk.process.dump())
    assert everything(again) == everything(clerk)
    assert fold(again, message("Fail", {"How": ""})).error == "refused"
    assert everything(again) == everything(clerk)


# -- trust -------------------------------------------------------------------------------------


def test_a_forged_from_process_is_not_trusted(clerk):
    forged = message("Count", {"Step": 1}, owner=STRANGER, sender=OWNER)
    result = fold(clerk, forged)
    assert result.output == f"Message is not trusted! From: {OWNER} - Owner: {STRANGER}"
    assert result.messages == ()
    assert clerk.process.state.count == 0
    assert clerk.process.inbox == []


def test_a_pushed_message_is_trusted_if_an_authority_signed_it(clerk):
    assert fold(clerk, pushed("Count", {"Step": 1})).output == "count 1\ndone"


def test_an_authority_tag_may_name_several_and_may_repeat():
    several = make(Clerk, authority=f"{STRANGER} , {MESSENGER}")
    assert fold(several, pushed("Count", {"Step": 1})).output == "count 1\ndone"
    assert several.process.authorities == {STRANGER, MESSENGER}


def test_a_process_without_an_authority_hears_only_who_speaks_for_himself():
    alone = make(Clerk, authority=None)
    assert "not trusted" in fold(alone, pushed("Count", {"Step": 1})).output
    assert fold(alone, message("Count", {"Step": 1}, owner=STRANGER)).output == "count 1\ndone"


def test_a_module_may_refuse_what_every_process_trusts():
    class Shut(Process):
        state: State

        def refusal(self, message):
            return super().refusal(message) or "It is late."

        @handler("Go")
        def go(self, message):
            raise AssertionError

    shut = make(Shut)
    for given in (pushed("Go"), message("Go", owner=OWNER, sender=OWNER)):
        assert fold(shut, given).output == "It is late."


def test_an_assignment_is_refused_unless_the_module_declares_it(clerk):
    refused = fold(clerk, message("Count", {"Step": 1}, target=STRANGER))
    assert refused.output.startswith("Assignment is not trusted!")
    assert clerk.process.state.count == 0
    fold(clerk, message("Shared", target=STRANGER))
    assert clerk.process.state.count == 1000


def test_the_first_message_of_another_process_is_not_taken_for_one_s_own(clerk):
    fold(clerk, message("Shared", type="Process", target=STRANGER))
    assert clerk.process.state.count == 1000


# -- in a network ------------------------------------------------------------------------------


class Family(State):
    children: list[str] = []
    failed: list[str] = []


class Parent(Process):
    state: Family

    @handler("Make")
    def make(self, message: Message) -> None:
        self.spawn(
            message.tags["What"],
            {"Name": "kid", "Cron-Interval": message.get("Every")}
            if "Every" in message.tags
            else {"Name": "kid"},
        )

    @handler("Spawned")
    def spawned(self, message: Message) -> None:
        assert message.sender == self.id
        assert message.get("From") == self.id
        assert message.reference == message.get("Reference") == str(self.reference)
        self.state.children.append(message.tags["Process"])

    @handler("Spawn-Error")
    def spawn_error(self, message: Message) -> None:
        self.state.failed.append(message.tags["Error"])
        self.log(message.reference)


class Broken(Process):
    extensions = ("Telepathy",)


class Needy(State):
    number: int


class Unready(Process):
    state: Needy


def test_a_process_spawns_another_and_is_told_its_id(make_network):
    network = make_network(Parent)
    parent = network.spawn("Parent")
    assert network.send(parent, "Make", {"What": "Parent"}).error == ""
    [child] = network.process(parent).state.children
    info = network.info(child)
    assert info.owner == parent
    assert info.name == "kid"
    assert info.authorities == {network.messenger.address}
    assert [each.action for each, _ in network.log(parent)] == ["", "Make", "Spawned"]
    spawned = network.log(parent)[-1][0]
    assert spawned.owner == network.messenger.address
    assert spawned.tags["Name"] == "kid"


@pytest.mark.parametrize(
    ("tags", "error"),
    [
        ({"What": "Nobody"}, "no module named 'Nobody'"),
        ({"What": "Broken"}, "no extension named 'Telepathy'"),
        ({"What": "Unready"}, "no usable first state"),
        ({"What": "Parent", "Every": "0-hours"}, "not a cron interval"),
        ({"What": "Parent", "Every": "999999999-years"}, "over a hundred years"),
    ],
)
def test_a_spawn_that_cannot_be_is_told_to_the_parent(make_network, tags, error):
    network = make_network(Parent, Broken, Unready)
    parent = network.spawn("Parent")
    sent = network.send(parent, "Make", tags)
    [told] = network.process(parent).state.failed
    assert error in told
    assert [info.id for info in network.processes()] == [parent]
    assert sent.trace.children[0].message.action == "Spawn-Error"
    network.send(parent, "Make", {"What": "Parent"})
    assert len(network.process(parent).state.children) == 1


@pytest.mark.parametrize("module", ["Broken", "Unready", "Nobody"])
def test_a_module_that_cannot_be_spawned_leaves_no_process(make_network, module):
    network = make_network(Parent, Broken, Unready)
    with pytest.raises(Exception, match=r"no (extension|module|usable)"):
        network.spawn(module)
    assert network.processes() == []
    assert network.pending == 0
    network.spawn("Parent")


def test_a_spawn_that_is_refused_leaves_nothing(make_network):
    network = make_network(Clerk)
    with pytest.raises(HandlerError, match="Refuse is not for me"):
        network.spawn("Clerk", {"Refuse": "1"})
    assert network.processes() == []
    with pytest.raises(UnknownModule):
        network.spawn("Nobody")
