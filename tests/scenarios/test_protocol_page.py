"""docs/protocol.md beside the modules: neither names an action or a tag that the other lacks."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import fields

from benchpool.network import Network
from benchpool.process.process import Process
from benchpool.process.registry import Registry
from processes.compiled import CompiledDataset
from processes.workers.inference_request import Asked

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "protocol.md").read_text()
WORKERS = "Workers of a router or herder"
SECTIONS = {
    "WrappedAR": ["WrappedAR"],
    "LlamaWorker": ["LlamaWorker"],
    "LlamaRouter": [WORKERS, "LlamaRouter"],
    "LlamaHerder": [WORKERS, "LlamaHerder"],
    "SiqaDataset": ["Dataset and SiqaDataset"],
    "CompiledDataset": ["Dataset and SiqaDataset", "CompiledDataset"],
    "Benchmark": ["Benchmark"],
}
TAG = re.compile(r"[A-Z][A-Za-z]*(?:-[A-Z0-9][A-Za-z0-9]*)*")
NO_TAGS = {"Database", "Llama", "Modules", "WeaveDrive", "Watch"}
"""Extensions, and a handler that is no action."""
BY_AO = {"Action", "Error", "Content-Type", "X-Reference", "X-Origin", "Reply-To", "Data"}
"""What the page says once, of all processes."""


def section(module: str) -> str:
    """Return what the page says of a module."""
    parts = (PAGE.split(f"\n## {head}\n")[1].split("\n## ")[0] for head in SECTIONS[module])
    return "\n".join(parts)


def rows(module: str) -> dict[str, str]:
    """Return the rows of a module's table by the actions in bold that begin them."""
    found: dict[str, str] = {}
    for line in section(module).splitlines():
        if line.startswith("| **"):
            for action in re.findall(r"\*\*([^*]+)\*\*", line.split(" | ")[0]):
                found[action] = found.get(action, "") + line
    return found


def words(text: str) -> set[str]:
    """Return everything in a text that may be a name."""
    return set(re.findall(r"[A-Za-z][A-Za-z_]*(?:[-_][A-Za-z0-9]+)*", text))


def handlers(module: str) -> Iterator[tuple[str, Any]]:
    """Go through the actions that a module answers to, with what its decorators say."""
    for _, decorated in found_module(module)._rows:
        for row in decorated:
            if isinstance(row.pattern, str):
                yield row.pattern, row


def found_module(name: str) -> type[Process]:
    registry = Registry()
    registry.add(CompiledDataset)  # so that it is found before it is installed
    module = registry.find(name)
    assert issubclass(module, Process)
    return module


def constants(module: str) -> set[str]:
    """Return what looks like a tag or an action in the sources of a module's classes and wards."""
    files = {
        ROOT / (part.__module__.replace(".", "/") + ".py")
        for part in found_module(module).__mro__
        if part.__module__.startswith("processes.")
    }
    wards = [file.parent for file in files if file.parent.name in ("pool", "dataset")]
    files.update(file for ward in wards for file in ward.glob("[!_]*.py"))
    if module in ("SiqaDataset", "CompiledDataset", "Benchmark"):
        files.add(ROOT / "processes" / "counts.py")
    for columns in ("tables.py", "compiled_tables.py"):  # not tags
        files.discard(ROOT / "processes" / "dataset" / columns)
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    constants = [node for node in nodes if isinstance(node, ast.Constant)]
    texts = {
        node.value
        for node in constants
        if isinstance(node.value, str) and id(node) not in docstrings
    }
    return {text for text in texts if TAG.fullmatch(text)} - NO_TAGS - BY_AO


@pytest.mark.parametrize("module", SECTIONS)
def test_every_handler_stands_on_the_page_with_the_tags_that_it_requires(module):
    table = rows(module)
    assert list(handlers(module))
    for action, row in handlers(module):
        said = table.get(action) or table.get(row.name) or section(module)
        assert re.search(rf"\*\*{action}\*\*|Action `{action}`", said), action
        assert set(row.requires) <= words(said), action
        if row.owner_only:
            assert "owner" in said, action


