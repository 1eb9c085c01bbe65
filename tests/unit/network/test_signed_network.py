"""Signed data items in a network: what is accepted, how it is pushed, and what is kept."""

import json
import sqlite3
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replaying import replay_network

from benchpool import Message, Network, Process, State, handler
from benchpool.ao.dataitem import decode, sign, verify
from benchpool.ao.ids import decode_id, encode_id
from benchpool.ao.message import Item
from benchpool.ao.signers import ArweaveSigner, Ed25519Signer, EthereumSigner
from benchpool.ao.tags import Tags
from benchpool.ao.wallet import Wallet
from benchpool.ao.wire import Wire, assignment_item
from benchpool.audit.export import export_home, import_file
from benchpool.audit.replay import replay_home
from benchpool.errors import (
    ConfigError,
    DataItemError,
    DuplicateMessage,
    ItemRefused,
    LimitExceeded,
    StoreError,
    UnknownModule,
    UnknownProcess,
)
from benchpool.process.registry import Registry

JWK = json.loads(
    Path(__file__).parents[1].joinpath("fixtures", "arbundles-items.json").read_text()
)["keys"]["jwk"]
STRANGER = Ed25519Signer(b"s" * 32)


class Count(State):
    seen: int = 0
    secret: str = ""


class Echo(Process):
    """Answers, forwards, spawns; `Set` is its owner's."""

    state: Count

    @handler("Ping")
    def ping(self, message: Message) -> None:
        self.state.seen += 1
        self.reply(message, "Pong", {"Seen": self.state.seen}, data=message.data)

    @handler("Pass")
    def pass_on(self, message: Message) -> None:
        self.forward(message, message.tags["To"], {"Action": "Ping"})

    @handler("Breed")
    def breed(self, message: Message) -> None:
        self.spawn("Echo", {"Name": "child"}, data="born")

    @handler("Fail-Breed")
    def fail_breed(self, message: Message) -> None:
        self.spawn("Nothing", {})

    @handler("Odd")
    def odd(self, message: Message) -> None:
        self.send("0xabc", "To-Ethereum")
        self.send(message.sender, "Long", {"Text": "x" * 5000})
        self.send(message.sender, "Claim", {"From-Process": "A" * 43, "Pushed-For": "B" * 43})
        self.send(message.sender, "Bytes", data=b"\xff\x00")

    @handler("Set")
    def set(self, message: Message) -> None:
        self.require_owner(message)
        self.state.secret = message.text


def registry():
    made = Registry()
    made.add(Echo)
    return made


def network(home=None, **options):
    return Network(home, registry=registry(), **{"seed": "test", **options})


def said(target="", action="", *tags, kind="Message", **options):
    pairs = [("Action", action)] if action else []
    protocol = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", kind)]
    return {"target": target, "tags": [*pairs, *tags, *protocol], "data": b"hi", **options}


def tell(net, signer, *args, **options):
    message = net.accept(sign(signer, **said(*args, **options)))
    net.run()
    return message


@pytest.fixture(params=[False, True], ids=["unsigned", "signed"])
def net(request):
    with network(signed=request.param) as made:
        yield made


# -- accept ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["arweave", "ed25519", "ethereum"])
def test_an_item_is_evaluated_under_its_own_id(net, kind):
    signer = {
        "arweave": lambda: ArweaveSigner(JWK),
        "ed25519": lambda: STRANGER,
        "ethereum": lambda: EthereumSigner(b"e" * 32),
    }[kind]()
    echo = net.spawn("Echo")
    item = sign(signer, **said(echo, "Ping", ("X-Ä", "ö"), anchor=bytes(range(128, 160))))
    message = net.accept(decode(item.raw))
    net.run()
    assert message.id == item.id
    assert message.owner == message.sender == item.address
    assert message.tags.pairs == item.tags
    assert message.data == "hi"
    assert net.logs.item(item.id) == item
    assert net.logs.item(item.id).raw == item.raw
    assert not net.result(item.id).error
    assert net.process(echo).state.seen == 1
    assert replay_network(net).difference is None


