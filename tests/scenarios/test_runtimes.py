"""Which runtime a model is computed on: what a pool admits, and what the log says of answers."""

import json

import pytest
from conftest import ScriptedEngine
from replaying import replay_network
from typer.testing import CliRunner

from benchpool.audit.audit import audit_home
from benchpool.cli import app
from benchpool.client.deployment import deploy, sample_path, upload_model
from benchpool.inference import Runtime
from benchpool.inference.engine import machine_id
from benchpool.inference.engines import MadeEngines
from benchpool.network import Network

WAR = 10**12
QUESTIONS = b"".join(sample_path().read_bytes().splitlines(keepends=True)[:6])
OLD, NEW = "llama-cpp-python 1, llama.cpp 7", "llama-cpp-python 2, llama.cpp 8"
HERE, THERE = machine_id(OLD, "AVX2"), machine_id(NEW, "AVX2")


class Engines(MadeEngines):
    """Compute on the build that is set, but for files that name another."""

    def __init__(self):
        super().__init__(self._make)
        self.build = OLD
        self.wanted = []

    def _make(self, path, precision):
        engine = ScriptedEngine(path, precision)
        build = NEW if "new" in path.read_text() else self.build
        product = ", bf16-product 1" if "product" in path.read_text() else ""
        layout = "canonical-2" if "packed" in path.read_text() else "canonical-1"
        engine.runtime = Runtime(build + product, "AVX2", precision, layout)
        return engine

    def open(self, path, precision="stored", *, runtime=""):
        self.wanted.append(runtime)
        return super().open(path, precision, runtime=runtime)


@pytest.fixture
def engines():
    return Engines()


def begin(network):
    deploy(network, samples=QUESTIONS)
    network.send("WrappedAR", "Mint", {"Quantity": str(WAR)})
    network.new_wallet("ana")


