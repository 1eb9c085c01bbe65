import json
import os
import shutil
import subprocess
from base64 import urlsafe_b64decode
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchpool.ao.dataitem import (
    BUNDLE_TAGS,
    MAX_TAG_BYTES,
    DataItem,
    decode,
    decode_bundle,
    decode_tags,
    encode_bundle,
    encode_tags,
    is_bundle,
    sign,
    verify,
)
from benchpool.ao.ids import encode_id
from benchpool.ao.signers import ArweaveSigner, Ed25519Signer, EthereumSigner, SignatureType
from benchpool.errors import ConfigError, DataItemError

FIXTURE = json.loads(
    Path(__file__).parents[1].joinpath("fixtures", "arbundles-items.json").read_text()
)
JWK = FIXTURE["keys"]["jwk"]
SECRET = bytes.fromhex(FIXTURE["keys"]["ed25519"])
SIGNERS = {
    "arweave": ArweaveSigner(JWK),
    "ed25519": Ed25519Signer(SECRET),
    "ethereum": EthereumSigner(SECRET),
}
ARBUNDLES = os.environ.get("ARBUNDLES_FOLDER", "")
ITEMS = [pytest.param(item, id=f"{item['signer']}-{item['shape']}") for item in FIXTURE["items"]]
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
pairs = st.lists(st.tuples(texts, texts), max_size=6)
targets = st.one_of(st.just(""), st.binary(min_size=32, max_size=32).map(encode_id))
anchors = st.one_of(st.just(b""), st.binary(min_size=32, max_size=32))


def unbase(text):
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_the_published_vectors():
    assert encode_tags([("Action", "Info")]).hex() == "020c416374696f6e08496e666f00"
    item = DataItem(
        SignatureType.ARWEAVE,
        bytes(512),
        bytes(512),
        encode_id(b"\x01" * 32),
        b"00000000000000000000000000000001",
        (("Action", "Info"),),
        encode_tags([("Action", "Info")]),
        b"hello",
    )
    assert item.signed_message.hex() == (
        "246267e9d91b24832ac46fe5bda91a52ceb2011d5f44f5e25c228c9543f37c0c"
        "4665a3bc1ef51ebc34a056a993eb6a76"
    )
    assert len(item.raw) == 1127
    assert sha256(item.raw).hexdigest() == (
        "fdc620ea3574abac1deba988a534d1d4ff4822e286c14dea92dcd510ab49444b"
    )
    with pytest.raises(DataItemError, match="signature"):
        verify(item)


@pytest.mark.parametrize("made", ITEMS)
def test_items_of_the_reference_library(made):
    raw = unbase(made["raw"])
    item = decode(raw)
    verify(item)
    assert item.raw == raw
    assert item.id == made["id"]
    assert item.owner == unbase(made["owner"])
    assert item.address == FIXTURE["addresses"][made["signer"]]
    assert item.target == made["target"]
    assert item.anchor == unbase(made["anchor"])
    assert [{"name": name, "value": value} for name, value in item.tags] == made["tags"]
    assert item.data == unbase(made["data"])
    assert item.signed_message.hex() == made["message"]
    assert encode_tags(item.tags) == item.raw_tags

    ours = sign(
        SIGNERS[made["signer"]],
        target=item.target,
        anchor=item.anchor,
        tags=item.tags,
        data=item.data,
    )
    verify(ours)
    if made["signer"] == "arweave":  # a random salt makes another signature
        assert ours.signed_message == item.signed_message
        assert ours.id != item.id
    else:
        assert ours.raw == raw


def test_a_bundle_within_a_bundle_of_the_reference_library():
    raw = unbase(FIXTURE["bundle"])
    (nested,) = decode_bundle(raw)
    verify(nested)
    assert is_bundle(nested)
    inner = decode_bundle(nested.data)
    assert [item.id for item in inner] == FIXTURE["bundled"]
    for item in inner:
        verify(item)
        assert not is_bundle(item)
    assert encode_bundle([nested]) == raw
    assert encode_bundle(inner) == nested.data
    assert decode_bundle(encode_bundle([])) == ()