def test_a_process_item_makes_a_process_of_its_signer(net):
    item = sign(
        STRANGER,
        **said(
            "",
            "",
            ("Module", "Echo"),
            ("Scheduler", net.keys.scheduler_wallet().address),
            kind="Process",
        ),
    )
    first = net.accept(item)
    net.run()
    info = net.info(first.process)
    assert (info.id, info.owner, info.module) == (item.id, item.address, "Echo")
    assert net.logs.item(item.id) == item
    tell(net, STRANGER, item.id, "Set")
    assert net.process(item.id).state.secret == "hi"
    with pytest.raises(DuplicateMessage):
        net.accept(item)
    assert replay_network(net).difference is None


def test_nothing_is_accepted_twice(net):
    echo = net.spawn("Echo")
    item = sign(STRANGER, **said(echo, "Ping"))
    net.accept(item)
    with pytest.raises(DuplicateMessage, match=item.id):
        net.accept(item)  # still pending
    net.run()
    with pytest.raises(DuplicateMessage):
        net.accept(item)
    assert net.process(echo).state.seen == 1


def test_content_from_a_process_is_not_accepted_twice(net):
    echo = net.spawn("Echo")
    claim = ("From-Process", echo)
    net.accept(sign(STRANGER, **said(echo, "Ping", claim)))
    with pytest.raises(DuplicateMessage, match="content"):
        net.accept(sign(Ed25519Signer(b"o" * 32), **said(echo, "Ping", claim)))
    with pytest.raises(DuplicateMessage, match="content"):
        net.accept(sign(STRANGER, **said(echo, "Ping", claim, ("Pushed-For", "x"))))
    net.accept(sign(STRANGER, **said(echo, "Ping", claim, ("X-Other", "x"))))
    net.run()


def test_a_claimed_origin_earns_no_trust(net):
    """Anybody can write From-Process; only an authority's signature makes it true."""
    owner = net.new_wallet("owner")
    echo = net.spawn("Echo", sender=owner)
    for origin in (owner.address, echo, net.messenger.address):
        message = tell(net, STRANGER, echo, "Set", ("From-Process", origin))
        assert message.sender == origin
        assert message.owner == encode_id(sha256(STRANGER.owner).digest())
        assert "not trusted" in net.result(message.id).output
        assert net.process(echo).state.secret == ""
    child = sign(
        STRANGER,
        **said(
            "",
            "",
            *(("Module", "Echo"), ("Scheduler", "s"), ("From-Process", owner.address)),
            kind="Process",
        ),
    )
    assert net.accept(child).sender == child.address
    net.run()
    assert net.info(child.id).owner == child.address
    net.send(echo, "Set", data="mine", sender=owner)
    assert net.process(echo).state.secret == "mine"
    assert replay_network(net).difference is None


def test_a_stranger_cannot_claim_a_chain(net):
    """Pushed-For counts towards the limits of a chain, so nobody may name another's."""
    echo = net.spawn("Echo")
    message = tell(net, STRANGER, echo, "Ping", ("Pushed-For", "P" * 43), ("From-Module", "Echo"))
    assert message.pushed_for == message.from_module == ""
    assert message.tags["Pushed-For"] == "P" * 43


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"tags": [("Type", "Message")]}, "data-protocol"),
        ({"tags": [("Data-Protocol", "zone"), ("Type", "Message")]}, "data-protocol"),
        ({"tags": [("Data-Protocol", "ao")]}, "type"),
        ({"tags": [("Data-Protocol", "ao"), ("Type", "Module"), ("Type", "Process")]}, "type"),
        ({"tags": [("Data-Protocol", "ao"), ("Type", "Process")]}, "module"),
        (
            {"tags": [("Data-Protocol", "ao"), ("Type", "Process"), ("Module", "Echo")]},
            "scheduler",
        ),
        ({"target": ""}, "target"),
        ({"tags": [*said()["tags"], ("a+link", "b")]}, "link"),
        ({"tags": [*said()["tags"], ("a", "b+link")]}, "link"),
    ],
)
def test_the_rules_of_the_protocol(net, change, rule):
    echo = net.spawn("Echo")
    before = net.store.count()
    with pytest.raises(ItemRefused) as refused:
        net.accept(sign(STRANGER, **{**said(echo, "Ping"), **change}))
    assert refused.value.rule == rule
    assert net.store.count() == before
    first_of_two = [("Data-Protocol", "x"), ("Data-Protocol", "ao"), ("Type", "Message")]
    net.accept(sign(STRANGER, target=echo, tags=[*first_of_two, ("Type", "Process")]))
    net.run()


