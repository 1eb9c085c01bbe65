"""Lay choices out for one evaluation, each token once.

The sequences prompt + choice form a trie. A node is a token to evaluate, tagged with the
choices that run through it; the last token of a choice is only predicted, never evaluated.
The tokens of one sequence keep their order, whatever else is in the trie.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

Tokenize = Callable[[str], list[int]]


class TokenPair(NamedTuple):
    """A prompt and one choice as tokens."""

    prompt: list[int]
    choice: list[int]


class Node(NamedTuple):
    """One token to evaluate.

    ``sequences`` are the choices that share it; ``wanted`` tells whether the prediction after
    it is needed.
    """

    token: int
    position: int
    sequences: tuple[int, ...]
    wanted: bool


class Layout(NamedTuple):
    """The nodes in the order of evaluation, and where each choice's tokens are predicted.

    predicted: [n_choices][n_tokens] of (row among the wanted nodes, token).
    """

    nodes: list[Node]
    predicted: list[list[tuple[int, int]]]


def split_pair(prompt: str, choice: str, *, tokenize: Tokenize, start: list[int]) -> TokenPair:
    """Tokenize a prompt and its continuation as the reference harness does.

    White space at the end of the prompt belongs to the choice; both are tokenized as one text,
    of which the tokens after the prompt's own count are the choice. ``start`` holds the tokens
    that the model wants in front of every text.

    Source: lm-evaluation-harness 0.4, lm_eval/api/model.py ``TemplateLM._encode_pair``.
    """
    stripped = prompt.rstrip()
    choice = prompt[len(stripped) :] + choice
    prompt_tokens = start + (tokenize(stripped) if stripped else [])
    whole = start + tokenize(stripped + choice)
    return TokenPair(prompt_tokens, whole[len(prompt_tokens) :])


def plan(pairs: Sequence[TokenPair], *, first: int = 0) -> Layout:
    """Merge sequences, of one question or of several, into a trie.

    Args:
        pairs: Neither prompt nor choice may be empty.
        first: Position of the first token, after tokens that are evaluated already.
    """
    children: list[dict[int, int]] = [{}]  # node 0 is the root, before the first token
    tokens = [-1]
    positions = [first - 1]
    sequences: list[list[int]] = [[]]
    wanted = [False]
    paths: list[list[int]] = []
    for sequence, pair in enumerate(pairs):
        path = [0]
        for token in (pair.prompt + pair.choice)[:-1]:
            node = children[path[-1]].get(token)
            if node is None:
                node = len(tokens)
                children[path[-1]][token] = node
                children.append({})
                tokens.append(token)
                positions.append(positions[path[-1]] + 1)
                sequences.append([])
                wanted.append(False)
            sequences[node].append(sequence)
            path.append(node)
        predicting = path[len(pair.prompt) :]
        for node in predicting:
            wanted[node] = True
        paths.append(predicting)
    rows: dict[int, int] = {}
    nodes: list[Node] = []
    for node in range(1, len(tokens)):
        if wanted[node]:
            rows[node] = len(rows)
        nodes.append(Node(tokens[node], positions[node], tuple(sequences[node]), wanted[node]))
    predicted = [
        [(rows[node], token) for node, token in zip(path, pair.choice, strict=True)]
        for path, pair in zip(paths, pairs, strict=True)
    ]
    return Layout(nodes, predicted)
