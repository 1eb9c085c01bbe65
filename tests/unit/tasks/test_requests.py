from __future__ import annotations

from typing import Any

import pytest

from benchpool.errors import BenchpoolError, ConfigError, DatasetError
from benchpool.tasks.compiling import Job, compile_task
from tests.unit.tasks.conftest import ROWS, TASK

GENERATE = 'doc_to_text: "{{q}}"\ndoc_to_target: "{{a}}"\noutput_type: generate_until\n'


def choices(text: str, choice: str = "['yes', 'no']", target: str = "0", more: str = "") -> str:
    return (
        "output_type: multiple_choice\ntest_split: test\n"
        f"doc_to_text: {text}\ndoc_to_choice: {choice}\ndoc_to_target: {target}\n{more}"
    )


def one(bench: Any, task: str, row: dict[str, Any], **options: Any) -> Any:
    return bench.compile(task, [row], **options).questions[0]


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        ("['yes', 'no']", ("yes", "no")),
        ("{a: yes it is, b: 'no'}", ("yes it is", "no")),
        ("options", ("A", "B")),
        ("'{{options}}'", ("A", "B")),
        ("'{{[options[1], options[0]]}}'", ("B", "A")),
        ("['{{options[0]}}', '{{q}}']", ("A", "x")),
    ],
)
def test_choices_are_a_list_a_column_or_templates(bench: Any, choice: str, found: Any) -> None:
    row = {"q": "x", "options": ["A", "B"]}
    question = one(bench, choices("q", choice), row)
    assert question.texts == found
    assert question.choices == tuple(f" {each}" for each in found)
    assert question.prompt == "x"


@pytest.mark.parametrize(
    ("target", "gold"),
    [
        ("1", (2,)),
        ("number", (1,)),
        ("word", (2,)),
        ("'{{number}}'", (1,)),
        ("'{{word}}'", (2,)),
        ("'{{[1, 0]}}'", (2, 1)),
        ("several", (2, 1)),
        ("truth", (2,)),
    ],
)
def test_the_answer_is_a_number_a_text_or_several(bench: Any, target: str, gold: Any) -> None:
    row = {"number": 0, "word": "no", "several": [1, 0], "truth": True}
    assert one(bench, choices("hello", target=target), row).gold == gold


@pytest.mark.parametrize("value", [2, -1, "maybe", "7", None, 1.5, [], [0, 9], {"a": 1}])
def test_a_wrong_answer_is_refused_or_left_out(bench: Any, value: Any) -> None:
    task = choices("'{{q}}'", target="gold")
    rows = [{"q": "x", "gold": 0}, {"q": "y", "gold": value}, {"q": "z", "gold": 1}]
    with pytest.raises(DatasetError, match=r"d\.jsonl, line 2: .*--leave-out"):
        bench.compile(task, rows)
    header, questions = bench.compile(task, rows, leave_out=True)
    assert [each.item for each in header.unscored] == [2]
    assert (header.count, [each.prompt for each in questions]) == (2, ["x", "z"])


def test_a_number_in_a_table_is_that_of_a_choice(bench: Any) -> None:
    rows = "q,a,b,r\nx,1,0,1\ny,1,0,0\n"
    task = choices("q", "'{{[a, b]}}'", "r", "num_fewshot: 1\nfewshot_split: test\n")
    questions = bench.compile(task, rows, name="d.csv").questions
    assert [each.gold for each in questions] == [(2,), (1,)]
    assert questions[0].prompt == "y 1\n\nx"
    with pytest.raises(DatasetError, match="the answer '2' is none of the choices"):
        one(bench, choices("q", target="r"), {"q": "x", "r": "2"})


def test_choices_may_stand_in_the_prompt(bench: Any) -> None:
    task = choices(
        "'{{right}}'",
        "'{{[a, b]}}'",
        "'{{rest}}'",
        "description: 'Choose. '\nnum_fewshot: 1\nfewshot_split: test\n"
        "fewshot_config: {sampler: first_n}\n",
    )
    rows = [
        {"right": n, "a": f"The dog {n}", "b": f"The cat {n}", "rest": f"barks {n}"}
        for n in range(2)
    ]
    first, second = bench.compile(task, rows).questions
    assert first.prompt == "Choose. The cat 1 barks 1\n\n"
    assert first.leads == first.texts == ("The dog 0", "The cat 0")
    assert first.choices == (" barks 0", " barks 0")
    assert (first.gold, second.gold) == ((1,), (2,))


def test_nothing_that_can_be_scored_is_no_data_set(bench: Any) -> None:
    with pytest.raises(DatasetError, match="no question can be scored"):
        bench.compile(choices("q", target="q"), [{"q": "x"}], leave_out=True)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (
            choices("'{{nope}}'"),
            "line 1: doc_to_text .*task.yaml:3.* 'nope' is undefined; the columns",
        ),
        (choices("n"), "line 1: doc_to_text gives the number 3, so .* not 0"),
        (choices("f"), "line 1: doc_to_text gives 1.5, not a text"),
        (choices("q", "[yes, no]"), "gives True among the choices.*quote yes and no"),
        (choices("1"), "line 1: doc_to_text gives the number 1, so .* not 0"),
        (choices("1", target="e"), "line 1: the continuation is '', not a text"),
        (choices("n", target="q"), "line 1: the answer 3 is none of the choices, 0 to 1"),
        (
            choices("q", "'{{q}}'"),
            "line 1: doc_to_choice .*task.yaml:4.* gives 'x', which is no list",
        ),
        (choices("q", "'{{[n, n]}}'"), "line 1: doc_to_choice gives 3 among the choices"),
        (choices("q", "'{{ {1: 2} }}'"), "line 1: doc_to_choice gives {1: 2}, not a list"),
        (choices("q", "n"), "line 1: doc_to_choice gives 3, not a list"),
        (choices("q", "[a]"), "line 1: 1 choices; there are 2 to 256"),
        (choices("q", "['', b]"), "line 1: a choice is empty"),
        (choices("q", "'{{q'"), "task.yaml:4: doc_to_choice is no template"),
        (choices("{a: b}"), "task.yaml:3: doc_to_text is a text"),
        (choices("q", more="description: '{{q.__class__}}'"), "description .* reaches out of"),
    ],
)
def test_what_does_not_fit_is_named(bench: Any, task: str, said: str) -> None:
    with pytest.raises(BenchpoolError, match=said) as caught:
        one(bench, task, {"q": "x", "e": "", "n": 3, "f": 1.5})
    assert "\n" not in str(caught.value)