@pytest.mark.skipif(
    not (ARBUNDLES and shutil.which("node")),
    reason="set ARBUNDLES_FOLDER to a folder where @dha-team/arbundles and axios are installed",
)
def test_the_reference_library_verifies_ours():
    made = [
        sign(signer, target=target, anchor=anchor, tags=tags, data=data)
        for signer in SIGNERS.values()
        for target, anchor, tags, data in (
            ("", b"", [], b""),
            (encode_id(bytes(range(32))), b"a" * 32, [("Ключ", "значение"), ("e", "")], b"\0\xff"),
            ("", b"", [(f"n{i}", "v" * 10) for i in range(200)], b"x" * 100_000),
        )
    ]
    bundle = encode_bundle(made)
    script = """
        const { createRequire } = require("node:module");
        const load = createRequire(process.argv[1] + "/package.json");
        const { Bundle } = load("@dha-team/arbundles");
        const bundle = new Bundle(require("node:fs").readFileSync(0));
        bundle.verify().then(async (valid) => console.log(JSON.stringify({
          valid, ids: bundle.getIds(), tags: bundle.items.map((item) => item.tags.length),
        })));
    """
    done = subprocess.run(
        ["node", "-e", script, ARBUNDLES], input=bundle, capture_output=True, check=True
    )
    assert json.loads(done.stdout) == {
        "valid": True,
        "ids": [item.id for item in made],
        "tags": [len(item.tags) for item in made],
    }


@given(st.sampled_from(["ed25519", "ethereum"]), targets, anchors, pairs, st.binary(max_size=200))
def test_what_is_signed_comes_back(name, target, anchor, tags, data):
    item = sign(SIGNERS[name], target=target, anchor=anchor, tags=tags, data=data)
    again = decode(item.raw)
    verify(again)
    assert again == item
    assert (again.target, again.anchor, again.tags, again.data) == (
        target,
        anchor,
        tuple(tags),
        data,
    )
    assert (again.id, again.address) == (item.id, item.address)


@pytest.mark.parametrize("name", SIGNERS)
def test_no_byte_can_be_changed(name):
    item = sign(
        SIGNERS[name],
        target=encode_id(bytes(32)),
        anchor=b"n" * 32,
        tags=[("Action", "Transfer"), ("Quantity", "1")],
        data=b"data",
    )
    raw = bytearray(item.raw)
    # An RSA check takes long enough for a sample of the key's and signature's bytes to do.
    step = 16 if name == "arweave" else 1
    head = 2 + 512 + 512 if name == "arweave" else 0
    for place in [*range(0, head, step), *range(head, len(raw))]:
        for flip in (0x01, 0x80):
            raw[place] ^= flip
            with pytest.raises(DataItemError):
                verify(decode(bytes(raw)))
            raw[place] ^= flip
    verify(decode(bytes(raw)))
    for cut in range(len(raw)):
        with pytest.raises(DataItemError):
            verify(decode(bytes(raw[:cut])))
    with pytest.raises(DataItemError):
        verify(decode(bytes(raw) + b"\0"))


