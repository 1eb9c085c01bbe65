import pytest
from sqlalchemy import text

from benchpool.ao.clock import GENESIS_MS, VirtualClock
from benchpool.ao.message import Message
from benchpool.ao.tags import Tags
from benchpool.errors import (
    ConfigError,
    HandlerError,
    HomeLocked,
    StoreError,
    UnknownModule,
    UnknownProcess,
)
from benchpool.network import Network
from benchpool.process.process import Process, State, handler
from benchpool.store.home import Home
from benchpool.store.sqlite import SqliteStore


class Total(State):
    total: int = 0
    last: str = ""


class Adder(Process):
    state: Total

    def on_spawn(self, message: Message) -> None:
        if "Start" in self.tags:
            self.state.total = int(self.tags["Start"])

    @handler("Add", requires=("N",))
    def add(self, message: Message) -> None:
        self.state.total += int(message.tags["N"])
        self.reply(message, "Added", {"Total": self.state.total})

    @handler("Chain")
    def chain(self, message: Message) -> None:
        left = int(message.tags["Left"])
        self.state.total += 1
        if left:
            peer = message.tags.get("Peer") or self.id
            self.send(peer, "Chain", {"Left": left - 1, "Peer": self.id})
            if left % 3 == 0:
                self.send(message.tags["Peer"], "Add", {"N": left})

    @handler("Where")
    def where(self, message: Message) -> None:
        self.log(f"{message.nonce} {message.position} {message.read_only}")

    @handler("Ask")
    def ask(self, message: Message) -> None:
        self.on_reply(
            self.send(message.tags["Peer"], "Add", {"N": 5}),
            message.tags["Peer"],
            self.told,
            note="asked",
        )

    def told(self, message: Message, note: str) -> None:
        self.state.last = f"{note} {message.tags['Total']}"


@pytest.fixture
def network(make_network):
    network = make_network(Adder)
    network.spawn("Adder", name="adder")
    return network


# -- names and wallets -------------------------------------------------------------------------


def test_a_party_is_found_by_name_id_or_wallet(network):
    alice = network.new_wallet("alice")
    adder = network.resolve("adder")
    assert network.resolve(adder) == adder
    assert network.resolve(alice) == network.resolve("alice") == alice.address
    assert network.resolve(alice.address) == alice.address
    assert network.name_of(adder) == "adder"
    assert network.name_of("x") == "x"
    assert network.wallet("alice") == network.wallet(alice.address) == alice
    assert network.wallets() == [network.wallet(), alice]


def test_an_unknown_party_names_the_nearest(network):
    with pytest.raises(UnknownProcess, match="'ader'; did you mean adder"):
        network.send("ader", "Add")
    with pytest.raises(UnknownProcess, match="no wallet named 'bob'"):
        network.send("adder", "Add", sender="bob")
    with pytest.raises(UnknownProcess, match="wallet, not a process"):
        network.info("default")
    assert network.store.count() == 1


@pytest.mark.parametrize("name", ["adder", "default", "1x", "a b"])
def test_a_name_that_is_taken_or_bad_is_refused(network, name):
    with pytest.raises(ConfigError, match=r"taken|usable"):
        network.new_wallet(name)
    with pytest.raises(ConfigError, match=r"taken|usable"):
        network.spawn("Adder", name=name)
    assert len(network.processes()) == 1


def test_the_same_seed_gives_the_same_addresses(make_network):
    first, second = make_network(seed=3), make_network(seed=3)
    assert first.new_wallet("a") == second.new_wallet("a")
    assert first.messenger.address == second.messenger.address
    assert make_network(seed=4).new_wallet("a") != first.wallet("a")


# -- messages ----------------------------------------------------------------------------------


def test_sending_runs_to_the_end_and_gives_the_reply(network):
    sent = network.send("adder", "Add", {"N": 2})
    assert sent.reply("Added").tags["Total"] == "2"
    assert [message.action for message in network.inbox("default")] == ["Added"]
    assert network.pending == 0


def test_an_error_is_told_by_the_reply_that_is_missing(network):
    sent = network.send("adder", "Add")
    assert sent.error == "N is required!"
    with pytest.raises(HandlerError, match="no reply came back: N is required!"):
        sent.reply()


def test_a_posted_message_waits_for_the_run(network):
    sent = network.post("adder", "Add", {"N": 2})
    assert network.pending == 1
    assert sent.result.messages == ()
    assert network.process("adder").state.total == 0
    network.run()
    assert network.process("adder").state.total == 2


def test_equal_messages_have_different_ids(network):
    assert network.send("adder", "Add", {"N": 2}).id != network.send("adder", "Add", {"N": 2}).id
    assert network.process("adder").state.total == 4


def test_spawn_tags_reach_the_process(network):
    network.spawn("Adder", {"Start": 7, "Name": "given"}, name="second", data=b"\x00")
    assert network.process("second").state.total == 7
    info = network.info("second")
    assert info.name == "given"
    assert info.owner == network.wallet().address
    assert info.created_ms == GENESIS_MS
    assert network.log("second")[0][0].data == b"\x00"
    assert network.log("second")[0][0].nonce == 0


