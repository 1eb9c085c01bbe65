"""Other programs that answer the same questions, for `bench_inference.py`: lm-evaluation-harness.

They run in an environment of their own, which is told the questions once and then asked in
rounds, so that neither imports nor loading count.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from measure import free_port

from benchpool.errors import PrerequisiteError
from benchpool.inference import ChoicesRequest

_LOADING_S = 180.0
_PROGRAM = """
import json, os, sys, time
out = os.fdopen(os.dup(1), "w"); os.dup2(2, 1)
from lm_eval.api.instance import Instance
kind, model, questions = json.loads(sys.stdin.readline())
if kind == "hf":
    from lm_eval.models.huggingface import HFLM
    folder, name = os.path.split(model)
    lm = HFLM(pretrained=folder, gguf_file=name, dtype="bfloat16", device="cpu", batch_size=8)
else:
    from lm_eval.models.gguf import GGUFLM
    lm = GGUFLM(base_url=model)
print("ready", file=out, flush=True)
for line in sys.stdin:
    first, last = json.loads(line)
    asked = [
        Instance("loglikelihood", {}, (prompt, choice), n)
        for n, (prompt, choices) in enumerate(questions[first:last])
        for choice in choices
    ]
    print(json.dumps([float(nats) for nats, _ in lm.loglikelihood(asked)]), file=out, flush=True)
"""


class LmEval:
    """A model of lm-eval, loaded.

    Args:
        python: the interpreter of an environment with lm-eval.
        kind: "hf", which reads the GGUF file into bfloat16 and takes 8 at a time, or "gguf".
        model: the file, or the address of a server.
        requests: the questions it will be asked.
    """

    def __init__(
        self, python: Path, kind: str, model: str, requests: Sequence[ChoicesRequest]
    ) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
        environment.pop("PYTHONPATH", None)
        self._process = subprocess.Popen(
            [str(python), "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=environment,
            text=True,
        )
        self._counts = [len(one.choices) for one in requests]
        self._tell(json.dumps([kind, model, [(one.prompt, one.choices) for one in requests]]))

    def ask(self, requests: Sequence[ChoicesRequest]) -> None:
        """Ask the first questions, as many as are given."""
        self.score(0, len(requests))

    def score(self, first: int, last: int) -> list[list[float]]:
        """Ask the questions from `first` to before `last`; gives their choices' nats."""
        nats = iter(json.loads(self._tell(json.dumps([first, last]))))
        return [[next(nats) for _ in range(count)] for count in self._counts[first:last]]

    def _tell(self, text: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{text}\n")
            self._process.stdin.flush()
        said = self._process.stdout.readline()
        if not said:
            self._process.wait()
            self._said.seek(0)
            last = self._said.read().decode(errors="replace").strip().splitlines()[-1:]
            raise PrerequisiteError(f"lm-eval ended: {' '.join(last)}")
        return said

    def close(self) -> None:
        """End the program."""
        self._process.kill()
        self._process.communicate()
        self._said.close()


@contextlib.contextmanager
def served(python: Path, model: Path) -> Iterator[str]:
    """Serve a file with llama-cpp-python's server, on all cores; gives its address."""
    port = free_port()
    command = [str(python), "-m", "llama_cpp.server", "--model", str(model), "--port", str(port)]
    options = ["--host", "127.0.0.1", "--logits_all", "true", "--n_ctx", "512"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    server = subprocess.Popen(
        [*command, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + _LOADING_S
        while server.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(f"{address}/v1/models", timeout=5).close()
                break
            time.sleep(0.3)
        else:
            raise PrerequisiteError("llama-cpp-python's server did not start")
        yield address
    finally:
        server.kill()
        server.wait()


def open_peers(
    python: Path | None, model: Path, requests: Sequence[ChoicesRequest], stack: Any
) -> dict[str, LmEval]:
    """Open both kinds of lm-eval for a model, and say which one cannot be opened."""
    opened: dict[str, LmEval] = {}
    if python is None:
        print("(without --lm-eval there is nothing of lm-eval)", flush=True)
        return opened
    for kind, name in (("hf", "lm-eval hf, bfloat16, 8 at a time"), ("gguf", "lm-eval gguf")):
        try:
            file = str(model) if kind == "hf" else stack.enter_context(served(python, model))
            opened[name] = LmEval(python, kind, file, requests)
            stack.callback(opened[name].close)
        except (PrerequisiteError, OSError) as error:
            print(f"({name} is left out: {error})", flush=True)
    return opened
