"""A YAML file with the line of everything in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchpool.errors import ConfigError, ScenarioError

MAX_FILE_BYTES = 1 << 20
MAX_VALUES = 100_000
"""What a file may stand for with every alias written out."""
MAX_NUMBER_CHARACTERS = 100
MAX_BRACKETS = 50
"""How deeply brackets may be nested; PyYAML takes a time that grows with the square of it."""

Place = Sequence[int | str]


class Function(NamedTuple):
    """What `!function NAME` stands for: code that is not run."""

    name: str


class _Loader(yaml.SafeLoader):
    def fetch_flow_collection_start(self, token_class: Any) -> None:
        if self.flow_level >= MAX_BRACKETS:
            raise yaml.MarkedYAMLError(
                problem="brackets are nested too deeply", problem_mark=self.get_mark()
            )
        super().fetch_flow_collection_start(token_class)


class _TaskLoader(_Loader):
    def construct_function(self, node: yaml.ScalarNode) -> Function:
        return Function(str(self.construct_scalar(node)))


_TaskLoader.add_constructor("!function", _TaskLoader.construct_function)


class YamlSource:
    """A parsed YAML file that knows the line of each of its values.

    Args:
        path: the file.
        error: what is raised.
        functions: whether `!function NAME` may stand in it; it becomes a `Function`.

    Raises: `error` with the line if it cannot be read, or says something twice.
    """

    def __init__(
        self,
        path: Path,
        error: type[ConfigError] = ScenarioError,
        *,
        functions: bool = False,
    ) -> None:
        self.path = path
        self._error_type = error
        self._loader = _TaskLoader if functions else _Loader
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_FILE_BYTES + 1)
        except OSError as failure:
            raise self._error_type(f"{path} cannot be read: {failure.strerror}") from None
        if len(data) > MAX_FILE_BYTES:
            raise self._error_type(f"{path} has more than {MAX_FILE_BYTES >> 10} KiB")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise self._error_type(f"{path} is not UTF-8 text") from None
        self.data = data
        self._read(text)

    def _read(self, text: str) -> None:
        path = self.path
        try:
            loader = self._loader(text)
            self._root = loader.get_single_node()
            self._check_nodes()
            self._check_keys()
            self.content: Any = (
                None if self._root is None else loader.construct_document(self._root)
            )
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = 1 if mark is None else mark.line + 1
            raise self._error_type(f"{path}:{line}: {error.problem or error.context}") from None
        except yaml.YAMLError as error:
            raise self._error_type(f"{path}: {error}") from None
        except RecursionError:
            raise self._error_type(f"{path} is nested too deeply") from None
        except (ValueError, TypeError, OverflowError) as error:
            # Such as a date that does not exist, or more digits than Python reads.
            raise self._error_type(f"{path}: a value cannot be read: {error}") from None

    def line(self, place: Place) -> int:
        """Return the line of a value, or of the last thing in the file on the way to it."""
        node = self._root
        line = 1 if node is None else node.start_mark.line + 1
        for step in place:
            found = _child(node, step)
            if found is None:
                continue  # pydantic also names the members of unions, which are not in the file
            line, node = found
        return line

    def _check_nodes(self) -> None:
        """Refuse what would become far more than the file: aliases of aliases, endless ones."""
        sizes: dict[int, int] = {}
        waiting = [] if self._root is None else [(self._root, False)]
        while waiting:
            node, ready = waiting.pop()
            if ready:
                sizes[id(node)] = 1 + sum(sizes[id(part)] for part in _parts(node))
                if sizes[id(node)] > MAX_VALUES:
                    raise self._error(node, f"this stands for more than {MAX_VALUES:,} values")
            elif id(node) not in sizes:
                sizes[id(node)] = MAX_VALUES  # until it is counted, for one that holds itself
                self._check_scalar(node)
                waiting.append((node, True))
                waiting.extend((part, False) for part in _parts(node))

    def _check_scalar(self, node: yaml.Node) -> None:
        if isinstance(node, yaml.ScalarNode):
            text = node.tag == "tag:yaml.org,2002:str"
            if not text and len(node.value) > MAX_NUMBER_CHARACTERS:
                raise self._error(node, f"a number of {len(node.value)} characters: use quotes")

    def _error(self, node: yaml.Node, text: str) -> ConfigError:
        return self._error_type(f"{self.path}:{node.start_mark.line + 1}: {text}")

    def _check_keys(self) -> None:
        waiting = [self._root]
        while waiting:
            node = waiting.pop()
            if isinstance(node, yaml.SequenceNode):
                waiting.extend(node.value)
            elif isinstance(node, yaml.MappingNode):
                seen = set()
                for key, value in node.value:
                    if not isinstance(key, yaml.ScalarNode):
                        raise self._error(key, "a key is a word, not a list or mapping")
                    if key.value in seen:
                        raise self._error(key, f"{key.value!r} stands here twice")
                    seen.add(key.value)
                    waiting.append(value)


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _child(node: yaml.Node | None, step: int | str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        child = node.value[step]
        return child.start_mark.line + 1, child
    return None