def test_targets_that_are_and_are_not_known(net):
    wallet = net.new_wallet("alice")
    assert net.accept(sign(STRANGER, **said(wallet.address, "Hello"))).process == wallet.address
    with pytest.raises(UnknownProcess):
        net.accept(sign(STRANGER, **said("U" * 42 + "A", "Hello")))
    tags = (("Module", "Nothing"), ("Scheduler", "s"))
    with pytest.raises(UnknownModule):
        net.accept(sign(STRANGER, **said("", "", *tags, kind="Process")))
    tags = (("Module", "Echo"), ("Scheduler", "s"), ("Cron-Interval", "often"))
    with pytest.raises(ConfigError):
        net.accept(sign(STRANGER, **said("", "", *tags, kind="Process")))
    with pytest.raises(LimitExceeded):
        net.accept(sign(STRANGER, **said(wallet.address, data=b"x" * (11 << 20))))
    item = sign(STRANGER, **said(wallet.address))
    with pytest.raises(DataItemError):
        net.accept(decode(item.raw[:-1] + b"!"))
    net.run()
    assert len(net.inbox("alice")) == 1


# -- a signed network ------------------------------------------------------------------------


def story(net):
    alice = net.new_wallet("alice")
    first = net.spawn("Echo", name="first", sender=alice)
    second = net.spawn("Echo", name="second", sender=alice)
    pong = net.send(first, "Ping", sender=alice, data="data").reply("Pong")
    passed = net.send(first, "Pass", {"To": second}, sender=alice)
    bred = net.send(first, "Breed", sender=alice)
    failed = net.send(first, "Fail-Breed", sender=alice)
    odd = net.send(first, "Odd", sender=alice)
    return first, second, pong, passed, bred, failed, odd


def test_every_message_of_a_signed_network_is_a_signed_item():
    with network(signed=True) as net:
        first, _, pong, passed, bred, failed, odd = story(net)
        item = net.logs.item(pong.id)
        verify(item)
        assert item.address == net.messenger.address
        assert item.target == net.wallet("alice").address
        assert item.anchor == b"1".zfill(32)
        assert item.tags[:4] == (
            ("Data-Protocol", "ao"),
            ("Variant", "ao.TN.1"),
            ("Type", "Message"),
            ("Reference", "1"),
        )
        assert ("From-Process", first) in item.tags
        assert ("From-Module", "Echo") in item.tags
        assert item.tags[-1] == ("Pushed-For", pong.pushed_for)
        assert pong.sender == first
        assert pong.data == "data"

        actions = [node.message.action for node in passed.trace.walk()]
        assert actions == ["Pass", "Ping", "Pong"]
        spawned = [node.message.action for node in bred.trace.walk()]
        assert spawned == ["Breed", "", "Spawned"]
        (child,) = [info for info in net.processes() if info.name == "child"]
        assert child.owner == first
        assert child.tags["Scheduler"] == net.keys.scheduler_wallet().address
        assert net.logs.item(child.id).address == net.messenger.address
        assert [node.message.action for node in failed.trace.walk()][-1] == "Spawn-Error"

        # What no data item can hold stays in the result, and a process can claim no origin.
        assert [each.action for each in odd.replies] == ["Claim", "Bytes"]
        assert len(odd.result.messages) == 4
        assert odd.replies[0].sender == first
        assert odd.replies[0].pushed_for == odd.id
        assert odd.replies[0].data == " "  # as on AO
        assert odd.replies[1].data == b"\xff\x00"

        for info in net.processes():
            for message, _ in net.log(info.id):
                verify(net.logs.item(message.id))
                assert net.logs.item(message.id).id == message.id
        replay = replay_network(net)
        assert replay.difference is None
        assert replay.signatures == net.store.count()


def test_the_same_calls_give_the_same_signed_log(everything):
    with network(signed=True) as one, network(signed=True) as two:
        story(one)
        story(two)
        assert everything(one) == everything(two)


