"""The ids of an unsigned network, spelled out.

Whoever writes a log and whoever checks it use the same few functions. A change of what goes into an
id, in both alike, makes every log that there is worthless and no check fail: only literals see it.
"""

from hashlib import sha256

import pytest
from msgspec.structs import replace

from benchpool import Message, Process, handler
from benchpool.ao.clock import GENESIS_HEIGHT, GENESIS_MS, HOUR_MS
from benchpool.ao.ids import decode_id, encode_id, module_id
from benchpool.ao.message import Item, ProcessInfo, content_digest
from benchpool.ao.tags import Tags
from benchpool.audit.links import Links
from benchpool.units.cron import Tick, parse_cron
from benchpool.units.scheduler import assignment_digest, first_chain

ONE = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"
TWO = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI"
THREE = "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM"
FOUR = "BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ"


def packed(*parts: bytes) -> bytes:
    """Write an array of MessagePack."""
    return bytes([0x90 + len(parts)]) + b"".join(parts)


def text(value: str) -> bytes:
    """Write a text of MessagePack."""
    raw = value.encode()
    return (bytes([0xA0 + len(raw)]) if len(raw) < 32 else bytes([0xD9, len(raw)])) + raw


WAY = {
    "message": (
        Item(ONE, TWO, THREE, Tags({"Action": "Greet", "Name": "Zoë"}), "Hi", anchor="7"),
        "PaXzguiThmH0mfCwP1moFN40sQViXiVa5ICFbDRGCYg",
    ),
    "pushed message": (
        Item(ONE, TWO, THREE, Tags(), b"\xff", reference="4", pushed_for=FOUR, from_module="X"),
        "13Ovm16OcavX4uCzKfmAEqbTRtxUxCuY3QhkgDy_YFI",
    ),
    "process": (
        Item("", TWO, TWO, Tags({"Module": "Greeter"}), "", anchor="1", type="Process"),
        "LEnqw3GPMjNTOBI-zWFdll5AUnJBMFQb1qXPKmLEqFE",
    ),
}


@pytest.mark.parametrize("what", WAY)
def test_an_id_is_the_hash_of_nine_fields(what):
    item, known = WAY[what]
    data = item.data.encode() if isinstance(item.data, str) else item.data
    written = packed(
        text(item.type),
        text(item.target),
        text(item.owner),
        text(item.sender),
        packed(*(packed(text(name), text(value)) for name, value in item.tags.pairs)),
        bytes([0xC4, len(data)]) + data,
        text(item.anchor),
        text(item.reference),
        text(item.pushed_for),
    )
    assert encode_id(sha256(written).digest()) == known
    assert item.id() == known
    assert encode_id(content_digest(item, item.target)) == known


def test_the_id_of_a_module():
    assert module_id("Greeter") == "7NCdL8tFbRVWnFoOwNLEIlGeMhTvk67qwagQ1oZ04SI"
    spelled = sha256(b"benchpool module\x00Greeter").digest()
    assert encode_id(spelled) == module_id("Greeter")


@pytest.mark.parametrize(
    ("due_ms", "interval", "known"),
    [
        (HOUR_MS, "1-hour", "GYxVoOjnaBqrpJPNi9mbs967hiXhQ7NSxw6MiovLi1w"),
        (2 * HOUR_MS, "1-hour", "maW0OcVW8b4j0A1O_Z1WgG6esAvdHlWdIzXsVab68oo"),
        (HOUR_MS, "30-blocks", "q3gjdufr9yU_xxJUc5hsQvam1FYuOu4AlMu99naqaK4"),
    ],
)
def test_the_id_of_a_cron_tick(due_ms, interval, known):
    """Which process, when, which interval: of the same moment there may be several."""
    tags = Tags([("Cron-Interval", interval), ("Cron-Tag-Action", "Beat")])
    info = ProcessInfo(
        id=ONE,
        module="Greeter",
        owner=TWO,
        tags=tags,
        created_ms=GENESIS_MS,
        created_height=GENESIS_HEIGHT,
        order=3,
    )
    [entry] = parse_cron(tags)
    assert Tick(GENESIS_MS + due_ms, info, entry).id() == known
    anchor = f"{GENESIS_MS + due_ms}-{interval}"
    pairs = Tags({"Action": "Beat"})
    spelled = Item(ONE, TWO, TWO, pairs, "", anchor=anchor, reference=ONE, type="Cron")
    assert spelled.id() == known


