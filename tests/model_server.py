"""A model server on the loopback: it speaks OpenAI's protocol, well or as badly as a test wants."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchpool.inference.remote_probe import KNOWN

WORDS = ("red", "green", "blue", "one", "two", "the", "a", "of", "cat", "dog", "and", "sun")
_KNOWN = {prompt: right for prompt, right, _ in KNOWN}


def tokens_of(text: str) -> list[str]:
    return re.findall(r" ?[^ ]+| ", text)


def nats_of(token: str, before: str) -> float:
    """How likely the made-up model finds a token, given all text before it."""
    if _KNOWN.get(before.strip()) == token:
        return -0.1
    lot = hashlib.sha256(f"{before}|{token}".encode()).digest()[0] / 64
    return (-1.0 if token.strip() in WORDS else -9.0) - lot


def likeliest(before: str) -> str:
    return max((f" {word}" for word in WORDS), key=lambda token: nats_of(token, before))


def write(prompt: str, count: int) -> list[str]:
    text, written = prompt, []
    for _ in range(count):
        written.append(likeliest(text))
        text += written[-1]
    return written


class Server(ThreadingHTTPServer):
    """What it is asked is in `asked`; `script` holds what it answers first, instead of answers."""

    daemon_threads = True

    def __init__(self, **faults: Any) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults = faults
        self.asked: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.script: list[tuple[int, dict[str, str], bytes]] = []
        self.now = self.most = 0
        self.lock = threading.Lock()
        self.gate = threading.Event()
        self.gate.set()
        """Nothing is answered before it is set."""

    @property
    def address(self) -> str:
        return f"openai+http://127.0.0.1:{self.server_port}/v1"

    def reply(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        faults = self.faults
        count = int(body.get("max_tokens", 16))
        if path.endswith("/chat/completions"):
            said = " ".join(f"{each['role']}:{each['content']}" for each in body["messages"])
            written = write(said, count)
            return self._whole({"message": {"content": "".join(written)}}, said, written)
        prompt = body["prompt"]
        written = write(prompt, count)
        choice: dict[str, Any] = {"text": "".join(written)}
        if body.get("echo") and not faults.get("no_echo"):
            choice["text"] = prompt + choice["text"]
            choice["logprobs"] = self._logprobs(tokens_of(prompt) + written, "", count)
        elif "logprobs" in body and not faults.get("no_logprobs"):
            choice["logprobs"] = self._logprobs(written, prompt, 0)
        return self._whole(choice, prompt, written)

    def _whole(self, choice: dict[str, Any], prompt: str, written: list[str]) -> dict[str, Any]:
        whole: dict[str, Any] = {"choices": [{**choice, "finish_reason": "length"}]}
        if not self.faults.get("no_usage"):
            whole["usage"] = {
                "prompt_tokens": len(tokens_of(prompt)),
                "completion_tokens": len(written),
            }
        return whole

    def _logprobs(self, tokens: list[str], before: str, written: int) -> dict[str, Any]:
        faults, nats, tops = self.faults, [], []
        for at, token in enumerate(tokens):
            text = before + "".join(tokens[:at])
            if faults.get("shifted") and not before:  # as its own successor
                text += token
            own = float(faults.get("constant", nats_of(token, text)))
            best = likeliest(text)
            nats.append(own)
            tops.append({best: nats_of(best, text), token: own})
        if not before:
            nats[0] = tops[0] = None  # type: ignore[call-overload]
            if faults.get("shifted"):  # its last row is not there
                tokens, nats, tops = tokens[:-written], nats[:-written], tops[:-written]
        return {"tokens": tokens, "token_logprobs": nats, "top_logprobs": tops}


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.asked.append((self.path, body, dict(self.headers)))
            server.now += 1
            server.most = max(server.most, server.now)
            scripted = server.script.pop(0) if server.script else None
        try:
            server.gate.wait(30)
            if scripted is None:
                scripted = 200, {}, json.dumps(server.reply(self.path, body)).encode()
            status, headers, raw = scripted
            if status == 0:  # cut off
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {"Content-Length": str(len(raw)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)
        except OSError:
            self.close_connection = True
        finally:
            with server.lock:
                server.now -= 1

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serve(**faults: Any) -> Iterator[Server]:
    """Run a server while the block runs."""
    server = Server(**faults)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()
