import json
import stat
from pathlib import Path

import pytest

JWK = json.loads(
    Path(__file__).parents[1].joinpath("fixtures", "arbundles-items.json").read_text()
)["keys"]["jwk"]
JWK_ADDRESS = json.loads(
    Path(__file__).parents[1].joinpath("fixtures", "arbundles-items.json").read_text()
)["addresses"]["arweave"]


def test_an_arweave_key_file_is_taken_in_and_given_back(run, run_json, tmp_path):
    given, back = tmp_path / "key.json", tmp_path / "back.json"
    given.write_text(json.dumps(JWK))
    made = run_json("wallet", "import", "alice", str(given))
    assert made == {"name": "alice", "address": JWK_ADDRESS, "type": "arweave"}
    assert run("wallet", "address", "alice").stdout.strip() == JWK_ADDRESS
    assert run("wallet", "address", str(given)).stdout.strip() == JWK_ADDRESS
    told = run("wallet", "export", "alice", str(back))
    assert JWK["d"] not in told.stdout + told.stderr
    assert json.loads(back.read_text()) == JWK
    assert stat.S_IMODE(back.stat().st_mode) == 0o600
    again = run("wallet", "import", "bob", str(given), code=2)
    assert "wallet 'alice'" in again.stderr


@pytest.mark.parametrize("kind", ["ed25519", "ethereum"])
def test_other_keys_go_out_and_come_in_again(run, run_json, tmp_path, kind):
    made = run_json("wallet", "new", "alice", "--type", kind)
    file = tmp_path / "alice.json"
    run_json("wallet", "export", "alice", str(file))
    found = run_json("wallet", "address", str(file))
    assert found == {"address": made["address"], "type": kind}
    assert made["address"].startswith("0x") == (kind == "ethereum")
    there = tmp_path / "elsewhere"
    moved = run_json("wallet", "import", "other", str(file), "--home", str(there))
    assert moved["address"] == made["address"]
    stopped = run("wallet", "export", "alice", str(file), code=2)
    assert "is there already" in stopped.stderr


def test_a_message_from_a_key_file_is_signed_and_verified(run, run_json, greeter, tmp_path):
    file = tmp_path / "key.json"
    file.write_text(json.dumps(JWK))
    run("wallet", "import", "alice", str(file))
    sent = run("send", "--target", "greeter", "--action", "Tick", "--from", "alice")
    assert JWK["d"] not in sent.stdout
    assert "Data-Protocol" not in sent.stdout
    assert run_json("replay", "--verify")["signatures"] == 1
    assert "signatures that hold: 1" in run("replay", "--verify").stdout


@pytest.mark.slow
def test_a_new_arweave_wallet(run, run_json):
    made = run_json("wallet", "new", "alice", "--type", "arweave")
    assert len(made["address"]) == 43
    assert run_json("wallet", "list")[0]["address"] == made["address"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON object"),
        ("[1]", "no JSON object"),
        ('{"kty": "oct", "k": "AAAA"}', "not a wallet"),
        ('{"kty": "RSA", "n": "AQ", "e": "AQAB"}', "no d, p, q"),
        (json.dumps({**JWK, "n": JWK["n"][:340]}), "4096 bit"),
        ('{"kty": "OKP", "crv": "Ed25519", "x": "AAAA", "d": "AAAA"}', "32 bytes"),
        ('{"kty": "OKP", "crv": "Ed25519", "x": "AAAA", "d": "' + "A" * 43 + '"}', "public key"),
    ],
)
def test_what_is_no_key_file(run, tmp_path, text, reason):
    file = tmp_path / "key.json"
    file.write_text(text)
    assert reason in run("wallet", "import", "alice", str(file), code=2).stderr


def test_a_file_that_is_not_there_and_a_type_that_is_none(run):
    assert "cannot be read" in run("wallet", "import", "alice", "nowhere.json", code=2).stderr
    assert "ethereum" in run("wallet", "new", "alice", "--type", "dsa", code=2).stderr


def test_nobody_else_can_read_the_keys(run, home):
    home.mkdir(mode=0o755)
    run("wallet", "new", "alice")
    for file in home.glob("benchpool.sqlite*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