def test_the_id_of_an_assignment():
    chain = decode_id(FOUR)
    message = Message(THREE, ONE, ONE, TWO, TWO, timestamp=GENESIS_MS, block_height=9, nonce=5)
    spelled = f"{THREE}{ONE} 0 5 1735689600000 9"
    assert assignment_digest(message, chain) == sha256(chain + spelled.encode()).digest()
    assert (
        encode_id(assignment_digest(message, chain))
        == "o-1MJhCHSBCr6tox1tvflxnfHeFKYcYo-5MufZNCsc8"
    )
    assert encode_id(first_chain(ONE)) == "cs1uhCLEB_ttCYaQ8RMLfe1-wvf14dML2dUh8BU2N5M"
    assert encode_id(first_chain("0xAbC")) == "Df-fWxM0Xf_AmYXcx12WokM_yhrVy3MhFE3Q90eNDUg"


# -- a whole log ---------------------------------------------------------------------------------


class Greeter(Process):
    assignable = ({"Action": "Breed"},)

    @handler("Greet")
    def greet(self, message: Message) -> None:
        self.reply(message, "Greeting", {"Name": "Zoë"}, data="Hello")
        self.send(self.tags["Friend"], "Wave", data=b"\xff\x00")

    @handler("Breed")
    def breed(self, message: Message) -> None:
        if "Friend" in self.tags:
            self.spawn("Greeter", {"Parent": self.id})
            self.assign(message.id, [self.tags["Friend"]])


CRONS = [
    ("Cron-Interval", "1-hour"),
    ("Cron-Tag-Action", "Beat"),
    ("Cron-Interval", "30-blocks"),
    ("Cron-Tag-Action", "Beat"),
]

LOG = """
greeter Process SlnaSbNeQD9JcxwDGVjYHb7nvq0iJPhcML_n9IhHHTI
                642AdFYvZX9Iyl2maNwF4tpNKt9fj-EpHqtbtZBxD_Y
greeter Greet bl_hQOq1vF-UA1qtKlKT-IVOeVqi885QXfJEKPfruwA
              6VBX1Z90AYUOLu0SznU15Gh2X8UlJPandapHKFPUq5g
greeter Beat O5ZVq4HAZj5lgS6VBySBuaIehmquzlf29sFeW78jfi8 -
greeter Beat OKlzIyxPVsCPtR3zK3Zc27-qCLONMkHNp0Bo9uycGgg -
greeter Breed YZNz9NVw4635b_idrKoEIIX2lI9MtCA7o92M2O4Wvjo
              D92q_eFS5J2U8D-ar63qOZDJbEPThvWmfiuKUrMNtZk
greeter Spawned ohhHv8HneUVibjlD1j14Pl1CbG-vEC_qyJnQ6fXwF_s
                yPSiGlBosRBxYtbBwcr82smooemnKp6SYsAgWDUcpDU
friend Process y_dWfJqGY2xEj2Ue5ctH_LEEKIhEocRkUhesETpceW0
               dS_7ynJ_N63vFzNgrpSTw_6FyqieSvi6ljCBZHpGuu4
friend Wave WxKg9bQ3guXCCyttMsuOd0tNFcsoVVVrAfngkFyWf48
            Mthpke0nlEdj0UnRA3dgh77D7u5ICMalXDIedQYH_BQ
friend Breed YZNz9NVw4635b_idrKoEIIX2lI9MtCA7o92M2O4Wvjo
             vM67O5Hif-hcu9binxAdmx9utMFv3zpUqN0Leaa80Uo
child Process jfcqrbVQ6GldBR3QH5i14vT6xI5IZcG7HQ_7vmzNzg8
              0HNBcAeuhe5ItZmGcp-Xzgjfpc_KIZ6aqYhcMP4IDMU
alice Greeting ApYkckAlMtown0fNwvdeQeKx2BtMcSPOgDzLOGmgcb8
               HLWdGjmsZzPSF7J8ov__TfSDSmDH8TPncuZno90beu4
"""
"""In whose log, what was said, its id, the hash chain up to it: a tick has none."""
PARTIES = ("greeter", "friend", "child", "alice")


