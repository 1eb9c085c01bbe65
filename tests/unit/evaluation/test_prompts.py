import pytest

from benchpool.evaluation.compiled import ChoicesQuestion
from benchpool.evaluation.prompts import (
    COMPILED_SYSTEM_PROMPT,
    DEFAULT_SYSTEM_PROMPT,
    cloze,
    compiled_letters,
    letters,
)
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


def asked(prompt: str, *texts: str, **more: tuple[str, ...]) -> ChoicesQuestion:
    choices = tuple(f" {text}" for text in texts)
    return ChoicesQuestion(prompt=prompt, choices=choices, texts=texts, gold=(1,), **more)


@pytest.mark.parametrize(
    ("question", "user"),
    [
        (asked("Question: Why?\nAnswer:", "So.", "No."), "Question: Why?\nA. So.\nB. No."),
        (asked("Q: Why?\nA: ", "So.", "No."), "Q: Why?\nA. So.\nB. No."),
        (asked("Because A:", "x", "y"), "Because A:\nA. x\nB. y"),
        (asked("Which?\nA. x\nB. y\nAnswer:", "A", "B"), "Which?\nA. x\nB. y"),
        (asked("", "x", "y"), "A. x\nB. y"),
        (asked("", "I", "We", leads=("I", "We")), "A. I I\nB. We We"),
    ],
)
def test_a_compiled_question_is_asked_for_a_letter(question: ChoicesQuestion, user: str) -> None:
    prompt = compiled_letters(question)
    assert prompt.user == user
    assert prompt.system == COMPILED_SYSTEM_PROMPT
    assert compiled_letters(question, system="Say.").system == "Say."


def test_there_are_26_letters():
    texts = tuple(map(str, range(26)))
    assert compiled_letters(asked("Q", *texts)).user.endswith("Z. 25")
    with pytest.raises(ValueError, match="27 choices; there are 26 letters"):
        compiled_letters(asked("Q", *texts, "26"))
