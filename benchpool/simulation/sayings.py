"""Sayings: what is said in a plan beside the business of pools, as tables.

Of a target or a tag, "a model", "a data set", "a router", "a pool" and the like stand for one that
the seed chooses.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Saying(NamedTuple):
    """A message without its sender."""

    target: str
    action: str
    tags: tuple[tuple[str, str], ...] = ()
    data: str = ""


REQUEST: Final = '{"prompt": "Which is it?", "choices": [" a", " b"]}'
_MODEL: Final = ("Model", "a model")
_POOL: Final = ("Pool", "a pool")

QUESTIONS: Final = (
    Saying("WrappedAR", "Info"),
    Saying("WrappedAR", "Balance", (("Recipient", "a wallet"),)),
    Saying("WrappedAR", "Balances"),
    Saying("WrappedAR", "Total-Supply"),
    Saying("Benchmark", "Get-Pools"),
    Saying("Benchmark", "Get-Pool", (_POOL,)),
    Saying("Benchmark", "Leaderboard", (_POOL,)),
    Saying("a router", "Get-Model", (_MODEL,)),
    Saying("a router", "Get-Workers"),
    Saying("a router", "Info"),
    Saying("LlamaRouter", "Inference", (_MODEL,), REQUEST),
    Saying("LlamaRouter", "Inference", (_MODEL,), "{"),
    Saying("a data set", "Info"),
    Saying("a data set", "Get-Models"),
    Saying("a data set", "Score", (_MODEL,)),
    Saying("a data set", "Score", (_MODEL, ("Answers", "true"), ("Reply-To", "@Benchmark"))),
    Saying("a data set", "Get-Report", (_MODEL,)),
    Saying("a data set", "Get-Answers", (_MODEL,)),
    Saying("a data set", "Get-Questions", (("Questions", "1,2,99"),)),
    Saying("a model", "Info"),
)
"""What anybody may ask."""

ORDERS: Final = (
    Saying("a model", "loadModel", (("Data-Id", "weights"),)),
    Saying("a model", "Load-Model", (("Data-Id", "weights"),)),
    Saying("a model", "setMaxTokens", (("Max-Tokens", "3"),)),
    Saying("a model", "Set-Max-Tokens", (("Max-Tokens", "many"),)),
    Saying("a model", "setSystemPrompt", (("System-Prompt", "Be brief."),)),
    Saying("a model", "Set-System-Prompt"),
    Saying("a model", "Set-Router", (("Router", "a router"),)),
    Saying("a model", "Add-Worker", (("Worker", "a model"),)),
    Saying("a model", "Inference", (), REQUEST),
    Saying("a router", "Unregister-Worker", (("Worker", "a model"),)),
    Saying("LlamaHerder", "Check-Leases"),
    Saying("a data set", "Init", (("Lease", "3h"),)),
    Saying("a data set", "Evaluate"),
    Saying("Benchmark", "Update-Leaderboard"),
    Saying("Benchmark", "Allocate-Rewards"),
)
"""What an owner may order, and others try to."""

FORGERIES: Final = tuple(
    Saying(target, action)
    for target, action in (
        ("Benchmark", "Credit-Notice"),
        ("Benchmark", "Debit-Notice"),
        ("Benchmark", "Transfer-Error"),
        ("Benchmark", "Score-Response"),
        ("Benchmark", "Score-Error"),
        ("Benchmark", "Get-Model-Response"),
        ("Benchmark", "Get-Model-Error"),
        ("Benchmark", "Register-Dataset"),
        ("Benchmark", "Benchmark-Response"),
        ("a data set", "Inference-Response"),
        ("a data set", "Inference-Error"),
        ("a data set", "Transfer-Error"),
        ("a data set", "Credit-Notice"),
        ("a data set", "Debit-Notice"),
        ("a data set", "Pool-Funds"),
        ("a data set", "Benchmark"),
        ("a router", "Register-Worker"),
        ("a router", "Inference-Response"),
        ("a router", "Inference-Error"),
        ("LlamaHerder", "Credit-Notice"),
        ("LlamaHerder", "Debit-Notice"),
        ("LlamaHerder", "Transfer-Error"),
        ("a model", "Inference"),
        ("a model", "Register-Worker-Response"),
    )
)
"""What only a process may say; the tags are those that any of them bears."""