def fund(network, **terms):
    tags = {"X-Allocation": "Equal", "X-Title": "tiny", "X-Duration": "1d", **terms}
    tags["X-Dataset"] = network.resolve("SiqaDataset")
    tags |= {"Recipient": network.resolve("Benchmark"), "Quantity": str(WAR // 8)}
    return network.send("WrappedAR", "Transfer", tags)


def upload(network, tmp_path, text):
    path = tmp_path / f"{text}.gguf"
    path.write_text(text)
    return upload_model(network, path, text, sender="ana")


def join(network, pool, model):
    data = json.dumps({"dataset": pool, "model": model})
    return network.send("Benchmark", "Join-Pool", data=data, sender="ana")


def test_a_machine_has_one_id_for_all_that_it_computes():
    plain = Runtime(OLD, "AVX2", "stored", "canonical-1")
    other = Runtime(f"{OLD}, bf16-product 1", "AVX2", "bf16", "canonical-2")
    assert plain.machine == other.machine == HERE
    assert Runtime(OLD, "AVX2 AMX", "stored", "canonical-1").machine != HERE
    assert Runtime(NEW, "AVX2", "stored", "canonical-1").machine == THERE != HERE


def test_a_pool_admits_the_runtime_of_the_first_that_joins(tmp_path, engines):
    home = tmp_path / "home"
    with Network(home, seed=1, engine_factory=engines) as network:
        begin(network)
        made = fund(network).reply("Pool-Created").tags
        assert "Runtime" not in made
        join(network, made["Pool"], upload(network, tmp_path, "a")).reply("Joined-Pool")
        # A layout and a product follow from the file: such models are of one runtime.
        same = upload(network, tmp_path, "packed-product")
        join(network, made["Pool"], same).reply("Joined-Pool")
        other = upload(network, tmp_path, "new")
        refused = join(network, made["Pool"], other).reply("Join-Pool-Error").tags["Error"]
        for named in (other, THERE, HERE, made["Pool"], "joined first"):
            assert named in refused
        pool = network.send("Benchmark", "Get-Pool", {"Pool": made["Pool"]}).reply().json()
        assert {each["runtime"] for each in pool["models"]} == {HERE}
        network.advance("2d")
    statement = audit_home(home, "tiny")
    assert [check for check in statement.checks if check.passed is not True] == []
    with Network(home, read_only=True) as network:
        replay_network(network).check()


def test_a_pool_admits_the_runtime_that_it_names(tmp_path, engines):
    home = tmp_path / "home"
    with Network(home, seed=1, engine_factory=engines) as network:
        begin(network)
        made = fund(network, **{"X-Runtime": THERE}).reply("Pool-Created").tags
        assert made["Runtime"] == THERE
        model = upload(network, tmp_path, "a")
        assert network.send(model, "Info").reply().tags["Runtime"] == HERE
        refused = join(network, made["Pool"], model).reply("Join-Pool-Error").tags["Error"]
        assert f"admits {THERE} alone, its X-Runtime" in refused
        join(network, made["Pool"], upload(network, tmp_path, "new")).reply("Joined-Pool")
        network.advance("2d")
    statement = audit_home(home, "tiny")
    assert [check for check in statement.checks if check.passed is not True] == []


@pytest.mark.parametrize("word", ["first", "0123", f"{HERE}0", HERE.upper() + "F", f"{HERE}\n"])
def test_another_word_makes_no_pool(word, engines):
    with Network(seed=1, engine_factory=engines) as network:
        begin(network)
        said = fund(network, **{"X-Runtime": word})
        back = next(each.message for each in said.trace.walk() if "X-Error" in each.message.tags)
        assert "X-Runtime is what a model's Info calls Runtime" in back.tags["X-Error"]


def play_and_move(home, tmp_path, engines, **terms):
    """Play a pool whose machine changes once its model has joined; return what was answered."""
    with Network(home, seed=1, engine_factory=engines) as network:
        begin(network)
        pool = fund(network, **terms).reply("Pool-Created").tags["Pool"]
        model = upload(network, tmp_path, "a")
        known = network.send(model, "Info").reply().tags["Runtime-stored"][:16]
        join(network, pool, model).reply("Joined-Pool")
    engines.build = NEW
    engines.wanted.clear()
    with Network(home, engine_factory=engines) as network:
        network.advance("2d")
        assert set(engines.wanted) == {known}  # a cluster looks for a worker that has it
        answers = [
            message.json()
            for message, _ in network.log("SiqaDataset")
            if message.action == "Inference-Response"
        ]
        rows = network.send("SiqaDataset", "Get-Answers", {"Model": model}).reply().json()
        report = network.send("SiqaDataset", "Get-Report", {"Model": model}).reply().json()
    with Network(home, read_only=True) as network:
        replay_network(network).check()
    statement = audit_home(home, "tiny")
    assert [check for check in statement.checks if check.passed is not True] == []
    return answers, rows, report


def test_an_answer_bears_the_runtime_that_it_was_computed_on(tmp_path, engines):
    answers, _, _ = play_and_move(tmp_path / "home", tmp_path, engines)
    on = Runtime(NEW, "AVX2", "stored", "canonical-1")
    assert len(answers) == 6
    assert {(each["runtime"], each["machine"]) for each in answers} == {(on.id, THERE)}


def test_a_pool_that_names_a_runtime_counts_no_answer_of_another(tmp_path, engines):
    _, rows, report = play_and_move(tmp_path / "home", tmp_path, engines, **{"X-Runtime": HERE})
    assert {each["status"] for each in rows} == {"unscored"}
    (said,) = report["not_answered"]
    assert f"computed on runtime {THERE}, and its pool admits {HERE} alone" in said["reason"]


def test_a_helper_of_another_runtime_is_not_used(tmp_path, engines):
    with Network(seed=1, engine_factory=engines) as network:
        begin(network)
        model = upload(network, tmp_path, "a")
        weights = network.send(model, "Info").reply().tags["Weights"]
        router = network.resolve("LlamaRouter")
        engines.build = NEW
        spawned = {"Router": router, "Model-Data": weights, "Model": model}
        helper = network.spawn("LlamaWorker", spawned, sender="ana")
        network.send(model, "Add-Worker", {"Worker": helper}, sender="ana")
        listed = network.send(router, "Get-Workers").reply().json()
        assert [each["worker"] for each in listed if each["model"] == model] == [model]
        errors = [str(result.error) for _, result in network.log(router) if result.error]
        assert any(f"computes on runtime {THERE}" in error for error in errors)


def test_the_command_line_names_a_runtime(tmp_path, engines):
    home = tmp_path / "home"
    with Network(home, seed=1, engine_factory=engines) as network:
        begin(network)
        ana = network.new_wallet("bob").address
        network.send("WrappedAR", "Mint", {"Quantity": str(WAR), "Recipient": ana})
    words = ["pool", "create", "--dataset", "SiqaDataset", "--allocation", "Equal", "--funds"]
    words += ["0.1", "--runtime", HERE, "--from", "bob", "--home", str(home), "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["binding"]["runtime"] == HERE
