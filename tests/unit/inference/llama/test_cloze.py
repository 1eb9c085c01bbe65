from benchpool.inference.llama.cloze import TokenPair, plan, split_pair


def _bytes(text: str) -> list[int]:
    return list(text.encode())


def _words(text: str) -> list[int]:
    """Tokenize greedily with the words "a", "b", "ab" and " "."""
    tokens, rest = [], text
    while rest:
        word = next(word for word in ("ab", "a", "b", " ") if rest.startswith(word))
        tokens.append(["ab", "a", "b", " "].index(word))
        rest = rest[len(word) :]
    return tokens


def test_each_token_is_evaluated_once_and_last_tokens_never():
    layout = plan(
        [TokenPair([1, 2], [3, 4, 5]), TokenPair([1, 2], [3, 4, 6]), TokenPair([1, 2], [7])]
    )
    assert [(node.token, node.position, node.sequences) for node in layout.nodes] == [
        (1, 0, (0, 1, 2)),
        (2, 1, (0, 1, 2)),
        (3, 2, (0, 1)),
        (4, 3, (0, 1)),
    ]
    assert [node.wanted for node in layout.nodes] == [False, True, True, True]
    assert layout.predicted == [[(0, 3), (1, 4), (2, 5)], [(0, 3), (1, 4), (2, 6)], [(0, 7)]]


def test_equal_choices_share_everything():
    layout = plan([TokenPair([1], [2, 3]), TokenPair([1], [2, 3])])
    assert layout.predicted[0] == layout.predicted[1]
    assert [node.sequences for node in layout.nodes] == [(0, 1), (0, 1)]


def test_a_choice_that_begins_another_is_scored_inside_it():
    layout = plan([TokenPair([1], [2, 3]), TokenPair([1], [2])])
    assert layout.predicted == [[(0, 2), (1, 3)], [(0, 2)]]
    assert [node.sequences for node in layout.nodes] == [(0, 1), (0,)]


def test_prompts_that_differ_part_where_they_differ():
    layout = plan([TokenPair([1, 2], [3]), TokenPair([1, 4], [3])])
    assert [(node.token, node.position, node.sequences) for node in layout.nodes] == [
        (1, 0, (0, 1)),
        (2, 1, (0,)),
        (4, 1, (1,)),
    ]


def test_white_space_at_the_end_of_the_prompt_belongs_to_the_choice():
    pair = split_pair("ab ", "c", tokenize=_bytes, start=[0])
    assert pair == TokenPair([0, *b"ab"], [*b" c"])


def test_a_merge_across_the_boundary_counts_the_prompts_own_tokens():
    assert split_pair("a", "b", tokenize=_words, start=[]) == TokenPair([1], [])
    assert split_pair("a", "ba", tokenize=_words, start=[]) == TokenPair([1], [1])


def test_an_empty_prompt_is_the_start_token_alone():
    assert split_pair("", "a", tokenize=_bytes, start=[9]) == TokenPair([9], [97])
