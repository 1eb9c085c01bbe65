"""Lua on AO's own module: a token that funds a pool, packages, boot, and given ids."""

import json
from pathlib import Path
from typing import Any

import pytest
from ao_modules import ao_module
from small_modules import small_module
from typer.testing import CliRunner

from benchpool import Network
from benchpool.audit.audit import audit_home
from benchpool.audit.export import export_home, import_file
from benchpool.audit.replay import replay_home
from benchpool.cli import app
from benchpool.client.deployment import deploy, upload_model
from benchpool.client.lua_bundle import as_module, bundle
from benchpool.errors import HandlerError, PrerequisiteError, UnknownModule
from benchpool.evaluation.sample import to_json
from benchpool.inference.files.catalogue import Catalogue
from benchpool.simulation.scripted_engine import ScriptedEngines, write_script

from .conftest import RIGHT, SAMPLES, WORSE

LUA = Path(__file__).parents[1] / "fixtures" / "lua"
AOS_ID = "ISShJH1ij-hPPt9St5UFFr_8Ys3Kj5cyg7zrMGt7H9s"
REGISTRY_ID = "RLvG3tclmALLBCrwc17NqzNFqZCrUf3-RKZ5v8VRHiU"
FUNDS = 10**12 + 1


def run(*args: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(each) for each in args])
    assert done.exit_code == code, done.output
    return done.output


def fund(network: Network, ids: Any, quantity: int, **tags: str) -> str:
    given = {
        "Recipient": ids.Benchmark,
        "Quantity": str(quantity),
        "X-Dataset": ids.SiqaDataset,
        "X-Allocation": "ArithmeticDecrease",
        "X-Eligible": "all",
        "X-Duration": "2d",
        "X-Title": "lua",
        **tags,
    }
    sent = network.send("WrappedAR", "Transfer", given, sender="funder")
    return sent.trace.replies(network.resolve("funder"))[-1].tags["Pool"]


def begin(network: Network) -> Any:
    """Spawn a Lua token under the name that a deployment looks for, and all else around it."""
    network.add_module(ao_module("aos2_0_6.wasm"), name="aos", ids=[AOS_ID])
    token = network.spawn("aos", name="WrappedAR")
    loaded = network.send(token, "Eval", data=bundle(LUA / "token.lua")).result
    assert (loaded.error, loaded.output) == ("", "LUA is ready")
    network.new_wallet("funder")
    ids = deploy(network, samples=to_json(SAMPLES).encode())
    assert ids.WrappedAR == token
    grant = {"Quantity": str(10 * FUNDS), "Recipient": network.resolve("funder")}
    network.send(token, "Mint", grant)
    return ids


def balances(network: Network) -> dict[str, str]:
    return json.loads(network.dry_run("WrappedAR", "Balances").messages[0].data)


@pytest.mark.parametrize("signed", [False, True])
def test_a_lua_token_funds_a_pool_that_is_paid_audited_and_replayed(
    tmp_path: Path, signed: bool
) -> None:
    home = tmp_path / "home"
    with Network(home, seed=1, engine_factory=ScriptedEngines(), signed=signed) as network:
        ids = begin(network)
        pool = fund(network, ids, FUNDS)
        for who, answers in (("ana", RIGHT), ("ben", WORSE)):
            network.new_wallet(who)
            path = tmp_path / f"{who}.gguf"
            path.write_bytes(write_script(f"model-{who}", SAMPLES, answers))
            model = upload_model(network, path, f"model-{who}", sender=who)
            data = json.dumps({"dataset": pool, "model": model})
            network.send("Benchmark", "Join-Pool", data=data, sender=who).reply("Joined-Pool")
        network.advance("1d")
        network.send(  # a top-up, and money for no pool, which goes back
            "WrappedAR",
            "Transfer",
            {"Recipient": ids.Benchmark, "Quantity": "5", "X-Pool": pool},
            sender="funder",
        )
        network.send(
            "WrappedAR",
            "Transfer",
            {"Recipient": ids.Benchmark, "Quantity": "3", "X-Pool": "nowhere"},
            sender="funder",
        )
        network.advance("4d")
        held = balances(network)
        paid = [int(held[network.resolve(who)]) for who in ("ana", "ben")]
        assert sum(paid) == FUNDS + 5
        assert held[ids.Benchmark] == "0"
        assert int(held[network.resolve("funder")]) == 9 * FUNDS - 5
    replay_home(home).check()
    statement = audit_home(home, "lua")
    assert [each.name for each in statement.checks if not each.passed] == []
    assert statement.status == "paid"
    assert statement.supply is None
    assert "its ledger is its own" in statement.checks[-1].name
    export_home(home, tmp_path / "run")
    import_file(tmp_path / "run", tmp_path / "copy").check()
    again = audit_home(tmp_path / "copy", "lua")
    assert again.view() == statement.view()
    assert "its ledger is its own" in run("audit", "lua", "--home", home)
    assert "lua" in run("pool", "list", "--home", home)
    assert "paid" in run("pool", "show", "lua", "--home", home)


