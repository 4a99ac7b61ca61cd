"""Whatever is done to the files: a value, or bad input with file:line. SLIPWAY_EXAMPLES=10000 looks longer."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.errors import BadInput
from slipway.settings import load
from slipway.settings.model import Environment, Stack
from tests.support import quickyaml

from .conftest import LOCAL, STACK, STAGING, Checkout

TOKENS = [
    "&a ",
    "*a",
    "<<: *a",
    "<<: ",
    "!!str ",
    "!!int ",
    "!!binary ",
    "!x ",
    "? ",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "|",
    ">",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "#",
    "'",
    '"',
    "\t",
    "\n",
    "\n  ",
    "\r",
    "~",
    "null",
    "true",
    "no",
    ".nan",
    ".inf",
    "1e999",
    "0x",
    "2024-01-01",
    "${",
    "}",
    "$",
    "${A:-",
    "${LOG_LEVEL}",
    "\\u",
    "\\UFFFFFFFF",
    "\x00",
    "\x85",
    "\u2028",
    "\ufeff",
    "\ud7ff",
    "é",
    "💥",
    "9" * 5000,
    "[" * 200,
    "{a: " * 200,
    "services:",
    "x-slipway:",
    "hosts:",
    "name",
    "web",
    "../../..",
    "/",
    "\\",
    "name: hello\n",
    "-",
    "=",
]

CUT, INSERT, REPEAT, SWAP, RAW = range(5)
change = st.tuples(
    st.integers(CUT, RAW),
    st.integers(0, 10_000),
    st.integers(1, 60),
    st.sampled_from(TOKENS),
    st.binary(min_size=1, max_size=4),
)
PLACE = re.compile(r"^(envs/|compose/hello/compose)[\w./-]*:\d+: ", re.MULTILINE)


def mutate(text: str, changes: list[tuple[int, int, int, str, bytes]]) -> bytes:
    data = text.encode()
    for kind, at, length, token, raw in changes:
        start = at % (len(data) + 1)
        piece = data[start : start + length]
        if kind == CUT:
            data = data[:start] + data[start + length :]
        elif kind == INSERT:
            data = data[:start] + token.encode("utf-8", "surrogatepass") + data[start:]
        elif kind == REPEAT:
            data = data[:start] + piece * 2 + data[start + len(piece) :]
        elif kind == SWAP:
            lines = data.split(b"\n")
            first, second = at % len(lines), (at + length) % len(lines)
            lines[first], lines[second] = lines[second], lines[first]
            data = b"\n".join(lines)
        else:
            data = data[:start] + raw + data[start + len(raw) :]
    return data


@pytest.fixture(scope="module")
def shared() -> Iterator[Checkout]:
    with tempfile.TemporaryDirectory() as folder:
        yield Checkout(Path(folder) / "checkout")


@settings(
    max_examples=int(os.environ.get("SLIPWAY_EXAMPLES", "300")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    env=st.sampled_from([LOCAL, STAGING]),
    env_changes=st.lists(change, max_size=3),
    stack_changes=st.lists(change, max_size=3),
)
def test_any_change_gives_a_value_or_bad_input(
    shared: Checkout,
    env: str,
    env_changes: list[tuple[int, int, int, str, bytes]],
    stack_changes: list[tuple[int, int, int, str, bytes]],
) -> None:
    (shared.root / "envs/local.yml").write_bytes(mutate(env, env_changes))
    (shared.root / "compose/hello/compose.yaml").write_bytes(mutate(STACK, stack_changes))
    judge(shared)


def judge(shared: Checkout) -> None:
    """Load: either there are values, or each line of the bad input has a place."""
    started = time.monotonic()
    try:
        found = load.load("local", at=shared.root)
    except BadInput as error:
        assert error.exit_code == 2
        places = PLACE.findall(error.paragraph()) if not error.seen else PLACE.findall(error.seen)
        assert len(places) == (len(error.seen.splitlines()) or 1) or "... and" in error.seen, error.paragraph()
        assert all(c.isprintable() or c == "\n" for c in error.paragraph())
    else:
        assert isinstance(found[0], Environment)
        assert isinstance(found[2], Stack)
    assert time.monotonic() - started < 5


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from(
        [
            "",
            "web",
            "db",
            "hello",
            "token",
            "/",
            "-",
            "a:b:c",
            "${X}",
            "$",
            "10m",
            "latest",
            "../x",
            "\0",
            "a" * 300,
            "é",
        ]
    )
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "path", "source", "role", "x"]) | st.text(max_size=4), inner, max_size=3
        )
    ),
    max_leaves=6,
)


def paths(value: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths(item, (*at, key))


def put(value: object, at: tuple[str | int, ...], new: object) -> object:
    if not at:
        return new
    if isinstance(value, dict):
        return {key: put(item, at[1:], new) if key == at[0] else item for key, item in value.items()}
    assert isinstance(value, list)
    return [put(item, at[1:], new) if index == at[0] else item for index, item in enumerate(value)]


FILES = {"envs/local.yml": quickyaml.load(STAGING), "compose/hello/compose.yaml": quickyaml.load(STACK)}
REPLACEMENT = st.sampled_from([(name, at) for name, data in FILES.items() for at in paths(data)])


@settings(
    max_examples=int(os.environ.get("SLIPWAY_EXAMPLES", "300")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(changes=st.lists(st.tuples(REPLACEMENT, ODD), min_size=1, max_size=2))
def test_any_value_anywhere_gives_a_value_or_bad_input(
    shared: Checkout, changes: list[tuple[tuple[str, tuple[str | int, ...]], object]]
) -> None:
    files = dict(FILES)
    for (name, at), new in changes:
        with contextlib.suppress(AssertionError):  # an earlier change took the place away
            files[name] = put(files[name], at, new)
    for name, data in files.items():
        (shared.root / name).write_text(quickyaml.dump(data, allow_unicode=True), "utf-8", "surrogatepass")
    judge(shared)