def test_a_signed_network_stays_one(tmp_path, everything):
    home = tmp_path / "home"
    with network(home, signed=True) as net:
        story(net)
        before = everything(net)
        assert net.keys.signed
    with network(home) as net:
        assert net.keys.signed
        assert everything(net) == before
        verify(net.logs.item(net.send("first", "Ping", sender="alice").reply().id))
    done = replay_home(home, registry=registry())
    assert done.difference is None
    assert done.signatures == before["count"] + 2


def test_a_network_may_become_signed_later(tmp_path):
    home = tmp_path / "home"
    with network(home) as net:
        echo = net.spawn("Echo", name="echo")
        plain = net.send(echo, "Ping").reply()
        assert net.logs.item(plain.id) is None
        assert "Data-Protocol" not in plain.tags
    with network(home, signed=True) as net:
        verify(net.logs.item(net.send(echo, "Ping").reply().id))
        assert [n.message.action for n in net.logs.trace(plain.pushed_for).walk()] == [
            "Ping",
            "Pong",
        ]
        assert replay_network(net).difference is None
    done = replay_home(home, registry=registry())
    assert (done.signatures, done.assignments) == (2, 2)
    with sqlite3.connect(home / "benchpool.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM assignments").fetchone() == (2,)


@pytest.mark.parametrize("kind", ["arweave", "ethereum"])
def test_foreign_keys_sign_in_an_unsigned_network_too(tmp_path, kind):
    home = tmp_path / "home"
    wallet = (
        Wallet.of_jwk("owner", JWK)
        if kind == "arweave"
        else Wallet.derive(b"seed", "owner", "ethereum")
    )
    with network(home) as net:
        net.add_wallet(wallet)
        echo = net.spawn("Echo", sender="owner")
        sent = net.send(echo, "Set", data="mine", sender="owner")
        assert net.logs.item(sent.id).address == wallet.address
        assert net.process(echo).state.secret == "mine"
        assert net.logs.item(echo).address == net.info(echo).owner == wallet.address
        assert net.logs.item(net.send(echo, "Ping").reply().id) is None
    with network(home) as net:
        assert net.wallet("owner") == wallet
        verify(net.logs.item(sent.id))
    done = replay_home(home, registry=registry())
    assert (done.difference, done.signatures) == (None, 2)


# -- what is kept ----------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    with network(folder, signed=True) as net:
        story(net)
    return folder


def test_a_flipped_bit_in_a_signature_is_found_and_located(home):
    with sqlite3.connect(home / "benchpool.sqlite") as connection:
        rows = connection.execute("SELECT message, head FROM items").fetchall()
    assert len(rows) == 15
    for number, (message_id, head) in enumerate(rows):
        place = (number * 37) % len(head)
        broken = head[:place] + bytes([head[place] ^ 1]) + head[place + 1 :]
        with sqlite3.connect(home / "benchpool.sqlite") as connection:
            update = "UPDATE items SET head = ? WHERE message = ?"
            connection.execute(update, (broken, message_id))
        found = replay_home(home, registry=registry()).difference
        assert found is not None
        assert found.message == message_id
        assert "sign" in found.what
        with sqlite3.connect(home / "benchpool.sqlite") as connection:
            connection.execute(update, (head, message_id))
    assert replay_home(home, registry=registry()).difference is None


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM items WHERE rowid = 5",
        "UPDATE items SET mark = mark || 'x' WHERE mark LIKE 'Process%'",
        "UPDATE items SET mark = mark || 'x' WHERE mark LIKE 'Notice%'",
    ],
)
def test_other_changes_are_found_too(home, change):
    with sqlite3.connect(home / "benchpool.sqlite") as connection:
        assert connection.execute(change).rowcount
    assert replay_home(home, registry=registry()).difference is not None