def test_a_signature_has_no_second_form():
    """The mirrored s of an ECDSA signature would give the same content another id."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    item = sign(SIGNERS["ethereum"], data=b"pay")
    r, s, v = item.signature[:32], int.from_bytes(item.signature[32:64], "big"), item.signature[64]
    mirrored = r + (order - s).to_bytes(32, "big") + bytes([55 - v])
    with pytest.raises(DataItemError, match="signature"):
        verify(decode(item.raw.replace(item.signature, mirrored)))


def test_a_key_of_small_order_signs_nothing():
    """With the point 0 as key and signature, one id in four would stand for any content."""
    for number in range(16):
        unsigned = DataItem(2, bytes(64), bytes(32), "", b"", (), b"", b"%d" % number)
        with pytest.raises(DataItemError, match="signature"):
            verify(decode(unsigned.raw))


@pytest.mark.parametrize("salt", [0, 32, 478])
def test_any_length_of_salt_is_read(salt):
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    class Salted(ArweaveSigner):
        def sign(self, message):
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
            return self._key.sign(message, pss, hashes.SHA256())

    verify(decode(sign(Salted(JWK), data=b"x").raw))


@settings(max_examples=300)
@given(st.binary(max_size=400), st.sampled_from([b"\x01\0", b"\x02\0", b"\x03\0", b""]))
def test_other_bytes_are_refused_in_one_way(raw, head):
    for read in (decode, decode_bundle, decode_tags):
        try:
            read(head + raw)
        except DataItemError:
            continue


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_item_is_refused_in_one_way(data):
    raw = bytearray(sign(SIGNERS["ed25519"], tags=[("a", "b"), ("c", "d")], data=b"x" * 20).raw)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        verify(decode(bytes(raw)))
    except DataItemError:
        return
    assert decode(bytes(raw)).data == b"x" * 20


def test_tags_in_several_blocks():
    one = bytes.fromhex("020c416374696f6e08496e666f")  # [Action=Info], one block, not ended
    counted = b"\x01" + b"\x18" + one[1:]  # -1 records, 12 bytes
    assert decode_tags(one + one + b"\0") == (("Action", "Info"),) * 2
    assert decode_tags(counted + b"\0") == (("Action", "Info"),)
    signer = SIGNERS["ed25519"]
    first = DataItem(2, b"", signer.owner, "", b"", (("Action", "Info"),), counted + b"\0", b"")
    item = decode(DataItem(**{**vars(first), "signature": signer.sign(first.signed_message)}).raw)
    verify(item)
    assert item.raw_tags == counted + b"\0"  # hashed as it came, not as we write it


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\x02", "end within the tags"),
        (b"\xff" * 11, "64 bits"),
        (b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00", "end within"),
        (b"\x02\x01\x00\x00", "negative length"),
        (b"\x02\x02\xff\x00\x00", "UTF-8"),
        (b"\x01\x04\x00\x00\x02\x00", "end within"),
        (b"\x01\x06\x00\x00\x00", "size"),
        (b"\x00\x00", "more bytes"),
    ],
)
def test_malformed_tags(raw, reason):
    with pytest.raises(DataItemError, match=reason):
        decode_tags(raw)


def test_limits_of_tags():
    value = "v" * (MAX_TAG_BYTES - 6)
    assert len(encode_tags([("n", value)])) == MAX_TAG_BYTES
    with pytest.raises(DataItemError, match="4,096"):
        encode_tags([("n", value + "v")])
    item = sign(SIGNERS["ed25519"], data=b"\0" * 5000)
    raw = item.raw
    at = len(raw) - 5000 - 8
    with pytest.raises(DataItemError, match="4,096"):
        decode(raw[:at] + (4097).to_bytes(8, "little") + raw[at + 8 :])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"target": "short"}, "43-character id"),
        ({"target": encode_id(bytes(32))[:-1] + "B"}, "43-character id"),
        ({"anchor": b"1"}, "32 bytes"),
        ({"tags": [("a", "\ud800")]}, "Unicode"),
    ],
)
def test_what_cannot_be_signed(change, reason):
    with pytest.raises(DataItemError, match=reason):
        sign(SIGNERS["ed25519"], **change)


def test_other_signature_types_are_named():
    with pytest.raises(DataItemError, match="type 4 is not supported"):
        decode(b"\x04\0" + bytes(200))
    with pytest.raises(DataItemError, match="at least 80 bytes"):
        decode(b"\x02\0")


def test_a_bundle_must_hold_what_it_says():
    item = sign(SIGNERS["ed25519"], tags=BUNDLE_TAGS, data=b"x")
    raw = encode_bundle([item])
    for broken in (raw[:-1], raw + b"\0", b"\xff" * 32, raw[:64] + bytes(32) + raw[96:]):
        with pytest.raises(DataItemError):
            decode_bundle(broken)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kty": "OKP"}, "kty RSA"),
        ({"d": None}, "no d"),
        ({"n": JWK["n"][:300]}, "4096 bit"),
        ({"e": "Aw"}, "exponent 3"),
        ({"p": "***"}, "base64url"),
        ({"p": JWK["q"]}, "belong together"),
    ],
)
def test_keys_that_are_no_arweave_wallet(change, reason):
    with pytest.raises(ConfigError, match=reason):
        ArweaveSigner({**JWK, **change})


@pytest.mark.parametrize("secret", [b"", bytes(32), b"\xff" * 32, b"x" * 31])
def test_keys_that_are_no_ethereum_key(secret):
    with pytest.raises(ConfigError, match="Ethereum"):
        EthereumSigner(secret)
