import pytest

from benchpool.evaluation.prompts import DEFAULT_SYSTEM_PROMPT, cloze, letters
from benchpool.evaluation.sample import Sample

SAMPLE = Sample(
    context="Tracy didn't go home that evening.",
    question="What does Tracy need to do before this?",
    choices=("make a new plan", "Go home and see Riley", "Find somewhere to go"),
    gold=3,
)


def test_cloze_is_the_harness_text_to_the_byte():
    prompt, continuations = cloze(SAMPLE)
    assert prompt == (
        "Q: Tracy didn't go home that evening. What does Tracy need to do before this?\nA:"
    )
    assert continuations == (" make a new plan", " Go home and see Riley", " Find somewhere to go")


def test_braces_in_a_sample_are_only_text():
    sample = Sample(context="{question}", question="{{answerA}}", choices=("{0}", "b"), gold=1)
    assert cloze(sample).prompt == "Q: {question} {{answerA}}\nA:"
    assert cloze(sample).continuations == (" {0}", " b")


def test_letters_shows_every_choice_under_its_letter():
    prompt = letters(SAMPLE)
    assert prompt.system == DEFAULT_SYSTEM_PROMPT
    assert prompt.user == (
        "Context: Tracy didn't go home that evening.\n"
        "Question: What does Tracy need to do before this?\n"
        "A. make a new plan\n"
        "B. Go home and see Riley\n"
        "C. Find somewhere to go"
    )


def test_letters_without_a_chat_template_is_one_text():
    prompt = letters(SAMPLE, system="Reply A, B or C.")
    assert prompt.as_text() == f"Reply A, B or C.\n\n{prompt.user}\nAnswer:"


def test_letters_needs_three_choices():
    with pytest.raises(ValueError, match="shorter"):
        letters(Sample(context="c", question="q", choices=("a", "b"), gold=1))


def test_no_prompt_tells_the_gold():
    other = Sample(context=SAMPLE.context, question=SAMPLE.question, choices=SAMPLE.choices, gold=1)
    assert cloze(SAMPLE) == cloze(other)
    assert letters(SAMPLE) == letters(other)