def test_a_flipped_bit_in_an_assignment_is_found_and_located(home):
    with sqlite3.connect(home / "benchpool.sqlite") as connection:
        rows = connection.execute(
            "SELECT process, position, signature, id_key FROM assignments"
        ).fetchall()
    assert len(rows) == replay_home(home, registry=registry()).assignments == 15
    update = (
        "UPDATE assignments SET signature = ?, id_key = ?, exclude = ?"
        " WHERE process = ? AND position = ?"
    )
    for number, (process, position, signature, key) in enumerate(rows):
        byte = number * 3
        broken = signature[:byte] + bytes([signature[byte] ^ 1]) + signature[byte + 1 :]
        new_key = int.from_bytes(sha256(broken).digest()[:8], "big", signed=True)
        for change in (
            (broken, key, ""),
            (broken, new_key, ""),
            (signature, key + 1, ""),
            (signature, key, "Data"),
            ("text", key, ""),
            (signature[:63], key, ""),
        ):
            with sqlite3.connect(home / "benchpool.sqlite") as connection:
                connection.execute(update, (*change, process, position))
            found = replay_home(home, registry=registry()).difference
            assert (found.process, found.position) == (process, position), change
            assert "signature" in found.what
        with sqlite3.connect(home / "benchpool.sqlite") as connection:
            connection.execute(update, (signature, key, "", process, position))
    assert replay_home(home, registry=registry()).difference is None


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM assignments WHERE position = (SELECT max(position) FROM assignments)",
        "DELETE FROM assignments",
        "UPDATE facts SET value = 'A' || substr(value, 2) WHERE name = 'scheduler_key'",
        "UPDATE facts SET value = '?' WHERE name = 'scheduler_key'",
        "DELETE FROM facts WHERE name = 'scheduler_key'",
        "UPDATE facts SET value = 'A' || substr(value, 2) WHERE name = 'scheduler'",
        "DELETE FROM facts WHERE name = 'signed'",
    ],
)
def test_what_assignments_are_verified_by_cannot_change(home, change):
    with sqlite3.connect(home / "benchpool.sqlite") as connection:
        assert connection.execute(change).rowcount
    assert replay_home(home, registry=registry()).difference is not None


def test_an_export_carries_the_signatures(home, tmp_path):
    def items(folder):
        with sqlite3.connect(folder / "benchpool.sqlite") as connection:
            return [
                connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
                for table in ("items", "assignments")
            ]

    file, copy, keyed = tmp_path / "run.jsonl.zst", tmp_path / "copy", tmp_path / "keyed"
    exported = export_home(home, file)
    done = import_file(file, copy, registry=registry())
    assert items(copy) == items(home)
    assert done.signatures == replay_home(home, registry=registry()).signatures == 15
    assert done.assignments == replay_home(home, registry=registry()).assignments == 15
    assert export_home(copy, tmp_path / "again").hash == exported.hash
    with network(copy, seed=None, read_only=True) as net:
        assert net.keys.signed
        verify(net.logs.item(net.inbox("alice")[0].id))
    with pytest.raises(StoreError, match="not its keys"):
        network(copy, seed=None)
    export_home(home, file, with_keys=True, overwrite=True)
    import_file(file, keyed, registry=registry())
    with network(keyed, seed=None) as net:
        verify(net.logs.item(net.send("first", "Ping", sender="alice").reply().id))


def test_an_assigned_message_keeps_its_signature(tmp_path):
    with network(tmp_path / "home", signed=True) as net:
        first, second = net.spawn("Echo"), net.spawn("Echo")
        sent = net.send(first, "Ping")
        net.post_assignment(sent.id, [second])
        net.run()
        net.post_assignment(first, [second])
        net.run()
        assert [message.id for message, _ in net.log(second)] == [second, sent.id, first]
        assert replay_network(net).difference is None
    export_home(tmp_path / "home", tmp_path / "file")
    done = import_file(tmp_path / "file", tmp_path / "copy", registry=registry())
    assert done.signatures == 8  # six messages, and two that tell the wallet of the refusal


def test_an_assignment_says_what_it_excludes_in_a_copy_too(tmp_path):
    with network(tmp_path / "home", signed=True) as net:
        first, second = net.spawn("Echo"), net.spawn("Echo")
        sent = net.send(first, "Ping", data="hi")
        message = net.log(first)[1][0]
        net.messenger.assign(message, [second], exclude=["Data", "Anchor"])
        net.run()
        made = net.logs.assignment(sent.id, second)
    assert made.tags[-2:] == (("Exclude", "Data"), ("Exclude", "Anchor"))
    export_home(tmp_path / "home", tmp_path / "file")
    import_file(tmp_path / "file", tmp_path / "copy", registry=registry())
    with network(tmp_path / "copy", seed=None, read_only=True) as copy:
        assert copy.logs.assignment(sent.id, second) == made
        assert copy.logs.assignment(sent.id) != made
        assert copy.logs.assigned(made.id).process == second


