"""A wallet that talks to a server as AO's clients do in their main-network mode."""

from __future__ import annotations

from typing import Any

import httpx

from benchpool.ao.dataitem import DataItem, sign
from benchpool.ao.tags import Pair
from tests.serving import Client

SENT = {"content-type": "application/ans104", "codec-device": "ans104@1.0", "accept": "*/*"}
READ = [
    ("signing-format", "ans104"),
    ("accept-bundle", "true"),
    ("require-codec", "application/json"),
]
UNSIGNED = b"[object Object]"
"""What the client sends as an item when it has no wallet."""


class Mainnet(Client):
    """Sends the requests that `@permaweb/aoconnect` 0.0.98 and aos 2.0.16 were seen to send."""

    def signed(
        self,
        tags: list[Pair],
        *,
        target: str = "",
        data: bytes = b"1984",
        kind: str = "Message",
        lower: bool = False,
    ) -> DataItem:
        number = [("Number", str(next(self.numbers)))]
        own = [("Data-Protocol", "ao"), ("Type", kind), ("Variant", "ao.N.1")]
        pairs = [*tags, *number, *own]
        if lower:
            pairs = [(name.lower(), value) for name, value in pairs]
        return sign(self.signer, target=target, tags=pairs, data=data)

    def call(self, path: str, body: bytes) -> httpx.Response:
        return self.http.post(path, content=body, headers=SENT)

    def start(self, module: str, *tags: Pair, lower: bool = False) -> str:
        """Spawn a process; return its id."""
        address = self.http.get("/~meta@1.0/info/address").text
        device = [
            ("device", "process@1.0"),
            ("scheduler-device", "scheduler@1.0"),
            ("push-device", "push@1.0"),
            ("execution-device", "genesis-wasm@1.0"),
        ]
        whole = [*device, ("Authority", address), ("Scheduler", address), ("Module", module), *tags]
        whole += [READ[0], READ[1], ("accept-codec", "httpsig@1.0")]
        item = self.signed(whole, kind="Process", lower=lower)
        answer = self.call("/push", item.raw)
        assert answer.status_code == 200, answer.text
        assert (answer.headers["process"], answer.headers["slot"]) == (item.id, "0")
        return item.id

    def push(self, process: str, *tags: Pair, data: bytes = b"1984", lower: bool = False) -> Any:
        """Send a message; return what the node says of it."""
        item = self.signed([*tags, *READ], target=process, data=data, lower=lower)
        answer = self.call(f"/{process}~process@1.0/push", item.raw)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def result_at(self, process: str, slot: int | str) -> Any:
        item = self.signed(READ, target=process)
        answer = self.call(f"/{process}~process@1.0/compute/results={slot}", item.raw)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def dry(self, process: str, parameters: str, data: bytes = b"1984") -> Any:
        item = self.signed(READ, target=process, data=data)
        path = f"/{process}~process@1.0/as=execution/compute{parameters}"
        answer = self.call(path, item.raw)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def slot(self, process: str) -> int:
        return int(self.call(f"/{process}/slot/current", self.signed([]).raw).text)

    def value(self, path: str) -> Any:
        """Read a value as `@ar.io/sdk` does."""
        asked = {"require-codec": "application/json", "accept-bundle": "true"}
        answer = self.http.get(path, params=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()["body"]
