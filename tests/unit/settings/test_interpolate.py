"""Compose's interpolation rules, as its reference has them; our two differences; nothing else is raised."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.settings.interpolate import InterpolationError, escape, interpolate, names, parse

VALUES = {"FOO": "first", "EMPTY": "", "Mixed_1": "m"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$FOO", "first"),
        ("${FOO}", "first"),
        ("a $FOO-b", "a first-b"),
        ("$FOO$FOO", "firstfirst"),
        ("$Mixed_1 ${Mixed_1}", "m m"),
        ("${EMPTY}", ""),
        # `-` where unset, `:-` where unset or empty
        ("${NONE-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${FOO-d}", "first"),
        ("${NONE:-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${FOO:-d}", "first"),
        ("${NONE-}", ""),
        ("${NONE:-}", ""),
        # `+` where set, `:+` where set and not empty
        ("${NONE+r}", ""),
        ("${EMPTY+r}", "r"),
        ("${FOO+r}", "r"),
        ("${NONE:+r}", ""),
        ("${EMPTY:+r}", ""),
        ("${FOO:+r}", "r"),
        # `?` and `:?` with a value
        ("${FOO?no}", "first"),
        ("${FOO:?no}", "first"),
        ("${EMPTY?no}", ""),
        # nesting
        ("${NONE:-${FOO}}", "first"),
        ("${NONE:-${NEITHER:-deep}}", "deep"),
        ("${NONE-$FOO}", "first"),
        ("${NONE-${FOO} ${FOO}}!", "first first!"),
        ("${FOO:+${NONE:-x}y}", "xy"),
        ("${NONE:-a${FOO}b$$c}", "afirstb$c"),
        # the first operator counts; the rest is text
        ("${NONE:-a:-b}", "a:-b"),
        ("${NONE-x?y}", "x?y"),
        ("${NONE:-/a:+b}", "/a:+b"),
        ("${NONE:-{}}", "{}"),
        ('${NONE:-{"a": 1}}', '{"a": 1}'),
        ("${FOO}\n${FOO}", "first\nfirst"),
        # dollar signs
        ("$$FOO", "$FOO"),
        ("$${FOO}", "${FOO}"),
        ("$$$FOO", "$first"),
        ("$$$$", "$$"),
        ("cost: $5", "cost: $5"),
        ("^x$", "^x$"),
        ("a $ b", "a $ b"),
    ],
)
def test_rules(text: str, expected: str) -> None:
    assert interpolate(text, VALUES) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${NONE}", "${NONE} has no value and no default"),
        ("$NONE", "${NONE} has no value and no default"),
        ("${NONE?}", "${NONE} is required"),
        ("${NONE:?say ${FOO}}", "${NONE} is required: say first"),
        ("${EMPTY:?say}", "${EMPTY} is required: say"),
        ("${FOO:-$FOO}${NONE}", "${NONE} has no value"),
        ("${", "never closed"),
        ("${FOO", "never closed"),
        ("${FOO:-${FOO}", "never closed"),
        ("${}", "names no variable"),
        ("${ FOO}", "names no variable"),
        ("${1A}", "names no variable"),
        ("${FOO }", "no known form"),
        ("${FOO!}", "no known form"),
        ("${FOO:x}", "no known form"),
        ("${NONE:-a\nb}", "line break"),
        ("${FOO/a/b}", "no known form"),
        ("${FOO:-" * 50 + "}" * 50, "nested too deeply"),
    ],
)
def test_errors(text: str, words: str) -> None:
    with pytest.raises(InterpolationError) as caught:
        interpolate(text, VALUES)
    assert words in str(caught.value)


def test_names_of_all_variables_those_in_defaults_too() -> None:
    assert names(parse("$A ${B} ${C:-${D:+$E}} $$F")) == {"A", "B", "C", "D", "E"}


@given(st.recursive(st.text() | st.integers() | st.none(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)))
def test_escaped_values_come_back_unchanged(value: object) -> None:
    def read(found: object) -> object:
        if isinstance(found, str):
            return interpolate(found, {})
        if isinstance(found, list):
            return [read(v) for v in found]
        return {k: read(v) for k, v in found.items()} if isinstance(found, dict) else found

    assert read(escape(value)) == value


@given(st.text(alphabet="${}:-?+AB_1 \n", max_size=60))
def test_any_text_gives_a_text_or_says_why_not(text: str) -> None:
    try:
        assert isinstance(interpolate(text, VALUES), str)
    except InterpolationError as error:
        assert str(error)
