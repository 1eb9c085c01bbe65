from __future__ import annotations

from typing import Any

import pytest

from benchpool.errors import ConfigError, DatasetError
from benchpool.tasks.isolation import compile_file


def test_a_task_becomes_a_file(bench: Any) -> None:
    out = bench.folder / "out.jsonl"
    header = compile_file(bench.job(license="CC0"), out)
    dataset = bench.read(out)
    assert dataset.header == header
    assert header.license == "CC0"
    assert [each.choices for each in dataset.questions] == [(" yes", " no"), (" 1", " 2")]
    assert [each.gold for each in dataset.questions] == [(1,), (2,)]
    first = out.read_bytes()
    compile_file(bench.job(license="CC0"), out)
    assert out.read_bytes() == first


def asked(template: str) -> str:
    """Return a task whose prompt is a template."""
    return (
        "output_type: multiple_choice\ndoc_to_choice: [a, b]\ndoc_to_target: 0\n"
        f"doc_to_text: {template!r}\n"
    )


@pytest.mark.parametrize(
    "template",
    [
        '{{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"|regex_replace("(a+)+$", "") }}',
        "{{ 9 ** (9 ** 9) }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        '{{ "a" * 10 ** 11 }}',
        "{% set x = [1] * 10 ** 10 %}",
        '{{ "{:99999999999}".format(1) }}',
    ],
)
def test_a_template_has_little_time_and_memory(bench: Any, template: str) -> None:
    out = bench.folder / "out.jsonl"
    job = bench.job(asked(template))
    with pytest.raises((DatasetError, ConfigError), match=r"does not end|memory|fails") as caught:
        compile_file(job, out, record_s=0.5)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in bench.folder.iterdir()) == ["d.jsonl", "task.yaml"]


def test_what_fails_leaves_the_file_as_it_was(bench: Any) -> None:
    out = bench.write("out.jsonl", "old")
    with pytest.raises(DatasetError, match=r"d\.jsonl, line 2"):
        compile_file(bench.job(rows='{"q":"x","a":"a","b":"b","gold":0}\n{"q":'), out)
    assert out.read_text() == "old"
    assert len(list(bench.folder.iterdir())) == 3


def test_a_folder_that_is_not_there_is_named(bench: Any) -> None:
    with pytest.raises(DatasetError, match=r"nowhere/out\.jsonl: cannot be written"):
        compile_file(bench.job(), bench.folder / "nowhere" / "out.jsonl")