def test_an_assignment_is_an_item_of_the_scheduler():
    with network(signed=True) as net:
        echo = net.spawn("Echo")
        sent = net.send(echo, "Ping")
        (first, _), (message, _) = net.log(echo)
        item = assignment_item(message, net.keys.scheduler_wallet().signer())
        verify(item)
        assert item == assignment_item(message, net.keys.scheduler_wallet().signer())
        assert item.address == net.keys.scheduler_wallet().address
        assert dict(item.tags) == {
            "Data-Protocol": "ao",
            "Variant": "ao.TN.1",
            "Type": "Assignment",
            "Process": echo,
            "Epoch": "0",
            "Nonce": "1",
            "Hash-Chain": message.hash_chain,
            "Block-Height": f"{message.block_height:012d}",
            "Timestamp": str(message.timestamp),
            "Message": sent.id,
        }
        assert "Message" not in dict(
            assignment_item(first, net.keys.scheduler_wallet().signer()).tags
        )
        kept = [net.logs.assignment(echo), net.logs.assignment(sent.id)]
        assert kept == [
            assignment_item(each, net.keys.scheduler_wallet().signer()) for each in (first, message)
        ]
        assert [net.logs.assigned(each.id) for each in kept] == [first, message]
        assert (
            net.logs.assigned(echo)
            is net.logs.assigned("no id")
            is net.logs.assignment("A" * 43)
            is None
        )
        chain = decode_id(kept[0].id) + decode_id(first.hash_chain)
        assert message.hash_chain == encode_id(sha256(chain).digest())


def test_a_copy_without_keys_gives_every_assignment_as_it_was(home, tmp_path):
    export_home(home, tmp_path / "file")
    import_file(tmp_path / "file", tmp_path / "copy", registry=registry())
    with (
        network(home) as net,
        network(tmp_path / "copy", seed=None, read_only=True) as copy,
    ):
        parties = [*(info.id for info in net.processes()), *(w.address for w in net.wallets())]
        places = [(message.id, party) for party in parties for message, _ in net.log(party)]
        assert len(places) == 15
        for place in places:
            made = copy.logs.assignment(*place)
            verify(made)
            assert made == net.logs.assignment(*place)
            assert made.address == net.keys.scheduler_wallet().address
            assert copy.logs.assigned(made.id).process == place[1]


def test_an_unsigned_network_has_no_signed_assignments(tmp_path):
    with network(tmp_path / "home") as net:
        echo = net.spawn("Echo")
        assert net.logs.assignment(echo) is None
    assert replay_home(tmp_path / "home", registry=registry()).assignments == 0
    with network(tmp_path / "home") as net:
        net.store.set_fact("signed", "0")
        assert "assignment is gone" in replay_network(net).difference.what


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
tags = st.lists(
    st.tuples(st.one_of(texts, st.sampled_from(["From-Process", "type", "reference"])), texts),
    max_size=5,
)
WIRE = Wire(encode_id(sha256(STRANGER.owner).digest()), "S" * 43)


@given(tags, st.one_of(texts, st.binary(max_size=20)), st.booleans(), st.booleans())
def test_what_is_sent_reads_as_foretold(pairs, data, pushed, process):
    signer = STRANGER if pushed else Ed25519Signer(b"w" * 32)
    owner = encode_id(sha256(signer.owner).digest())
    item = Item(
        "" if process else encode_id(decode_id("T" * 42 + "A")),
        owner,
        "P" * 43 if pushed else owner,
        Tags(pairs),
        data,
        reference="7" if pushed else "",
        pushed_for="F" * 43 if pushed else "",
        from_module="Echo" if pushed else "",
        type="Process" if process else "Message",
    )
    made = WIRE.sign(item, signer)
    verify(made)
    found = WIRE.read(decode(made.raw))
    assert found == WIRE.as_sent(item)
    assert (found.owner, found.type, found.target) == (owner, item.type, item.target)
    if pushed:
        assert (found.sender, found.reference) == (item.sender, "7")
        assert (found.pushed_for, found.from_module) == (item.pushed_for, "Echo")