@pytest.fixture
def network(make_network):
    network = make_network(Greeter, seed=1)
    network.new_wallet("alice")
    friend = network.spawn("Greeter", name="friend", sender="alice")
    tags = [("Friend", friend), *CRONS]
    network.spawn("Greeter", tags, name="greeter", sender="alice", data="born")
    network.send("greeter", "Greet", {"X": "1"}, data="Hi", sender="alice")
    network.advance("1h")
    network.send("greeter", "Breed", sender="alice")
    return network


def party(network, name):
    infos = network.processes()
    return infos[-1].id if name == "child" else network.resolve(name)


def test_every_id_of_a_network_is_known(network):
    found = [
        (name, message.action or message.type, message.id, message.hash_chain or "-")
        for name in PARTIES
        for message, _ in network.log(party(network, name))
    ]
    words = LOG.split()
    assert found == [tuple(words[place : place + 4]) for place in range(0, len(words), 4)]


@pytest.mark.parametrize("name", PARTIES)
def test_the_audit_finds_the_same_ids(network, name):
    links = Links(network.store, party(network, name))
    for message, _ in network.log(party(network, name)):
        assert links.follow(message) is None


CHANGES = {
    "target": TWO,
    "owner": TWO,
    "sender": TWO,
    "tags": Tags({"Action": "Greet"}),
    "data": "Ho",
    "anchor": "x",
    "reference": "x",
    "pushed_for": TWO,
    "type": "Process",
    "id": TWO,
    "hash_chain": TWO,
    "nonce": 9,
    "position": 9,
    "epoch": 1,
    "process": TWO,
    "block_height": 9,
    "read_only": True,
}


@pytest.mark.parametrize("field", CHANGES)
@pytest.mark.parametrize(("name", "place"), [("greeter", 1), ("friend", 2)])
def test_the_audit_misses_no_field_of_a_message(network, name, place, field):
    """One that was sent there, and one that was assigned to another process besides."""
    *before, message = [message for message, _ in network.log(name)][: place + 1]
    links = Links(network.store, message.process)
    assert [links.follow(each) for each in before] == [None] * place
    assert links.follow(replace(message, **{field: CHANGES[field]})) is not None


@pytest.mark.parametrize("field", ["id", "nonce", "timestamp", "block_height", "epoch"])
def test_the_next_link_misses_no_field_of_an_assignment(network, field):
    """What the message itself is not checked for, the chain of the one behind it shows."""
    first, greet, *_, breed, _spawned = [message for message, _ in network.log("greeter")]
    changed = replace(greet, **{field: TWO if field == "id" else 77})
    digests = [assignment_digest(each, decode_id(greet.hash_chain)) for each in (greet, changed)]
    assert digests[0] != digests[1]
    chain = decode_id(greet.hash_chain)
    assert breed.hash_chain == encode_id(sha256(digests[0] + chain).digest())
    assert first.hash_chain == encode_id(first_chain(first.process))


TICK_CHANGES = {
    **CHANGES,
    "timestamp": GENESIS_MS + HOUR_MS + 1000,
    "tags": Tags({"Action": "Bleat"}),
    "from_module": "Greeter",
    "depth": 1,
}


@pytest.mark.parametrize("field", TICK_CHANGES)
def test_the_audit_misses_no_field_of_a_tick(network, field):
    first, greet, tick = [message for message, _ in network.log("greeter")][:3]
    links = Links(network.store, first.process)
    assert [links.follow(first), links.follow(greet)] == [None, None]
    assert links.follow(replace(tick, **{field: TICK_CHANGES[field]})) is not None
