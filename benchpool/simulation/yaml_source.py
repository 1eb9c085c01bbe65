"""A YAML file with the line of everything in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from benchpool.errors import ScenarioError

Place = Sequence[int | str]


class YamlSource:
    """A parsed YAML file that knows the line of each of its values.

    Raises: ScenarioError with the line if it cannot be read, or says something twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ScenarioError(f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ScenarioError(f"{path} is not UTF-8 text") from None
        try:
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
            self._check_keys()
            self.content: Any = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = 1 if mark is None else mark.line + 1
            raise ScenarioError(f"{path}:{line}: {error.problem or error.context}") from None
        except yaml.YAMLError as error:
            raise ScenarioError(f"{path}: {error}") from None

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

    def _check_keys(self) -> None:
        waiting = [self._root]
        while waiting:
            node = waiting.pop()
            if isinstance(node, yaml.SequenceNode):
                waiting.extend(node.value)
            elif isinstance(node, yaml.MappingNode):
                seen = set()
                for key, value in node.value:
                    if key.value in seen:
                        line = key.start_mark.line + 1
                        raise ScenarioError(f"{self.path}:{line}: {key.value!r} stands here twice")
                    if isinstance(key, yaml.ScalarNode):
                        seen.add(key.value)
                    waiting.append(value)


def _child(node: yaml.Node | None, step: int | str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        child = node.value[step]
        return child.start_mark.line + 1, child
    return None