def test_a_token_that_lies_to_a_pool_fails_the_audit(tmp_path: Path) -> None:
    home = tmp_path / "home"
    liar = """
      local true_of = require("lib.notices").of
      package.loaded["lib.notices"].of = function(msg, quantity)
        local debit, credit = true_of(msg, quantity)
        credit.Quantity = credit.Quantity .. "0"
        return debit, credit
      end
    """
    with Network(home, seed=1, engine_factory=ScriptedEngines()) as network:
        ids = begin(network)
        assert network.send("WrappedAR", "Eval", data=liar).error == ""
        fund(network, ids, FUNDS)
        network.advance("4d")
    replay_home(home).check()
    failed = [each.name for each in audit_home(home, "lua").checks if not each.passed]
    assert "the token's notices agree; its ledger is its own" in failed


def test_the_demo_model_is_paid_in_lua_tokens(tmp_path: Path) -> None:
    home = tmp_path / "home"
    try:
        model = Catalogue().find("smollm2-135m")
    except PrerequisiteError as error:
        pytest.skip(str(error))
    with Network(home, seed=1) as network:
        ids = begin(network)
        pool = fund(network, ids, FUNDS)
        network.new_wallet("ana")
        process = upload_model(network, model, "smollm2", sender="ana")
        data = json.dumps({"dataset": pool, "model": process})
        network.send("Benchmark", "Join-Pool", data=data, sender="ana").reply("Joined-Pool")
        network.advance("4d")
        held = balances(network)
        assert int(held[network.resolve("ana")]) == FUNDS
    replay_home(home).check()
    assert audit_home(home, "lua").status == "paid"


# -- the command line ----------------------------------------------------------------------------


def test_a_token_is_spawned_and_loaded_in_one_command(tmp_path: Path) -> None:
    home, aos = tmp_path / "home", ao_module("aos2_0_6.wasm")
    run("module", "add", aos, "--name", "aos", "--id", AOS_ID, "--home", home)
    run("spawn", "aos", "--name", "Token", "--load", LUA / "token.lua", "--home", home)
    to = ("--target", "Token", "--home", home)
    run("send", *to, "--action", "Mint", "--tag", "Quantity=7")
    assert "7" in run("send", *to, "--action", "Balance")
    assert "New Message From" in run("send", *to, "--action", "Nope")  # to its inbox, as on AO
    said = run("send", *to, "--action", "Mint", "--tag", "Quantity=x", code=1)
    assert "Quantity must be a whole number!" in said
    assert "x1b" not in said
    assert "Balances" not in run("inspect", "Token", "--home", home)
    assert '"7"' in run("dryrun", *to, "--action", "Eval", "--data", "Balances")
    bad = tmp_path / "bad.lua"
    bad.write_text("this is no Lua")
    said = run("spawn", "aos", "--name", "Bad", "--load", bad, "--home", home, code=1)
    assert "Bad was spawned, and" in said
    circle = tmp_path / "circle.lua"
    circle.write_text('require("circle")')
    run("spawn", "aos", "--name", "No", "--load", circle, "--home", home, code=2)
    assert len(json.loads(run("processes", "--home", home, "--json"))) == 2
    assert run("replay", "--verify", "--home", home)


def test_packages_are_kept_and_can_be_required(tmp_path: Path) -> None:
    home, source = tmp_path / "home", tmp_path / "counter.lua"
    lua = 'local step = require("step")\nreturn { next = function(n) return n + step end }'
    source.write_text(lua)
    (tmp_path / "step.lua").write_text("return 2")
    run("module", "add", ao_module("aos2_0_6.wasm"), "--name", "aos", "--home", home)
    run("package", "add", "@sam/counter", source, "--home", home)
    run("package", "add", "@sam/counter", source, "--home", home)
    assert "@sam/counter" in run("package", "list", "--home", home)
    run("spawn", "aos", "--name", "P", "--package", "@sam/counter", "--home", home)
    asked = "return require('@sam/counter').next(40)"
    to = ("--target", "P", "--home", home)
    assert "42" in run("dryrun", *to, "--action", "Eval", "--data", asked)
    source.write_text("return {}")
    assert "another source" in run("package", "add", "@sam/counter", source, "--home", home, code=2)
    assert "not a name" in run("package", "add", "a b", source, "--home", home, code=2)
    assert "no package" in run("spawn", "aos", "--package", "none", "--home", home, code=2)
    replay_home(home).check()
    export_home(home, tmp_path / "run")
    import_file(tmp_path / "run", tmp_path / "copy").check()
    with Network(tmp_path / "copy", read_only=True) as network:
        assert "n + step" in network.package("@sam/counter")


