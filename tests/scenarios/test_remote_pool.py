"""A model that a server runs, in a pool: who lets it in, and what stands of it in the log."""

import json

import msgspec
import pytest
from model_server import serve
from replaying import replay_network
from typer.testing import CliRunner

from benchpool.audit.audit import audit_home
from benchpool.audit.recompute import REMOTE, Again
from benchpool.cli import app
from benchpool.client.deployment import deploy, sample_path, upload_model
from benchpool.errors import HandlerError, InferenceError
from benchpool.inference.answer_cache import FILE_NAME
from benchpool.inference.engines import MadeEngines
from benchpool.inference.files.catalogue import Catalogue
from benchpool.inference.files.folders import CACHE_VARIABLE
from benchpool.inference.remote_models import RemoteTerms
from benchpool.network import Network
from benchpool.network.build import engines
from benchpool.store.data import file_id
from benchpool.units.limits import Limits

WAR = 10**12
QUESTIONS = sample_path().read_bytes().splitlines(keepends=True)[:6]
KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "models"))
    monkeypatch.setenv("FAR_KEY", KEY)


@pytest.fixture
def add():
    def added(server):
        terms = RemoteTerms(key_variable="FAR_KEY")
        return Catalogue().add_server(server.address, "made-up", "far", terms, pause_s=0.01)

    return added


def begin(network, **terms):
    """Deploy, and fund a pool; return its id, or what was said in its place."""
    ids = deploy(network, samples=b"".join(QUESTIONS))
    network.send("WrappedAR", "Mint", {"Quantity": str(WAR)})
    network.new_wallet("ana")
    return fund(network, ids.SiqaDataset, **terms)