@pytest.mark.parametrize("module", SECTIONS)
def test_every_row_names_something_that_is_there(module):
    names = {action for action, _ in handlers(module)} | {row.name for _, row in handlers(module)}
    assert set(rows(module)) <= names


@pytest.mark.parametrize("module", SECTIONS)
def test_every_tag_of_the_source_is_on_the_page_and_the_other_way_round(module):
    known, said = constants(module), words(section(module))
    assert known - said == set()
    plain = re.sub(r'"[^"]*"|\([^)]*\)|X-\*', "", section(module))
    in_brackets = " ".join(re.findall(r"\[([^\]`]*)\]", plain))
    tags = {word for word in words(in_brackets) if TAG.fullmatch(word)}
    asked = {tag[2:] for tag in known if tag.startswith("X-")}  # as Pool-Created bears them
    assert tags - known - asked - BY_AO == set()


def names_in(data: Any) -> set[str]:
    """Return the names of the fields in JSON, at any depth; ids and letters are no names."""
    if isinstance(data, list):
        return set().union(*map(names_in, data))
    if not isinstance(data, dict):
        return set()
    return names_in([*data.values()]) | {key for key in data if re.fullmatch("[a-z][a-z_]+", key)}


def test_every_request_and_answer_has_the_fields_of_the_page():
    said = words(section("LlamaWorker"))
    assert {field.name for field in fields(Asked)} <= said
    assert set(re.findall(r"^\| `(\w+)`(?:, `(\w+)`)? \|", section("LlamaWorker"), re.M)) == {
        ("prompt", ""),
        ("choices", ""),
        ("leads", ""),
        ("system", "max_tokens"),
        ("greedy", ""),
        ("raw", ""),
        ("stop", ""),
        ("precision", ""),
        ("layout", ""),
        ("runtime", ""),
        ("machine", ""),
    }


def test_what_four_pools_said_is_on_the_page(finished: Path):
    seen = set()
    with Network(finished, read_only=True) as network:
        for info in network.processes():
            table, page = rows(info.module), section(info.module)
            for message, result in network.log(info.id):
                said = words(table.get(message.action, "") or page)
                for out in () if result is None else result.messages:
                    action = out.tags.get("Action")
                    seen.add((info.module, action))
                    assert not action or f"`{action}`" in page or f"**{action}**" in page, action
                    names = {name for name, _ in out.tags if not name.startswith("X-")}
                    assert names - BY_AO <= said, (info.module, message.action, action)
                    if action == "Inference-Response":
                        assert names_in(json.loads(out.data)) <= words(section("LlamaWorker"))
    assert len(seen) > 20
    assert ("LlamaWorker", "Inference-Response") in seen


def test_what_processes_show_is_on_the_page(finished: Path):
    with Network(finished, read_only=True) as network:
        (pool, *_) = json.loads(network.dry_run("Benchmark", "Get-Pools").messages[0].data)
        entry = {"Model": network.resolve("model-ana")}
        for process, action, tags in (
            ("Benchmark", "Get-Pools", {}),
            ("Benchmark", "Get-Pool", {"Pool": pool["id"]}),
            ("Benchmark", "Leaderboard", {"Pool": pool["id"]}),
            ("SiqaDataset", "Get-Models", {}),
            ("SiqaDataset", "Get-Report", entry),
            ("SiqaDataset", "Get-Answers", entry),
            ("SiqaDataset", "Get-Questions", {"Questions": "1"}),
            ("LlamaRouter", "Get-Workers", {}),
            ("LlamaRouter", "Info", {}),
            ("LlamaRouter", "Get-Model", entry),
            ("SiqaDataset", "Score", entry),
            ("model-ana", "Info", {}),
        ):
            (answer,) = network.dry_run(process, action, tags).messages
            page = words(section(network.process(process).info.module))
            assert {name for name, _ in answer.tags} - BY_AO <= page, (process, action)
            if answer.data:
                assert names_in(json.loads(answer.data)) <= page, (process, action)
