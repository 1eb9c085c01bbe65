from hypothesis import given
from hypothesis import strategies as st

from benchpool.inference.llama.cloze import Node, TokenPair, plan
from benchpool.inference.llama.packing import (
    CHOICES_TOKENS,
    PIECE_ROWS,
    PIECE_TOKENS,
    ROUND_TO,
    Bounds,
    TokenItem,
    batches,
    fillers,
    piece_rows,
    pieces,
    shared_prefix,
)

TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=90)
PAIRS = st.lists(st.tuples(TOKENS, st.lists(TOKENS, min_size=1, max_size=4)), min_size=1)


def _items(questions):
    items = []
    for number, (prompt, choices) in enumerate(questions):
        pairs = [TokenPair(prompt, choice) for choice in choices]
        rows = sum(map(len, choices))
        items.append(TokenItem(number, pairs, len(plan(pairs).nodes), rows))
    return items


ROWS = st.sampled_from([PIECE_ROWS, PIECE_TOKENS])


@given(PAIRS, ROWS)
def test_every_item_is_in_one_batch_that_fits_one_decode(questions, rows):
    items = _items(questions)
    grouped = list(batches(items, Bounds(CHOICES_TOKENS, rows, 4096, 8)))
    assert sorted(item.number for group in grouped for item in group) == list(range(len(items)))
    for group in grouped:
        layout = plan([pair for item in group for pair in item.pairs])
        if len(group) > 1:
            assert len(layout.nodes) <= CHOICES_TOKENS
            assert sum(len(item.pairs) for item in group) <= 8
            assert sum(node.wanted for node in layout.nodes) <= rows


@given(PAIRS, ROWS)
def test_every_decode_is_a_multiple_and_within_the_limits(questions, most):
    nodes = plan([pair for item in _items(questions) for pair in item.pairs]).nodes
    for piece in pieces(nodes, most):
        filled = piece + fillers(piece, 5, 127)
        rows = sum(node.wanted for node in filled)
        assert len(filled) % ROUND_TO == rows % ROUND_TO == 0
        assert len(filled) <= PIECE_TOKENS
        assert rows <= most
        added = filled[len(piece) :]
        assert [node.position for node in added] == list(range(5, 5 + len(added)))


@given(PAIRS, TOKENS)
def test_a_shared_prefix_is_shared_and_leaves_every_prompt_a_token(questions, start):
    items = _items([(start + prompt, choices) for prompt, choices in questions])
    length = shared_prefix(items)
    prompts = [pair.prompt for item in items for pair in item.pairs]
    assert len({tuple(prompt[:length]) for prompt in prompts}) == 1
    assert all(len(item.after(length).pairs[0].prompt) > 0 for item in items)
    if len(items) > 1 and len(start) > 8:
        assert length >= 8


def test_nothing_is_filled_where_nothing_is_missing():
    assert fillers([Node(1, 0, (0,), True)] * 4, 0, 127) == []


def test_a_small_vocabulary_gives_a_prediction_after_every_token_and_a_large_one_fewer():
    assert piece_rows(49_152) == PIECE_TOKENS
    assert piece_rows(262_144) == PIECE_ROWS
    assert piece_rows(1_000_000) == PIECE_ROWS