def fund(network, dataset, **terms):
    tags = {"X-Dataset": dataset, "X-Allocation": "Equal", "X-Title": "tiny", "X-Duration": "1d"}
    tags |= {"Recipient": network.resolve("Benchmark"), "Quantity": str(WAR // 4), **terms}
    return network.send("WrappedAR", "Transfer", tags)


def join(network, pool, model):
    data = json.dumps({"dataset": pool, "model": model})
    return network.send("Benchmark", "Join-Pool", data=data, sender="ana")


def play(home, added):
    with Network(home, seed=1) as network:
        pool = begin(network, **{"X-Remote": "allow"}).reply("Pool-Created").tags
        assert pool["Remote"] == "allow"
        model = upload_model(network, added.path, "far", sender="ana")
        join(network, pool["Pool"], model).reply("Joined-Pool")
        network.advance("2d")
        return model


def test_a_pool_that_allows_it_is_played_and_replayed_without_the_server(tmp_path, add):
    home = tmp_path / "home"
    with serve() as server:
        model = play(home, add(server))
        asked = len(server.asked)
    assert asked > 3 * len(QUESTIONS)
    with Network(home, read_only=True) as network:
        replay_network(network).check()
        answers = [
            message.json()
            for message, _ in network.log("SiqaDataset")
            if message.action == "Inference-Response"
        ]
        assert len(network.log(model)) > len(QUESTIONS)
    assert len(answers) == len(QUESTIONS)
    assert {each["layout"] for each in answers} == {"remote-choices"}


def test_the_audit_says_that_nobody_can_recompute_it_and_asks_nobody(tmp_path, add):
    home = tmp_path / "home"
    with serve() as server:
        play(home, add(server))
        asked = len(server.asked)
        backend = engines(Limits())
        try:
            statement = audit_home(home, "tiny", again=Again(backend, 6))
        finally:
            backend.close()
        assert len(server.asked) == asked
    assert statement.recomputed.unasked == {REMOTE: len(QUESTIONS)}
    assert statement.recomputed.passed is None
    assert all(check.passed for check in statement.checks[:-1])
    assert statement.checks[-1].passed is None
    run = CliRunner().invoke(app, ["audit", "tiny", "--home", str(home), "--recompute", "6"])
    assert "not reproducible" in " ".join((run.stdout + run.stderr).split())


class Posing:
    """A model server's engine that says that this machine computed its answers."""

    def __init__(self, engine):
        self._engine = engine
        self.runtime = msgspec.structs.replace(engine.runtime, build="b1", layout="canonical-1")

    def __getattr__(self, name):
        return getattr(self._engine, name)


def test_recomputing_finds_out_a_server_that_poses_as_a_model_of_this_machine(tmp_path, add):
    home = tmp_path / "home"
    backend = engines(Limits())
    with serve() as server:
        added = add(server)
        pose = MadeEngines(lambda path, precision: Posing(backend.open(path, precision)))
        with Network(home, seed=1, engine_factory=pose) as network:
            pool = begin(network).reply("Pool-Created").tags["Pool"]
            model = upload_model(network, added.path, "far", sender="ana")
            join(network, pool, model).reply("Joined-Pool")
            network.advance("2d")
        asked = len(server.asked)
        statement = audit_home(home, "tiny", again=Again(backend, 6))
        assert len(server.asked) == asked
    backend.close()
    (reason,) = statement.recomputed.unasked
    assert "the pool lets none such in" in reason
    assert statement.checks[-1].passed is None


def test_neither_home_nor_log_holds_the_key_and_no_answer_is_kept(tmp_path, add):
    home = tmp_path / "home"
    with serve() as server:
        play(home, add(server))
    files = [path for path in home.rglob("*") if path.is_file()]
    assert all(KEY.encode() not in path.read_bytes() for path in files)
    answers = [path for path in files if path.name.startswith(FILE_NAME)]
    assert all(b"remote-choices" not in path.read_bytes() for path in answers)


def test_other_pools_refuse_it_by_name(tmp_path, add):
    with serve() as server, serve(no_echo=True) as weak, Network(seed=1) as network:
        plain = begin(network).reply("Pool-Created").tags
        assert "Remote" not in plain
        model = upload_model(network, add(server).path, "far", sender="ana")
        refused = join(network, plain["Pool"], model).reply("Join-Pool-Error")
        assert "X-Remote=allow" in refused.tags["Error"]
        assert model in refused.tags["Error"]

        Catalogue().add_server(weak.address, "weak", "weak", pause_s=0.01)
        weak_model = upload_model(network, Catalogue().find("weak"), "weak", sender="ana")
        open_pool = fund(network, network.resolve("SiqaDataset"), **{"X-Remote": "allow"})
        pool = open_pool.reply("Pool-Created").tags["Pool"]
        refused = join(network, pool, weak_model).reply("Join-Pool-Error")
        assert "no likelihoods of choices" in refused.tags["Error"]
        join(network, pool, model).reply("Joined-Pool")
        letters = {"X-Remote": "allow", "X-Protocol": "letters"}
        pool = fund(network, network.resolve("SiqaDataset"), **letters)
        join(network, pool.reply("Pool-Created").tags["Pool"], weak_model).reply("Joined-Pool")


def test_another_word_makes_no_pool():
    with Network(seed=1) as network:
        said = begin(network, **{"X-Remote": "yes"})
        back = next(each.message for each in said.trace.walk() if "X-Error" in each.message.tags)
        assert "X-Remote is allow or left out" in back.tags["X-Error"]


def test_a_message_that_names_an_address_reaches_nobody(tmp_path, add):
    with serve() as server, Network(seed=1) as network:
        begin(network)
        data = {"benchpool": "model server", "url": server.address[7:], "model": "m", "salt": "0"}
        forged = network.data.put(json.dumps(data, separators=(",", ":")).encode())
        with pytest.raises(HandlerError, match="has not added"):
            network.spawn("LlamaWorker", [("Model-Data", forged)], sender="ana")
        worker = network.spawn("LlamaWorker", [], sender="ana")
        network.send(worker, "Load-Model", {"Data-Id": forged}, sender="ana")
        assert "has not added" in str(network.log(worker)[-1][1].error)
        assert not server.asked


def test_eval_asks_a_server_and_says_why_what_is_unscored(tmp_path, add):
    def evaluate(protocol):
        words = ["eval", "far", "--data", str(sample_path()), "--limit", "4", "--json"]
        run = CliRunner().invoke(app, [*words, "--protocol", protocol])
        assert run.exit_code == 0, run.stderr
        return json.loads(run.stdout)["models"][0]

    with serve() as server:
        add(server)
        assert evaluate("cloze")["unscored"] == 0
        server.faults["no_echo"] = True
        Catalogue().remove("far")
        add(server)
        (reason,) = evaluate("cloze")["reasons"]
        assert "far is asked at a model server" in reason


def test_the_command_line_adds_lists_and_removes_a_server():
    def run(*words):
        done = CliRunner().invoke(app, ["model", *words])
        return done.exit_code, " ".join((done.stdout + done.stderr).split())

    with serve() as server:
        added = run("add", server.address, "--model", "made-up", "--key-from", "FAR_KEY")
        assert added[0] == 0
        assert "answers texts, turns, choices; not reproducible" in added[1]
        listed = run("list")[1]
        assert "made-up at a server" in listed
        assert KEY not in added[1] + listed
        assert run("remove", "made-up")[0] == 0
        assert run("add", server.address)[0] == 2
        assert run("add", "/no/file")[0] == 2
        shifted = run("add", server.address, "--model", "other", "--max-tokens-total", "50")
        assert shifted[0] == 1
        assert "--max-tokens-total" in shifted[1]


def test_a_bound_that_is_reached_fails_questions_and_not_the_pool(tmp_path, add):
    with serve() as server, Network(seed=1) as network:
        pool = begin(network, **{"X-Remote": "allow"}).reply("Pool-Created").tags["Pool"]
        model = upload_model(network, add(server).path, "far", sender="ana")
        catalogue = Catalogue()
        with pytest.raises(InferenceError, match="--max-tokens-total"):
            catalogue.add_server(server.address, "made-up", "far", RemoteTerms(max_tokens_total=9))
        join(network, pool, model).reply("Joined-Pool")
        network.advance("2d")


def test_the_command_line_makes_a_pool_for_it_and_enters_it(tmp_path, add):
    home = tmp_path / "home"

    def run(*words):
        done = CliRunner().invoke(app, [*words, "--home", str(home), "--from", "ana"])
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    with Network(home, seed=1) as network:
        deploy(network, samples=b"".join(QUESTIONS))
        ana = network.new_wallet("ana").address
        network.send("WrappedAR", "Mint", {"Quantity": str(WAR), "Recipient": ana})
    with serve() as server:
        added = add(server)
        terms = ["--dataset", "SiqaDataset", "--allocation", "Equal", "--funds", "0.1"]
        made = run("pool", "create", *terms, "--remote", "allow", "--json")
        assert made["binding"]["remote"] == "allow"
        assert run("pool", "join", made["id"], "--model", "far", "--json")["name"] == "far"
    with Network(home, read_only=True) as network:
        assert network.data.path(file_id(added.path)).exists()