def test_a_column_that_a_later_record_lacks_is_named(bench: Any) -> None:
    with pytest.raises(DatasetError, match=r"d\.jsonl, line 2: there is no column 'q'"):
        bench.compile(choices("q"), [{"q": "x"}, {"p": "y"}])


def test_the_description_and_the_delimiters(bench: Any) -> None:
    task = TASK + 'description: "About {{q}}\\n\\n"\ntarget_delimiter: "_"\ngen_prefix: "So"\n'
    question = one(bench, task, ROWS[0])
    assert question.prompt == "About x?\n\nQ: x?\nA:_So"
    assert question.choices == ("_yes", "_no")
    assert question.texts == ("yes", "no")


def test_the_first_exemplars_stand_before_the_question(bench: Any) -> None:
    task = TASK + "fewshot_split: dev\nnum_fewshot: 2\nfewshot_config: {sampler: first_n}\n"
    dev = [{"q": f"{n}", "a": "l", "b": "r", "gold": n % 2} for n in range(3)]
    path = str(bench.write("dev.jsonl", dev))
    question = one(bench, task, ROWS[0], more=[("dev", path)])
    assert question.prompt == "Q: 0\nA: l\n\nQ: 1\nA: r\n\nQ: x?\nA:"
    with pytest.raises(ConfigError, match="add --data dev=FILE, or ask without: --shots 0"):
        one(bench, task, ROWS[0])
    with pytest.raises(DatasetError, match="the split 'dev' has 3 exemplars, and 4 are wanted"):
        one(bench, task, ROWS[0], more=[("dev", path)], shots=4)
    assert one(bench, task, ROWS[0], shots=0).prompt == "Q: x?\nA:"
    with pytest.raises(ConfigError, match="not 'train'"):
        one(bench, task, ROWS[0], more=[("train", path)])


def test_exemplars_of_the_task_itself(bench: Any) -> None:
    task = (
        TASK + "num_fewshot: 1\nfewshot_config:\n  sampler: first_n\n  fewshot_delimiter: '|'\n"
        "  samples:\n  - {q: s, a: u, b: v, gold: 1}\n"
    )
    assert one(bench, task, ROWS[0]).prompt == "Q: s\nA: v|Q: x?\nA:"


def test_a_question_is_not_its_own_exemplar(bench: Any) -> None:
    task = TASK + "num_fewshot: 1\nfewshot_split: test\nfewshot_config: {sampler: first_n}\n"
    questions = bench.compile(task).questions
    assert questions[0].prompt == "Q: y?\nA: 2\n\nQ: x?\nA:"
    assert questions[1].prompt == "Q: x?\nA: yes\n\nQ: y?\nA:"


def test_exemplars_are_drawn_as_the_harness_draws_them(bench: Any) -> None:
    task = TASK + "num_fewshot: 2\nfewshot_split: train\n"
    train = [{"q": f"{n}", "a": "l", "b": "r", "gold": 0} for n in range(100)]
    path = str(bench.write("train.jsonl", train))
    questions = bench.compile(task, more=[("train", path)]).questions
    drawn = [
        [int(part) for part in q.prompt.replace("\nA:", " ").split() if part.isdigit()]
        for q in questions
    ]
    assert drawn == [[99, 56], [14, 0]]  # random.Random(1234).sample(range(100), 2), twice


def test_what_is_written(bench: Any) -> None:
    row = {"q": "x", "a": "42", "all": ["42", "forty-two"]}
    header, [question] = bench.compile(GENERATE, [row])
    assert (question.prompt, question.targets, question.stop) == ("x", ("42",), ("\n\n",))
    assert (header.kind, header.protocol) == ("generate", "generate")
    several = GENERATE.replace('"{{a}}"', "all")
    assert one(bench, several, row).targets == ("42", "forty-two")
    assert one(bench, GENERATE.replace('"{{a}}"', '"{{all}}"'), row).targets == ("42", "forty-two")
    chosen = GENERATE.replace('"{{a}}"', "1") + "doc_to_choice: [a, b]\n"
    assert one(bench, chosen, row).targets == ("b",)


def test_what_is_likely(bench: Any) -> None:
    task = GENERATE.replace("generate_until", "loglikelihood").replace("{{a}}", " {{a}}")
    header, [question] = bench.compile(task, [{"q": "x", "a": "sign"}])
    assert (header.kind, header.protocol, header.metrics) == ("likelihood", "likelihood", ("acc",))
    assert (question.prompt, question.choices) == ("x", (" sign",))


def test_only_the_first_questions_are_taken(bench: Any) -> None:
    assert bench.compile(limit=1).header.count == 1


def test_no_data_is_asked_for(bench: Any) -> None:
    with pytest.raises(ConfigError, match="give the data that is asked"):
        compile_task(Job(task=bench.job().task, data=()), lambda _: None)
