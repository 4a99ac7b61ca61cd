"""Compose's interpolation: `$NAME`, `${NAME}` and its six operators, nested, `$$` for a dollar sign.

The rules are those of Compose's reference ("Interpolation"). Two differ on purpose: values come from the environment's
settings alone, never from the shell of whoever types, and a variable without value or default is an error where Compose
takes "".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")
_MAX_DEPTH = 20


class InterpolationError(ValueError):
    """A text cannot be interpolated; the message says why. `missing` is the variable without value, if that is why."""

    def __init__(self, message: str, missing: str = "") -> None:
        super().__init__(message)
        self.missing = missing


@dataclass(frozen=True)
class Variable:
    """One `${name operator rest}`."""

    name: str
    operator: str = ""
    rest: tuple[str | Variable, ...] = ()


Template = tuple[str | Variable, ...]


def parse(text: str, depth: int = 0) -> Template:
    """Return the literal texts and variables of `text`. Raise InterpolationError for a form Compose does not know."""
    if depth > _MAX_DEPTH:
        raise InterpolationError("variables are nested too deeply")
    parts: list[str | Variable] = []
    at = 0
    while (dollar := text.find("$", at)) >= 0:
        parts.append(text[at:dollar])
        if text.startswith("$$", dollar):
            parts.append("$")
            at = dollar + 2
        elif text.startswith("${", dollar):
            end = _closing_brace(text, dollar)
            parts.append(_braced(text[dollar + 2 : end], depth))
            at = end + 1
        elif name := _NAME.match(text, dollar + 1):
            parts.append(Variable(name.group()))
            at = name.end()
        else:
            parts.append("$")  # `$` before anything else is kept, as Compose keeps it
            at = dollar + 1
    parts.append(text[at:])
    return tuple(p for p in parts if p != "")


def _closing_brace(text: str, start: int) -> int:
    """Return where the brace of the `${` at `start` closes; only `${` opens another, as in Compose."""
    level = 0
    at = start
    while at < len(text):
        if text.startswith("${", at):
            level += 1
            at += 2
            continue
        if text[at] == "}":
            level -= 1
            if level == 0:
                return at
        at += 1
    raise InterpolationError("`${` is never closed (write `$$` for a dollar sign)")


def _braced(inside: str, depth: int) -> Variable:
    name = _NAME.match(inside)
    if not name:
        raise InterpolationError(f"`${{{inside[:40]}}}` names no variable (write `$$` for a dollar sign)")
    rest = inside[name.end() :]
    if "\n" in rest:
        raise InterpolationError(f"`${{{name.group()}...}}` has a line break inside, which Compose does not accept")
    if not rest:
        return Variable(name.group())
    for operator in _OPERATORS:
        if rest.startswith(operator):
            return Variable(name.group(), operator, parse(rest[len(operator) :], depth + 1))
    raise InterpolationError(
        f"`${{{inside[:40]}}}` is no known form: ${{NAME}}, or with one of {' '.join(_OPERATORS)} behind the name"
    )


def names(template: Template) -> set[str]:
    """Return all variables of a template, those in defaults included."""
    found: set[str] = set()
    for part in template:
        if isinstance(part, Variable):
            found |= {part.name} | names(part.rest)
    return found


def render(template: Template, values: Mapping[str, str]) -> str:
    """Return the text with `values` put in. Raise InterpolationError for a variable that has to have a value."""
    return "".join(part if isinstance(part, str) else _evaluate(part, values) for part in template)


def _evaluate(variable: Variable, values: Mapping[str, str]) -> str:
    value = values.get(variable.name)
    empty_counts = variable.operator.startswith(":")
    there = value is not None and not (empty_counts and value == "")
    kind = variable.operator[-1:]
    if kind == "+":
        return render(variable.rest, values) if there else ""
    if there:
        return value or ""
    if kind == "-":
        return render(variable.rest, values)
    if kind == "?":
        words = render(variable.rest, values)
        raise InterpolationError(f"${{{variable.name}}} is required" + (f": {words}" if words else ""), variable.name)
    raise InterpolationError(f"${{{variable.name}}} has no value and no default", variable.name)


def interpolate(text: str, values: Mapping[str, str]) -> str:
    """Return `text` with its variables replaced by `values`. Raise InterpolationError."""
    return render(parse(text), values) if "$" in text else text


def escape(value: Any) -> Any:
    """Return plain values with each `$` doubled, so that Compose reads them back unchanged."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, list):
        return [escape(v) for v in value]
    if isinstance(value, dict):
        return {k: escape(v) for k, v in value.items()}
    return value
