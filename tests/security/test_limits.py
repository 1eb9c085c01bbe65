from dataclasses import fields

import pytest

from benchpool import Network
from benchpool.errors import ConfigError, LimitExceeded, MessageError, PushLimitExceeded
from benchpool.extensions.base import Recorder
from benchpool.units.limits import DEFAULT_LIMITS, Limits, find_limits, read_limits

SMALL = Limits(
    data_bytes=1000,
    tags=8,
    tag_name_bytes=20,
    tag_value_bytes=200,
    outbox_messages=50,
    outbox_bytes=5000,
    pending_per_process=20,
    spawns_per_message=3,
    spawns_per_process=10,
    pushed_bytes=20_000,
)


@pytest.fixture
def network(make):
    network = make(limits=SMALL)
    network.spawn("Rogue", name="rogue")
    network.spawn("Rogue", name="other")
    return network


TOO_MUCH = {
    "data": ({}, "x" * 1001, "data_bytes"),
    "bytes": ({}, b"x" * 1001, "data_bytes"),
    "wide": ({}, "ä" * 501, "data_bytes"),
    "tags": ([("A", "b")] * 8, "", "tags"),
    "name": ({"N" * 21: "v"}, "", "tag_name_bytes"),
    "value": ({"N": "v" * 201}, "", "tag_value_bytes"),
    "wide value": ({"N": "€" * 67}, "", "tag_value_bytes"),
}


@pytest.mark.parametrize("kind", TOO_MUCH)
def test_too_much_from_a_wallet_is_refused_and_not_logged(network, kind):
    tags, data, limit = TOO_MUCH[kind]
    count = network.store.count()
    for send in (network.post, network.send, network.dry_run):
        with pytest.raises(LimitExceeded, match=rf"at most .* are allowed \({limit}\)"):
            send("rogue", "Note", tags, data=data)
    with pytest.raises(LimitExceeded, match=limit):
        network.spawn("Rogue", tags, data=data)
    assert (network.store.count(), network.pending) == (count, 0)
    assert network.send("rogue", "Note").reply("Noted").tags["Count"] == "1"


def test_just_as_much_as_is_allowed_passes(network):
    tags = [("N" * 20, "v" * 200)] * 7
    assert network.send("rogue", "Note", tags, data="ä" * 500).error == ""


@pytest.mark.parametrize(
    ("tags", "limit"),
    [
        ({"Bytes": "1001"}, "data_bytes"),
        ({"Tags": "8"}, "tags"),
        ({"As": "A" * 200, "Value": "v" * 200, "Tags": "9"}, "tags"),
    ],
)
def test_too_much_from_a_handler_fails_its_message_alone(network, tags, limit):
    count = network.store.count()
    sent = network.send("rogue", "Write", tags)
    assert f"({limit})" in sent.error
    assert sent.result.messages == ()
    assert network.store.count() == count + 1
    assert network.process("rogue").state.count == 0
    assert network.send("rogue", "Note").reply("Noted").tags["Count"] == "1"


def test_a_flood_out_of_one_handler_ends_before_it_fills_the_memory(network):
    sent = network.send("rogue", "Flood")
    assert "more than 50 messages" in sent.error
    assert network.inbox("default") == []


def test_more_pending_messages_than_allowed_are_refused_when_posted(network):
    for _ in range(20):
        network.post("rogue", "Note")
    with pytest.raises(LimitExceeded, match="pending_per_process"):
        network.post("rogue", "Note")
    network.post("other", "Note")
    network.run()
    assert network.process("rogue").state.count == 20
    assert network.process("other").state.count == 1


def test_a_chain_of_data_ends_by_its_bytes(network):
    network.send("other", "Note")
    with pytest.raises(PushLimitExceeded, match="bytes of Data"):
        network.send("rogue", "Ping", {"To": network.resolve("other")}, data="x" * 900)
    assert network.send("other", "Note").reply("Noted").tags["Count"] == "2"


def test_how_far_a_chain_went_survives_a_crash(make, tmp_path, monkeypatch):
    def length(crash_after):
        network = make(tmp_path / f"home{crash_after}", limits=Limits(pushed_messages=100))
        network.spawn("Rogue", name="a")
        b = network.spawn("Rogue", name="b")
        monkeypatch.setattr("benchpool.units.messenger.COMMIT_EVERY", 1)
        if crash_after:
            rounds = iter(range(crash_after))
            original = type(network.messenger)._round

            def dying(self):
                if next(rounds, None) is None:
                    raise KeyboardInterrupt
                original(self)

            with monkeypatch.context() as patch:
                patch.setattr(type(network.messenger), "_round", dying)
                with pytest.raises(KeyboardInterrupt):
                    network.send("a", "Ping", {"To": b})
            network.close(abort=True)
            network = make(tmp_path / f"home{crash_after}", limits=Limits(pushed_messages=100))
            assert network.resumed
            with pytest.raises(PushLimitExceeded):
                network.run()
        else:
            with pytest.raises(PushLimitExceeded):
                network.send("a", "Ping", {"To": b})
        return network.store.count()

    assert length(0) == length(30) == length(77)


