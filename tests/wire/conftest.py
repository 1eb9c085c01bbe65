"""A running server, npm's packages, and the JavaScript suite, test by test."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from benchpool.client.deployment import sample_path
from benchpool.errors import PrerequisiteError
from benchpool.inference.files.catalogue import Catalogue
from benchpool.network import Network

HERE = Path(__file__).parent
SUITE = HERE / "suite"
WALLETS = ("alice", "bob", "mallory")
RARE = {f"{name}.test.mjs" for name in ("gateway", "locate", "scheduler", "trust", "upload")}
"""What is left to the slow tests: starting the client takes longer than what it does."""
NODE = 20
"""The oldest major version of Node that the suite runs on."""


def javascript_tests() -> list[tuple[str, str]]:
    """Return (file, name) of every test of the suite."""
    return [
        (path.name, name)
        for path in sorted(SUITE.glob("*.test.mjs"))
        for name in re.findall(r'^test\(\s*"((?:[^"\\]|\\.)*)"', path.read_text(), re.MULTILINE)
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one pytest test of each test of the suite."""
    if {"file", "name"} <= set(metafunc.fixturenames):
        found = javascript_tests()
        cases = [
            pytest.param(file, name, id=f"{file}-{name}", marks=[pytest.mark.slow] * (file in RARE))
            for file, name in found
        ]
        metafunc.parametrize(("file", "name"), cases)


@pytest.fixture(scope="session")
def suite() -> list[tuple[str, str]]:
    """(file, name) of every test of the suite."""
    return javascript_tests()


def unavailable(reason: str) -> NoReturn:
    """Skip, but fail where everything must run."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def node() -> str:
    """The path of Node, with the suite's packages installed beside it."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found is None or npm is None:
        unavailable(f"Node {NODE} or newer with npm is not installed: https://nodejs.org")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.lstrip("v").split(".")[0]) < NODE:
        unavailable(f"Node {NODE} or newer is needed; this is {version.stdout.strip()}")
    lock, kept = HERE / "package-lock.json", HERE / "node_modules" / ".installed-lock.json"
    if not kept.exists() or kept.read_bytes() != lock.read_bytes():
        quick = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--no-audit", "--no-fund"]
        command = [npm, "ci", "--ignore-scripts", *quick]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            unavailable(f"npm ci failed in tests/wire (offline?):\n{done.stderr[-500:]}")
        shutil.copy(lock, kept)
    return found