def test_an_unknown_module_is_refused(network):
    with pytest.raises(UnknownModule, match="Nothing"):
        network.spawn("Nothing")


def test_a_wallet_gets_mail_and_cannot_evaluate(network):
    alice = network.new_wallet("alice")
    sent = network.send("alice", "Hello", data="hi")
    assert sent.result.output == ""
    assert [message.text for message in network.inbox(alice)] == ["hi"]
    assert [result for _, result in network.log("alice")] == [None]


def test_looking_up_what_is_not_there_says_so(network):
    with pytest.raises(UnknownProcess, match="no message"):
        network.result("nothing")
    with pytest.raises(UnknownProcess, match="no message"):
        network.post_assignment("nothing", ["adder"])


# -- dry runs ----------------------------------------------------------------------------------


def test_a_dry_run_leaves_no_trace(make_network, tmp_path, everything):
    network = make_network(Adder, home=tmp_path)
    network.spawn("Adder", name="adder", sender=network.new_wallet("alice"))
    before = everything(network)
    for _ in range(2):
        result = network.dry_run("adder", "Add", {"N": 3})
        assert result.messages[0].tags["Total"] == "3"
        assert network.dry_run("adder", "Add").error == "N is required!"
        network.dry_run("adder", "Unknown")
        network.dry_run("adder", "Ask", {"Peer": network.resolve("adder")})
    assert everything(network) == before
    twin = make_network(Adder, home=tmp_path / "twin", seed=None)
    assert twin.store.count() == 0
    sent = network.send("adder", "Add", {"N": 1}, sender="alice")
    assert network.log("adder")[-1][0].anchor == f"{2:032d}"
    assert sent.reply().tags["Total"] == "1"


def test_a_dry_run_stands_where_the_next_message_would(network):
    assert network.dry_run("adder", "Where").output == "1 1 True"
    network.send("adder", "Add", {"N": 1})
    assert network.dry_run("adder", "Where").output == "2 2 True"
    assert network.send("adder", "Where").result.output == "2 2 False"


# -- homes -------------------------------------------------------------------------------------


def test_a_reopened_home_is_as_it_was(make_network, tmp_path, everything):
    network = make_network(Adder, home=tmp_path)
    alice = network.new_wallet("alice")
    network.spawn("Adder", name="adder", sender=alice)
    network.spawn("Adder", name="peer")
    network.send("adder", "Chain", {"Left": 7, "Peer": network.resolve("peer")})
    network.advance("90m")
    network.send("adder", "Nobody takes this", data=b"\xff")
    before = everything(network)
    network.close()
    again = make_network(Adder, home=tmp_path)
    assert everything(again) == before
    assert again.clock.now() == GENESIS_MS + 90 * 60_000
    assert again.inbox("adder")[-1].data == b"\xff"
    assert again.send("adder", "Where").result.output.endswith("False")


def test_a_wait_for_a_reply_survives_a_restart(make_network, tmp_path):
    network = make_network(Adder, home=tmp_path)
    network.spawn("Adder", name="adder")
    network.spawn("Adder", name="peer")
    network.post("adder", "Ask", {"Peer": network.resolve("peer")})
    network.messenger._round()
    network.close()
    again = make_network(Adder, home=tmp_path)
    assert again.resumed == 1
    assert again.process("adder").state.last == ""
    again.run()
    assert again.process("adder").state.last == "asked 5"


def test_what_was_posted_before_a_close_is_pending_afterwards(make_network, tmp_path):
    network = make_network(Adder, home=tmp_path)
    network.spawn("Adder", name="adder")
    first = network.post("adder", "Add", {"N": 2})
    network.close()
    again = make_network(Adder, home=tmp_path)
    assert (again.resumed, again.pending) == (1, 1)
    second = again.send("adder", "Add", {"N": 2})
    assert first.id != second.id
    assert again.process("adder").state.total == 4


def test_a_number_is_never_given_out_twice_after_a_crash(make_network, tmp_path):
    network = make_network(Adder, home=tmp_path)
    network.spawn("Adder", name="adder")
    first = network.post("adder", "Add", {"N": 2})
    network.new_wallet("alice")  # commits
    network.close(abort=True)
    again = make_network(Adder, home=tmp_path)
    assert again.pending == 1
    assert again.post("adder", "Add", {"N": 2}).id != first.id


def test_an_error_in_the_block_leaves_the_home_as_it_was_committed(tmp_path):
    def fail():
        with Network(tmp_path, seed=1) as network:
            network.new_wallet("alice")
            network.post("alice", "Lost")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with Network(tmp_path) as again:
        assert again.store.count() == 0
        assert next(iter(again.wallets())).name == "alice"


