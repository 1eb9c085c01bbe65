"""Put many requests into few evaluations.

Under the layout ``canonical-2`` the numbers of a request do not depend on what is evaluated
beside it (docs/inference.md says why), so this is free to choose what is fastest: requests in
the order of their tokens, so that neighbours share as much of their prompts as they can.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import NamedTuple

from benchpool.inference.llama.cloze import Node, TokenPair

PIECE_TOKENS = 256  # one piece is one llama_decode; the fastest size measured
PIECE_ROWS = 128
_LOGITS_BYTES = 128 << 20
MAX_SEQUENCES = 128  # llama.cpp wants room for a row of each
ROUND_TO = 4
"""Tokens and predictions of a decode come in multiples of this.

llama.cpp multiplies rows four at a time and gives the rest to another kernel with other rounding.
"""
_FILLERS = 2 * ROUND_TO
CHOICES_TOKENS = PIECE_TOKENS - _FILLERS  # one piece
TURNS_TOKENS = 4 * PIECE_TOKENS  # more texts at a time: they grow by one token a decode
_LEAST_PREFIX = 8


class TokenItem(NamedTuple):
    """One request as tokens: several choices, or one generation with an empty choice."""

    number: int
    """Place in the list of requests."""
    pairs: list[TokenPair]
    tokens: int
    """Nodes of its own trie."""
    rows: int
    """Predictions needed at most."""
    reserve: int = 0
    """Tokens that a generation may add."""
    stops: tuple[str, ...] = ()
    """What ends a generation, and does not belong to it."""
    greedy: bool = False
    """Whether the choices are compared with what the model would write."""

    def after(self, prefix: int) -> TokenItem:
        """The same item without the first tokens of its prompt, which all items share."""
        pairs = [TokenPair(pair.prompt[prefix:], pair.choice) for pair in self.pairs]
        return self._replace(pairs=pairs, tokens=self.tokens - prefix)


def piece_rows(vocabulary: int) -> int:
    """Return how many predictions one decode gives at most, by what their logits take.

    A small vocabulary has room for one after every token: choices are then packed by their tokens
    alone, and a matrix is read for more of them. Of a large one it is ``PIECE_ROWS``.
    """
    room = _LOGITS_BYTES // (4 * max(1, vocabulary)) // ROUND_TO * ROUND_TO
    return min(PIECE_TOKENS, max(PIECE_ROWS, room))


class Bounds(NamedTuple):
    """What is evaluated together: one item by itself, or more within these bounds."""

    tokens: int
    rows: int
    """Predictions, fillers included."""
    room: int
    """Tokens of the context, into which each item fits by itself."""
    sequences: int
    """How many choices the context can hold beside each other."""


def batches(items: Sequence[TokenItem], most: Bounds) -> Iterator[list[TokenItem]]:
    """Group items that are evaluated together; every item comes once."""
    batch: list[TokenItem] = []
    tokens = rows = reserve = choices = 0
    for item in sorted(items, key=lambda item: (item.pairs[0].prompt, item.number)):
        own = item.tokens
        if batch:
            own -= common_prefix(batch[-1].pairs[0].prompt, item.pairs[0].prompt)
        full = (
            tokens + own > most.tokens
            or rows + item.rows > most.rows - _FILLERS
            or tokens + own + reserve + item.reserve > most.room
            or choices + len(item.pairs) > most.sequences
        )
        if batch and full:
            yield batch
            batch, own = [], item.tokens
            tokens = rows = reserve = choices = 0
        batch.append(item)
        tokens += own
        rows += item.rows
        reserve += item.reserve
        choices += len(item.pairs)
    if batch:
        yield batch


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """Count the tokens that two sequences begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def shared_prefix(items: Sequence[TokenItem]) -> int:
    """How many tokens are worth evaluating once for all items.

    The last token of a prompt stays with its item, whose first prediction comes from there.
    """
    if len(items) < 2:
        return 0
    prompts = [pair.prompt for item in items for pair in item.pairs]
    # The first and the last in order differ first, if any do.
    length = common_prefix(min(prompts), max(prompts))
    length = min(length, min(map(len, prompts)) - 1)
    return length if length >= _LEAST_PREFIX else 0


def pieces(nodes: Sequence[Node], rows_each: int) -> Iterator[list[Node]]:
    """Cut nodes into what one decode of so many predictions takes, with room for fillers."""
    piece: list[Node] = []
    rows = 0
    for node in nodes:
        if len(piece) == CHOICES_TOKENS or rows + node.wanted > rows_each - _FILLERS:
            yield piece
            piece, rows = [], 0
        piece.append(node)
        rows += node.wanted
    yield piece


def fillers(nodes: Sequence[Node], first: int, sequence: int) -> list[Node]:
    """Complete a decode to multiples of ``ROUND_TO`` tokens and predictions.

    Args:
        nodes: What is to be evaluated.
        first: Position of the first filler: they form a sequence that nobody else sees.
        sequence: The number of that sequence.
    """
    rows = -sum(node.wanted for node in nodes) % ROUND_TO
    count = -len(nodes) % ROUND_TO
    if count < rows:
        count += ROUND_TO
    return [Node(0, first + place, (sequence,), place < rows) for place in range(count)]
