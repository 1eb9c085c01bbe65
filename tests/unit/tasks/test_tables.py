from __future__ import annotations

from typing import Any

import pytest

from benchpool.errors import BenchpoolError, ConfigError, DatasetError
from benchpool.evaluation.compiled import chance, write_compiled
from benchpool.tasks.checking import check_dataset
from benchpool.tasks.tables import Table, compile_table


def make(bench: Any, text: str, *, name: str = "quiz.csv", **columns: Any) -> Any:
    wanted = {"question": "q", "choices": ("a", "b"), "answer": ("r",)} | columns
    table = Table(file=str(bench.write(name, text)), **wanted)
    header, questions = compile_table(table, lambda _: None)
    out = bench.folder / "out.jsonl"
    out.write_bytes(write_compiled(header, questions))
    return bench.read(out)


@pytest.mark.parametrize(
    ("answers", "flag"),
    [
        (("A", "B"), None),
        (("a", " b "), None),
        (("1", "2"), None),
        (("yes", "no"), None),
        (("0", "1"), "number-from-0"),
    ],
)
def test_answers_are_letters_numbers_or_texts(bench: Any, answers: Any, flag: Any) -> None:
    text = f"q,a,b,r\nx,yes,no,{answers[0]}\ny,yes,no,{answers[1]}\n"
    header, questions = make(bench, text, answers=flag)
    assert [each.gold for each in questions] == [(1,), (2,)]
    assert questions[0].prompt == "Question: x\nAnswer:"
    assert questions[0].choices == (" yes", " no")
    assert (header.name, header.metrics, header.compiled.task) == ("quiz", ("acc", "acc_norm"), "")


def test_questions_have_as_many_choices_as_they_have(bench: Any) -> None:
    _, questions = make(bench, "q,a,b,c,r\nx,1,2,3,C\ny,1,2,,A\n", choices=("a", "b", "c"))
    assert [len(each.choices) for each in questions] == [3, 2]
    assert float(chance(questions)) == pytest.approx(5 / 12)


def test_choices_may_be_a_list_and_a_context_stands_before(bench: Any) -> None:
    text = '{"q":"x","o":["a",2],"r":"a","c":"Long ago."}'
    _, [question] = make(bench, text, name="d.jsonl", choices=("o",), context="c")
    assert (question.texts, question.gold) == (("a", "2"), (1,))
    assert question.prompt == "Long ago.\nQuestion: x\nAnswer:"


def test_a_text_is_written_without_choices(bench: Any) -> None:
    text = '{"q":"x","r":["42","forty-two"]}\n{"q":"y","r":7}'
    header, questions = make(bench, text, name="d.jsonl", choices=())
    assert header.kind == "generate"
    assert [each.targets for each in questions] == [("42", "forty-two"), ("7",)]
    assert header.scorers[0].ignore_case


@pytest.mark.parametrize(
    ("name", "text", "answer"),
    [
        ("d.csv", "q,a,b,c,r,s\nx,1,2,3,A,C\ny,1,2,,B,\n", ("r", "s")),
        ("d.csv", "q,a,b,c,r,s\nx,11,12,13,11,13\ny,21,22,,,22\n", ("r", "s")),
        (
            "d.jsonl",
            '{"q":"x","a":"1","b":"2","c":"3","r":["A","C","A"]}\n'
            '{"q":"y","a":"1","b":"2","c":null,"r":"B"}',
            ("r",),
        ),
    ],
)
def test_several_choices_may_be_right(bench: Any, name: str, text: str, answer: Any) -> None:
    _, questions = make(bench, text, name=name, choices=("a", "b", "c"), answer=answer)
    assert [each.gold for each in questions] == [(1, 3), (2,)]


def test_several_texts_may_be_right(bench: Any) -> None:
    _, questions = make(bench, "q,r,s\nx,4,four\ny,5,\n", choices=(), answer=("r", "s"))
    assert [each.targets for each in questions] == [("4", "four"), ("5",)]


def test_what_can_be_read_in_two_ways_is_asked_for(bench: Any) -> None:
    text = "q,a,b,r\nx,2,1,1\ny,2,1,2\n"
    with pytest.raises(ConfigError, match="'r' can be read as text or number; say which with"):
        make(bench, text)
    assert [each.gold for each in make(bench, text, answers="text").questions] == [(2,), (1,)]
    assert [each.gold for each in make(bench, text, answers="number").questions] == [(1,), (2,)]


@pytest.mark.parametrize(
    ("text", "columns", "said"),
    [
        ("q,a,b,r\nx,y,z,C\n", {}, r"line 2, column 'r': 'C' is neither the text of one of the 2"),
        ("q,a,b,r\nx,y,z,A\nx,y,z,3\n", {}, "line 3, column 'r': '3' is neither"),
        ("q,a,b,r\nx,y,z,0\n", {}, "--answers number-from-0"),
        ("q,a,b,r\nx,y,z,\n", {}, "line 2, column 'r': the answer is empty"),
        ("q,a,b,r\nx,y,z,B\n", {"answers": "number"}, "'B' is no number of the 2 choices"),
        ("q,a,b\nx,y,z\n", {}, "line 2, column 'r': there is no such column; there are 'q', 'a'"),
        ("Q,a,b,r\nx,y,z,A\n", {}, "line 2, column 'q': there is no such column"),
        ("q,a,r\nx,y,A\n", {}, "line 2, column 'b': there is no such column"),
        ("q,a,b,r\n,y,z,A\n", {}, "line 2, column 'q': is empty"),
        ("q,a,b,r\nx,,z,A\n", {}, "line 2, column 'a': a choice is empty"),
        ("q,a,b,r\nx,y,,A\n", {}, "line 2, column 'a': has 1 choices"),
        ("q,a,b,r\nx,y,z,A\n", {"choices": (), "answer": ("n",)}, "column 'n': there is no such"),
        ("q,a,b,r\nx,y,z,\n", {"choices": ()}, "line 2, column 'r': the answer is empty"),
    ],
)
def test_what_is_wrong_is_named_by_line_and_column(
    bench: Any, text: str, columns: Any, said: str
) -> None:
    with pytest.raises(BenchpoolError, match=said) as caught:
        make(bench, text, **columns)
    assert "\n" not in str(caught.value)
    assert [path.name for path in bench.folder.iterdir()] == ["quiz.csv"]


def test_a_check_counts_and_warns(bench: Any) -> None:
    text = "q,a,b,r\nx,y,z,A\nx,y,z,A\n{{q}},y,z,A\nw,y,y,A\n"
    make(bench, text)
    report = check_dataset(bench.folder / "out.jsonl")
    assert (report.chance, report.choices) == (0.5, (2, 2))
    assert report.warnings == [
        "its source is not told",
        "its license is not told",
        "1 question asked more than once",
        "1 question with braces of a template that was not filled, first number 3",
        "1 question with a choice that stands there twice, first number 4",
        "the right choice is always number 1",
    ]


def test_another_form_of_the_same_is_told(bench: Any) -> None:
    make(bench, "q,a,b,r\nx,y,z,A\n")
    path = bench.folder / "out.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"gold":[1]', b'"gold": [1]'))
    assert any("canonical" in each for each in check_dataset(path).warnings)
    path.write_bytes(b"")
    with pytest.raises(DatasetError, match="is empty"):
        check_dataset(path)
