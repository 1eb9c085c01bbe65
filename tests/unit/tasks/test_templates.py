from __future__ import annotations

from typing import Any

import pytest

from benchpool.tasks.templates import Template, TemplateError

RECORD: dict[str, Any] = {"q": "x", "l": [1, 2], "d": {"k": "v"}, "m": ["a"]}


def fill(source: str) -> str:
    return Template(source).fill(RECORD)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{q}}\n", "x\n"),
        ("{{l}} {{d.k}} {{d}}", "[1, 2] v {'k': 'v'}"),
        ("{{ 'a1b2'|regex_replace('[0-9]', '') }}", "ab"),
        ("{% for x in range(3) %}{{x}}{% endfor %}", "012"),
        ("{{ m|map('upper')|join }}", "A"),
        ("{{ '{:>3}'.format(q) }}", "  x"),
        ("<b>&{{ q }}", "<b>&x"),
    ],
)
def test_a_template_is_filled_as_the_harness_fills_it(source: str, text: str) -> None:
    assert fill(source) == text


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ().__class__.__bases__[0] }}",
        "{{ ''['__class__'] }}",
        "{{ q|attr('__class__') }}",
        "{{ q|attr('__cl' ~ 'ass__') }}",
        "{{ [q]|map(attribute='__class__')|list }}",
        "{{ '{0.__class__}'.format(q) }}",
        "{{ '{0.__class__.__mro__}'.format(q) }}",
        "{{ '{x.__class__}'.format_map({'x': q}) }}",
        "{{ ['{0.__class__}']|map('format', q)|map('attr', '__class__')|list }}",
        "{% set f = '{0.__class__}'.format %}{{ f(q) }}",
        "{{ q.format.__globals__ }}",
        "{{ q.strip.__self__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ self._TemplateReference__context }}",
        "{{ dict.mro() }}",
        "{{ dict.__base__ }}",
        "{{ lipsum.__globals__ }}",
        "{{ lipsum() }}",
        "{{ cycler('a') }}",
        "{{ joiner() }}",
        "{{ namespace(a=1) }}",
        "{{ (l|map('string')).gi_frame }}",
        "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}",
        "{% macro m() %}{% endmacro %}{{ m }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% extends 'x' %}",
        "{{ l.append(3) }}",
        "{{ d.update({'a': 1}) }}",
        "{{ d.pop('k') }}",
        "{{ l|random }}",
        "{{ open('/etc/passwd') }}",
        "{{ __import__('os') }}",
        "{{ __builtins__ }}",
        "{{ range(10**9)|list }}",
        "{{ q.strip }}",
        "{{ [q.strip] }}",
        "{{ m|map('upper') }}",
        "{{ range }}",
        "{{ dict }}",
        "{{ unknown }}",
        "{{ d.unknown }}",
        "{{ [unknown] }}",
        "{% debug %}",
        "{{ q",
        "{% for %}",
        "{{ 1 / 0 }}",
        "{{ 'x' * 2000000 }}",
        "{{ " + "(" * 500 + "1" + ")" * 500 + " }}",
    ],
)
def test_a_template_reaches_nothing_but_its_record(source: str) -> None:
    before = repr(RECORD)
    with pytest.raises(TemplateError) as caught:
        fill(source)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert repr(RECORD) == before


def test_the_percent_format_reaches_no_attributes() -> None:
    assert fill("{{ '%s {0.__class__}'|format(q) }}") == "x {0.__class__}"