@pytest.mark.parametrize("where", ["error", "output", "name", "spawn"])
def test_half_a_surrogate_pair_from_a_handler_is_an_error_of_its_message(network, where):
    sent = network.send("rogue", "Say-Half", {"Where": where})
    assert "\\ud800" in sent.error
    assert network.process("rogue").state.count == 0


@pytest.mark.parametrize("kind", ["tag", "name", "data", "number"])
def test_text_that_is_no_unicode_is_refused_when_posted(network, kind):
    tags = {"tag": {"A": "\udcff"}, "name": {"\ud800": "a"}}.get(kind, {})
    data = {"data": "\ud800", "number": 5}.get(kind, "")
    count = network.store.count()
    with pytest.raises(MessageError, match=r"no Unicode|not <class"):
        network.send("rogue", "Note", tags, data=data)
    assert network.store.count() == count


def test_a_long_error_is_cut(network, monkeypatch):
    monkeypatch.setattr("benchpool.units.folding.MAX_ERROR_CHARACTERS", 30)
    assert len(network.send("rogue", "Write", {"Bytes": "9" * 100}).error) < 100


# -- where limits come from --------------------------------------------------------------------


def test_limits_come_from_the_home_the_environment_or_the_caller(make, tmp_path, monkeypatch):
    assert find_limits(None) == find_limits(tmp_path) == DEFAULT_LIMITS
    (tmp_path / "limits.toml").write_text("tags = 5\nevaluation_seconds = 0.5\n")
    assert find_limits(tmp_path) == Limits(tags=5, evaluation_seconds=0.5)
    (tmp_path / "other.toml").write_text("tags = 7")
    monkeypatch.setenv("BENCHPOOL_LIMITS", str(tmp_path / "other.toml"))
    assert find_limits(tmp_path) == find_limits(None) == Limits(tags=7)
    network = make()
    network.spawn("Rogue", name="rogue")
    with pytest.raises(LimitExceeded, match="at most 7"):
        network.send("rogue", "Note", [("A", "b")] * 7)
    loose = make(limits=DEFAULT_LIMITS)
    loose.spawn("Rogue", name="rogue")
    assert loose.send("rogue", "Note", [("A", "b")] * 7).error == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tag = 5", "there is no limit 'tag'; there are: crons_per_process, data_bytes"),
        ("tags = 0", "tags must be a whole number from 1"),
        ("tags = true", "tags must be a whole number"),
        ("tags = 1.5", "tags must be a whole number"),
        ('tags = "5"', "tags must be a whole number"),
        (f"tags = {10**30}", "tags must be a whole number"),
        ("evaluation_seconds = -1", "evaluation_seconds must be a number of seconds"),
        ("evaluation_seconds = nan", "evaluation_seconds must be"),
        ('durability = "disk"', "limits.toml: durability must be 'power' or 'process', not 'disk'"),
        ("durability = 1", "durability must be 'power' or 'process', not 1"),
        ("durability = ['power']", "durability must be 'power' or 'process'"),
        ("durability = {}", "durability must be 'power' or 'process'"),
        ("_plain = 5", "there is no limit '_plain'"),
        ("tags = ", "is not TOML"),
        ("a = " + "[" * 100_000, "is not TOML"),
        (b"\xff", "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_the_key(tmp_path, text, reason):
    path = tmp_path / "limits.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=reason):
        read_limits(path)


def test_a_file_that_is_not_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCHPOOL_LIMITS", str(tmp_path / "none.toml"))
    with pytest.raises(ConfigError, match="cannot be read"):
        find_limits(None)


def test_the_limit_of_a_worker_reaches_its_child(make):
    limits = Limits(worker_memory_bytes=1 << 30, workers=3, models_memory_bytes=1 << 32)
    pool = make(limits=limits).host.backend.local
    assert (pool.places.count, pool.places.memory.bound_bytes) == (3, 1 << 32)
    assert pool.places.options["memory_bytes"] == 1 << 30


@pytest.mark.parametrize(("durability", "level"), [("power", 2), ("process", 1)])
def test_what_a_commit_survives_is_told_to_every_file(tmp_path, durability, level):
    (tmp_path / "limits.toml").write_text(f'durability = "{durability}"')
    with Network(tmp_path, seed=1) as network:
        set_of_log = network.store._one("PRAGMA synchronous")
        database = network.host.build("Database", "p", Recorder())
        set_of_database = database._connection.exec_driver_sql("PRAGMA synchronous").one()
        database.close()
    assert set_of_log == tuple(set_of_database) == (level,)
    with pytest.raises(ConfigError, match="durability must be 'power' or 'process', not 'none'"):
        Limits(durability="none")


def test_every_limit_is_in_the_table_of_the_docs():
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    for each in fields(Limits):
        if each.init:
            row = next(line for line in text.splitlines() if line.startswith(f"| `{each.name}`"))
            default = each.default if isinstance(each.default, str) else f"{each.default:,}"
            assert f"| {default} |" in row, row
