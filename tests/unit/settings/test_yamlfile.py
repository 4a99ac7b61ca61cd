"""YAML with places: values as Compose reads them, bounded, and a line for everything."""

from __future__ import annotations

import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from slipway.settings import scalars
from slipway.settings.problems import Problems
from slipway.settings.yamlfile import YamlFile, parse


def read(text: str) -> YamlFile:
    problems = Problems()
    file = parse(text.encode(), "f.yml", problems)
    assert not problems.found, problems.found
    return file


def wrong(text: str) -> list[str]:
    problems = Problems()
    assert not parse(text.encode(), "f.yml", problems).ok
    return [str(p) for p in problems.found]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a", "a"), ("''", ""), ("", None), ("~", None), ("null", None), ("true", True), ("False", False),
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("Off", "Off"), ("y", "y"),
        ("1", 1), ("-1", -1), ("+1", 1), ("1_000", 1000), ("0x1F", 31), ("0o17", 15), ("017", 15), ("0b11", 3), ("089", 89.0),
        ("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0), ("1.", 1.0), ("-1.5e-3", -0.0015),
        ("22:22", "22:22"), ("1:30:00", "1:30:00"), ("2024-01-01", "2024-01-01"), ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("1.2.3", "1.2.3"), ("0x", "0x"), ("_1", "_1"), ("٣", "٣"), ("9" * 40, "9" * 40), ("'1'", "1"), ('"true"', "true"),
        ("!!str 1", "1"), ("!!int '1'", 1), ("!!float 1", 1), ("!!bool 'true'", True), ("! 1", "1"), ("!!null ''", None),
        ("=", "="), ("<<", "<<"), ("|\n  b\n  c", "b\nc"), (">\n  b\n  c", "b c"),
    ],
)  # fmt: skip
def test_scalars_as_compose_reads_them(text: str, value: object) -> None:
    found = read(f"a: {text}").data["a"]
    assert found == value
    assert type(found) is type(value)


def test_every_key_and_value_has_its_line() -> None:
    file = read("a: 1\nb:\n  - x\n  - c: |\n      text\n    d:\n      deep\n")
    assert [file.line(p) for p in [("a",), ("b",), ("b", 0), ("b", 1), ("b", 1, "c"), ("b", 1, "d")]] == [
        1,
        2,
        3,
        4,
        4,
        6,
    ]
    assert file.value_line(("b", 1, "d")) == 7
    assert file.line(("b", 1, "nothing", "here")) == 4
    assert file.line(("nothing",)) == 1
    assert file.text(("a",)) == "1"
    assert file.text(("b",)) is None


def test_merge_keys() -> None:
    text = "x: &x {a: 1, b: 1}\ny: &y\n  <<: *x\n  b: 2\nz:\n  c: 3\n  <<: [*y, {a: 9, d: 4}]\n"
    file = read(text)
    assert file.data["z"] == {"c": 3, "b": 2, "a": 1, "d": 4}
    assert [file.line(("z", key)) for key in "abcd"] == [1, 4, 6, 7]
    assert wrong("a: {<<: 1}") == ["f.yml:1: a.<<: should name a mapping, or a list of mappings"]
    assert read("a: {'<<': 1}").data == {"a": {"<<": 1}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yml:3: a: is here twice (the first is in line 1)"),
        ("a:\n  b: 1\n  b: 1\n", "f.yml:3: a.b: is here twice (the first is in line 2)"),
        ("true: 1\n", "f.yml:1: the key true should be text (put it in quotes)"),
        ("a: 1\n? {b: c}\n: d\n", "f.yml:2: the key a map should be text"),
        ("~: 1\n", "f.yml:1: the key ~ should be text (put it in quotes)"),
        ("a: .nan\n", "f.yml:1: a: .nan is no number that can be used"),
        ("a: 1e999\n", "f.yml:1: a: 1e999 is no number that can be used"),
        ("a: !!int x\n", "f.yml:1: a: 'x' does not go with its tag int"),
        ("a: !!binary aGk=\n", "f.yml:1: a: has the tag tag:yaml.org,2002:binary, which is not supported here"),
        ("a: !reset null\n", "f.yml:1: a: has the tag !reset, which is not supported here"),
        ("a: !!set {b}\n", "f.yml:1: a: has the tag tag:yaml.org,2002:set, which is not supported here"),
        ("a: *b\n", "f.yml:1: does not parse: nothing is anchored as &b"),
        ("a: &a [*a]\n", "f.yml:1: is nested more than 40 deep, or contains itself"),
        ("a: &a {<<: *a}\n", "f.yml:1: is nested more than 40 deep, or contains itself"),
        ("a: " + "[" * 60 + "]" * 60, "f.yml:1: is nested more than 40 deep"),
        ("a: b\x07\n", "f.yml:1: does not parse: a control character"),
        ("a: 1\n--- \nb: 1\n", "f.yml:2: holds more than one document (`---`)"),
    ],
)
def test_each_wrong_file(text: str, expected: str) -> None:
    assert wrong(text) == [expected]


def test_alias_bombs_end_at_once() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    started = time.monotonic()
    assert "holds more than 50000 values" in wrong("\n".join(levels))[0]
    merges = ["a0: &a0 {x: 1}"] + [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 10)]
    assert "holds more than 50000 values" in wrong("\n".join(merges))[0]
    assert "holds more than 50000 values" in wrong(f"a: &a '{'x' * 100_000}'\nb: [{', '.join(['*a'] * 5000)}]")[0]
    assert time.monotonic() - started < 5


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff\ufffe\uffff")),
        lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text("abc0-_.", min_size=1), v, max_size=4),
        max_leaves=20,
    )
)  # fmt: skip
def test_what_is_dumped_is_read_back(value: Any) -> None:
    text = scalars.dump({"a": value})
    assert read(text).data == {"a": value}
    assert yaml.safe_load(text) == {"a": value}


@pytest.mark.parametrize(
    "text", ["on", "1e3", "0o17", "22:22", "017", "2024-01-01", "null", "~", "", "1_000", "a\nb\n", " a ", "\x85x"]
)
def test_dumped_text_stays_text_for_either_reader(text: str) -> None:
    dumped = scalars.dump({"a": [text]})
    assert read(dumped).data == yaml.safe_load(dumped) == {"a": [text]}


@pytest.mark.parametrize(
    "text",
    [
        "a: b",
        "two\nlines\n",
        "\n\n",
        "é",
        "💥",
        "C:\\Users",
        "0123",
        "\ufeff\x85\u2028",
        "word " * 60,
        "",
        "- x",
        "'\"",
    ],
)
def test_libyaml_writes_what_pyyaml_writes(text: str) -> None:
    """A release's text does not change with how PyYAML was built (an empty key aside)."""
    for value in ({"a": text}, {"a": [text, {"b": text}], "c": 1.5}, {text or "key": None}):
        assert scalars.dump(value) == scalars._dumped(value, yaml.SafeDumper)