def test_on_boot_evaluates_the_data(tmp_path: Path) -> None:
    with Network(tmp_path / "home", seed=1) as network:
        network.add_module(ao_module("aos2_0_6.wasm"), name="aos")
        booted = network.spawn("aos", {"On-Boot": "Data"}, data="Booted = 41 + 1")
        assert network.dry_run(booted, "Eval", data="return Booted").output == "42"
        with pytest.raises(HandlerError, match="not spawned"):
            network.spawn("aos", {"On-Boot": "Data"}, name="Bad", data="this is no Lua")
        assert "Bad" not in network.names()
    replay_home(tmp_path / "home").check()


# -- sources that name ids of the main network ----------------------------------------------------


def test_sources_that_name_ids_find_what_was_spawned_as_these(tmp_path: Path) -> None:
    home = tmp_path / "home"
    asker = f"""
      Heard = {{}}
      Handlers.add("Told", "Told", function(msg) table.insert(Heard, msg.Data) end)
      Send({{ Target = "{REGISTRY_ID}", Action = "Tell" }})
    """
    teller = """
      Handlers.add("Tell", "Tell", function(msg)
        msg.reply({ Action = "Told", Data = "hi" })
      end)
    """
    with Network(home, seed=1) as network:
        network.add_module(ao_module("aos2_0_6.wasm"), name="aos", ids=[AOS_ID])
        network.spawn("aos", name="Registry", given_id=REGISTRY_ID)
        network.send("Registry", "Eval", data=teller)
        network.spawn(AOS_ID, name="Asker")
        network.send("Asker", "Eval", data=asker)
        assert network.dry_run("Asker", "Eval", data="return Heard[1]").output == "hi"
        child = network.send("Asker", "Eval", data="Spawn(ao.env.Module.Id, { Name = 'Child' })")
        assert child.error == ""
        (info,) = [info for info in network.processes() if info.name == "Child"]
        assert info.module == AOS_ID
        told = network.dry_run("Asker", "Eval", data="return Inbox[#Inbox].Process")
        assert told.output == info.id
    replay_home(home).check()
    with Network(home) as network:  # from its checkpoint
        assert network.dry_run("Asker", "Eval", data="return #Heard").output == "1"


def test_a_registry_on_sqlite_serves_packages_as_apm_does(tmp_path: Path) -> None:
    """A registry of packages, written here in the shape of APM's: on the module with SQLite."""
    home = tmp_path / "home"
    with Network(home, seed=1) as network:
        network.add_module(ao_module("aos2_0_6.wasm"), name="aos")
        network.add_module(ao_module("sqlite.wasm"), name="sqlite")
        network.spawn("sqlite", name="APM", given_id=REGISTRY_ID)
        loaded = network.send("APM", "Eval", data=bundle(LUA / "registry.lua"))
        assert loaded.error == ""
        network.spawn("aos", name="P")
        client = (LUA / "registry_client.lua").read_text().replace("REGISTRY_ID", REGISTRY_ID)
        assert network.send("P", "Eval", data=as_module("apm", client)).error == ""
        source = "return { answer = function() return 42 end }"
        data = json.dumps({"name": "@sam/answer", "source": source})
        assert network.send("APM", "Publish", data=data).reply("Published").tags["Version"] == "1"
        assert network.send("P", "Eval", data='require("apm").install("@sam/answer")').error == ""
        asked = "return require('@sam/answer').answer()"
        assert network.dry_run("P", "Eval", data=asked).output == "42"
        missing = network.send("P", "Eval", data='require("apm").install("@sam/none")')
        assert missing.error == ""
        assert "no package" in network.dry_run("P", "Eval", data="return ApmSaid").output
    replay_home(home).check()


def test_an_unknown_module_is_told_of(tmp_path: Path) -> None:
    with Network() as network:
        network.add_module(small_module(), name="tiny")
        for unknown in ("aos", AOS_ID):
            with pytest.raises(UnknownModule, match=r"no module named .*tiny"):
                network.spawn(unknown)