@pytest.fixture(scope="session")
def jwks(node: str) -> dict[str, dict[str, str]]:
    """Fresh Arweave wallets (RSA, 4096 bit)."""
    script = """
      import { generateKeyPair } from "node:crypto";
      import { promisify } from "node:util";
      const make = () => promisify(generateKeyPair)("rsa", { modulusLength: 4096 });
      const names = process.argv.slice(1);
      const pairs = await Promise.all(names.map(make));
      const keys = pairs.map(({ privateKey }) => privateKey.export({ format: "jwk" }));
      console.log(JSON.stringify(Object.fromEntries(names.map((name, n) => [name, keys[n]]))));
    """
    command = [node, "--input-type=module", "--eval", script, "--", *WALLETS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    made: dict[str, dict[str, str]] = json.loads(done.stdout)
    return made


@dataclass(frozen=True)
class Server:
    """A server that runs, and what `benchpool up --json` says of it."""

    home: Path
    addresses: dict[str, str]

    def graphql(self, query: str) -> Any:
        """Ask the gateway."""
        body = json.dumps({"query": query}).encode()
        asked = urllib.request.Request(
            f"{self.addresses['gateway']}/graphql",
            body,
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return json.loads(answer.read())["data"]

    def modules(self) -> dict[str, str]:
        """Return the id of every module by its name, as AO's clients find them."""
        wanted = '[{name: "Type", values: ["Module"]}]'
        query = f"{{ transactions(first: 100, tags: {wanted}) {{ edges {{ node {{ id tags"
        found = self.graphql(query + " { name value } } } } }")["transactions"]["edges"]
        nodes = [edge["node"] for edge in found]
        tags = [{tag["name"]: tag["value"] for tag in node["tags"]} for node in nodes]
        return {each["Name"]: node["id"] for each, node in zip(tags, nodes, strict=True)}

    def facts(self) -> dict[str, Any]:
        """Return what the JavaScript suite needs to know."""
        where = {**self.addresses, "graphql": f"{self.addresses['gateway']}/graphql"}
        return {**where, "modules": self.modules()}


@contextmanager
def serving(home: Path, log: Path, *options: str) -> Iterator[Server]:
    """Run `benchpool up` on a free port; it must end by itself when it is told to."""
    command = [sys.executable, "-m", "benchpool", "up", "--home", str(home), "--port", "0"]
    command += options
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [*command, "--json"], stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            yield Server(home, addresses_of(process, log))
        finally:
            process.terminate()
        assert process.wait(timeout=60) == 0, log.read_text()[-2000:]


def addresses_of(process: subprocess.Popen[str], log: Path) -> dict[str, str]:
    """Read what a server says when it is ready."""
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        with suppress(json.JSONDecodeError):
            addresses: dict[str, str] = json.loads(printed)
            return addresses
    pytest.fail(f"benchpool up ended with {process.wait()}:\n{printed}{log.read_text()}")


def make_home(home: Path) -> dict[str, str]:
    """Make a home whose data store has six questions and, where it was pulled, a small model."""
    with Network(home, signed=True) as network:  # as `benchpool up` makes a new one
        questions = sample_path().read_text().splitlines()[:6]
        data = {"samples": network.data.put("\n".join(questions).encode())}
        with suppress(PrerequisiteError):
            data["model"] = network.data.put_file(Catalogue().find("smollm2-135m"))
    return data


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A home, and the ids of what its data store has."""
    home = tmp_path_factory.mktemp("wire") / "home"
    return home, make_home(home)


@pytest.fixture(scope="session")
def server(stored: tuple[Path, dict[str, str]]) -> Iterator[Server]:
    """`benchpool up` on a home of its own and a free port."""
    home, _ = stored
    with serving(home, home.parent / "server.log") as running:
        yield running


@dataclass(frozen=True)
class Outcome:
    """What came of one test of the JavaScript suite."""

    passed: bool
    error: str


@pytest.fixture(scope="session")
def facts(
    server: Server, stored: tuple[Path, dict[str, str]], jwks: dict[str, dict[str, str]]
) -> Path:
    """The file from which the suite learns where the server is and who its wallets are."""
    return write_facts(server, stored[1], jwks)


def write_facts(server: Server, data: dict[str, str], jwks: dict[str, dict[str, str]]) -> Path:
    """Write what the suite needs to know."""
    known = server.facts() | {"data": data, "wallets": jwks}
    file = server.home.parent / "wire.json"
    file.write_text(json.dumps(known))
    file.chmod(0o600)
    return file


def run_javascript(node: str, file: Path, facts: Path) -> dict[str, Outcome]:
    """Run one file of the suite; return what came of each of its tests, by name."""
    command = [node, f"--test-reporter={SUITE / 'reporter.mjs'}", str(file)]
    done = subprocess.run(
        command,
        cwd=HERE,
        env=os.environ | {"BENCHPOOL_WIRE": str(facts)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"name"')]
    outcomes = {row["name"]: Outcome(row["passed"], row["error"]) for row in rows}
    # A file that ends before its tests begin has said why on the error stream.
    said = (done.stderr + done.stdout)[-3000:]
    return {"": Outcome(done.returncode == 0, said)} | outcomes


@pytest.fixture(scope="session")
def outcome(
    request: pytest.FixtureRequest, node: str, facts: Path
) -> Iterator[Callable[[str, str], Outcome]]:
    """Look up a test of the suite; the files of all that were selected run, two at a time."""
    items = [each for each in request.session.items if each.originalname == "test_aoconnect"]
    chosen = {item.callspec.params["file"] for item in items}
    # One pool first, since most of it waits for the clock on the wall, and the other one behind it.
    pools = ["pool.test.mjs", "mainnet-pool.test.mjs"]
    files = sorted(chosen, key=lambda file: (file != pools[0], file == pools[1], file))
    with ThreadPoolExecutor(2) as threads:
        ran = {file: threads.submit(run_javascript, node, SUITE / file, facts) for file in files}

        def look_up(file: str, name: str) -> Outcome:
            found = ran[file].result()
            missing = Outcome(False, f"{name!r} did not run:\n{found[''].error}")
            return found.get(name, missing)

        yield look_up


@pytest.fixture
def on_three_ports(
    node: str, tmp_path: Path, jwks: dict[str, dict[str, str]]
) -> Iterator[Callable[[str], dict[str, Outcome]]]:
    """Run a file of the suite against a server whose units have ports of their own."""
    data = make_home(tmp_path / "home")
    if "model" not in data:
        pytest.skip("run `benchpool model pull smollm2-135m` first")
    options = [part for unit in ("mu", "su", "cu") for part in (f"--{unit}-port", "0")]
    with serving(tmp_path / "home", tmp_path / "server.log", *options) as running:
        assert len({running.addresses[name] for name in ("gateway", "mu", "su", "cu")}) == 4
        facts = write_facts(running, data, jwks)
        yield lambda file: run_javascript(node, SUITE / file, facts)