def test_a_second_opener_is_refused_and_the_first_goes_on(make_network, tmp_path, monkeypatch):
    lock = Home.lock
    monkeypatch.setattr(Home, "lock", lambda home: lock(home, wait_s=0.1))
    network = make_network(Adder, home=tmp_path)
    with pytest.raises(HomeLocked, match="in use by another benchpool"):
        Network(tmp_path)
    network.spawn("Adder", name="adder")
    network.close()
    make_network(Adder, home=tmp_path).send("adder", "Add", {"N": 1})


def test_a_home_has_one_seed(make_network, tmp_path, monkeypatch):
    lock = Home.lock
    monkeypatch.setattr(Home, "lock", lambda home: lock(home, wait_s=0.1))
    make_network(home=tmp_path, seed=1).close()
    with pytest.raises(ConfigError, match="another seed"):
        Network(tmp_path, seed=2)
    network = make_network(home=tmp_path, seed=1)
    network.close()


def test_two_homes_without_a_seed_have_different_keys(make_network, tmp_path):
    first = make_network(home=tmp_path / "a").new_wallet("x")
    assert make_network(home=tmp_path / "b").new_wallet("x") != first


def test_a_reader_sees_what_is_committed_while_a_writer_has_the_home(make_network, tmp_path):
    writer = make_network(Adder, home=tmp_path)
    writer.spawn("Adder", name="adder")
    writer.send("adder", "Add", {"N": 2})
    writer.post("adder", "Add", {"N": 3})
    reader = make_network(Adder, home=tmp_path, read_only=True)
    assert reader.process("adder").state.total == 2
    assert reader.dry_run("adder", "Add", {"N": 1}).messages[0].tags["Total"] == "3"
    assert reader.store.count() == writer.store.count() - 1
    reader.close()
    writer.run()
    later = make_network(Adder, home=tmp_path, read_only=True)
    assert later.process("adder").state.total == 5
    assert later.inbox("default")[-1].tags["Total"] == "5"


def test_a_reader_needs_a_network_to_look_at(tmp_path):
    with pytest.raises(StoreError, match="holds no network yet"):
        Network(tmp_path / "none", read_only=True)
    assert not (tmp_path / "none").exists()


def test_time_moves_only_forward_and_by_a_duration(network):
    with pytest.raises(ConfigError, match="not a duration"):
        network.advance("soon")
    assert network.advance("1h") == 0
    assert network.clock.now() == GENESIS_MS + 3_600_000
    assert network.live.tick() == 0


def test_a_given_clock_is_used(make_network):
    network = make_network(Adder, clock=VirtualClock(GENESIS_MS + 5))
    network.spawn("Adder", name="adder")
    assert network.log("adder")[0][0].timestamp == GENESIS_MS + 5


# -- crashes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 12])
def test_a_run_that_was_killed_goes_on_to_the_same_log(
    make_network, tmp_path, everything, in_a_child, die_at, monkeypatch, count, when
):
    from benchpool.units import messenger

    monkeypatch.setattr(messenger, "COMMIT_EVERY", 5)

    def start(**options):
        network = make_network(Adder, **options)
        for name in ("adder", "peer"):
            network.spawn("Adder", name=name)
        network.new_wallet("alice")
        for number in range(4):
            network.post("adder", "Chain", {"Left": 12 + number, "Peer": network.resolve("peer")})
        return network

    start(home=tmp_path, seed=1).close()  # keeps what was posted

    def die():
        network = make_network(Adder, home=tmp_path)
        die_at(SqliteStore, "commit", count, when)
        network.run()

    assert in_a_child(die) == -9
    network = make_network(Adder, home=tmp_path)
    network.run()
    whole = start(seed=1)
    whole.run()
    assert everything(network) == everything(whole)
    assert network.send("adder", "Where").result == whole.send("adder", "Where").result


def test_tags_of_a_message_may_repeat(network):
    sent = network.send("adder", "Add", [("N", "1"), ("N", "2")])
    assert network.log("adder")[-1][0].tags == Tags([("Action", "Add"), ("N", "1"), ("N", "2")])
    assert sent.reply().tags["Total"] == "1"


# -- spawns that are refused -------------------------------------------------------------------


class Keeper(Process):
    """Keeps a database, and refuses what it is told to."""

    extensions = ("Database",)

    def on_spawn(self, message: Message) -> None:
        self.database.session.execute(text("CREATE TABLE kept (id INTEGER)"))
        if message.tags.get("Refuse"):
            raise HandlerError("Refuse was given")
        self.send(self.owner, "Born")


def test_a_refused_spawn_leaves_nothing_behind(make_network, tmp_path, everything):
    def run(home, refuse):
        network = make_network(Keeper, home=home, seed=1)
        alice = network.new_wallet("alice")
        if refuse:
            with pytest.raises(HandlerError, match="was not spawned: Refuse was given"):
                network.spawn("Keeper", {"Refuse": "1"}, name="keeper", sender=alice)
        network.spawn("Keeper", name="keeper", sender=alice)
        databases = [path.name for path in (home / "databases").glob("*.sqlite")]
        return everything(network), databases

    assert run(tmp_path / "refused", refuse=True) == run(tmp_path / "not", refuse=False)
