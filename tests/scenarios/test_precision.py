"""One model in two pools, as stored and in BF16: real inference through every process."""

import json

import pytest

from benchpool.ao.clock import DAY_MS
from benchpool.client.deployment import deploy, sample_path, upload_model
from benchpool.inference.files.catalogue import Catalogue
from benchpool.network import Network

WAR = 10**12
QUESTIONS = 6


def dry(network, process, action, tags):
    (answer,) = network.dry_run(process, action, tags).messages
    return json.loads(answer.data)


@pytest.mark.model
@pytest.mark.slow
def test_each_precision_has_a_board_of_its_own(tmp_path):
    smollm2 = Catalogue().find("smollm2-135m")
    with Network(tmp_path / "home", seed=1) as network:
        questions = sample_path().read_bytes().splitlines(keepends=True)[:QUESTIONS]
        processes = deploy(network, samples=b"".join(questions))
        network.send("WrappedAR", "Mint", {"Quantity": str(2 * WAR)})
        model = upload_model(network, smollm2, "smollm2")
        pools = {}
        for protocol in ("cloze", "cloze/bf16"):
            terms = {"X-Dataset": processes.SiqaDataset, "X-Allocation": "Equal"}
            tags = {"Recipient": processes.Benchmark, "Quantity": str(WAR), **terms}
            made = network.send("WrappedAR", "Transfer", tags | {"X-Protocol": protocol})
            pools[protocol] = made.reply("Pool-Created").tags["Pool"]
            entry = json.dumps({"dataset": pools[protocol], "model": model})
            assert network.send("Benchmark", "Join-Pool", data=entry).reply("Joined-Pool")
            network.send("SiqaDataset", "Evaluate")
        network.advance(DAY_MS)

        reports, likelihoods = {}, {}
        for protocol, pool in pools.items():
            (row,) = dry(network, "Benchmark", "Leaderboard", {"Pool": pool})
            assert row["protocol"] == protocol
            asked = {"Model": model, "Protocol": protocol}
            reports[protocol] = dry(network, "SiqaDataset", "Get-Report", asked)
        for message, _ in network.log("SiqaDataset"):
            if message.action == "Inference-Response":
                answer = json.loads(message.data)
                likelihoods.setdefault(answer["precision"], []).append(answer["log_likelihoods"])
        for protocol, precision in (("cloze", "stored"), ("cloze/bf16", "bf16")):
            (runtime,) = reports[protocol]["runtimes"]
            assert (runtime["precision"], runtime["layout"]) == (precision, "canonical-2")
            assert runtime["answers"] == len(likelihoods[precision]) == QUESTIONS
        assert likelihoods["stored"][0] != likelihoods["bf16"][0]
        for one, other in zip(likelihoods["stored"][0], likelihoods["bf16"][0], strict=True):
            assert one["nats"] == pytest.approx(other["nats"], abs=1.5)
