"""What a YAML scalar means: the core schema of YAML 1.2, with the few liberties that Compose's own reader takes."""

from __future__ import annotations

import functools
import re
from typing import Any

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_TAG = "tag:yaml.org,2002:"


def resolve(text: str) -> Any:  # noqa: PLR0911 - a table of cases
    """Return what a plain (unquoted) scalar stands for: None, a bool, a number, or the text itself."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if len(text) > 30 or not text[0].isascii() or text[0] not in "+-.0123456789":
        return text  # no number is written with more digits than that on purpose
    if _INT.fullmatch(text) and (number := _integer(text.replace("_", ""))) is not None:
        return number
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    if _SPECIAL.fullmatch(text):
        return float(text.replace(".", "", 1))
    return text


def _integer(text: str) -> int | None:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits.isdigit():
        digits = "0o" + digits[1:]  # 0440: a mode, as Compose's reader takes it
    try:
        return sign * int(digits, 0)
    except ValueError:
        return None


def construct(text: str, *, plain: bool, tag: str | None) -> Any:
    """Return the value of a scalar with this text, style and tag. Raise ValueError with words for a message."""
    if tag in (None, "", "!"):
        return resolve(text) if plain and tag != "!" else text
    kind = tag.removeprefix(_TAG) if tag else ""
    if kind == "str":
        return text
    if kind in ("int", "float", "bool", "null"):
        value = resolve(text)
        wanted: dict[str, Any] = {"int": int, "float": (int, float), "bool": bool, "null": type(None)}
        if isinstance(value, wanted[kind]) and isinstance(value, bool) == (kind == "bool"):
            return value
        raise ValueError(f"{text[:40]!r} does not go with its tag {kind}")
    raise ValueError(f"has the tag {tag}, which is not supported here")


def dump(value: Any) -> str:
    """Return plain values as YAML that Compose reads back the same (text that looks like a number is quoted)."""
    import yaml

    quick = _dumped(value, getattr(yaml, "CSafeDumper", yaml.SafeDumper))
    # libyaml (five times as fast) writes an emoji as an escape, and `...` behind a text that ends with empty lines.
    return _dumped(value, yaml.SafeDumper) if "\\U" in quick or quick.endswith("...\n") else quick


def _dumped(value: Any, base: Any) -> str:
    import yaml

    dumper = _dumper(base)
    return str(yaml.dump(value, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120))


@functools.cache
def _dumper(base: Any) -> Any:
    """Return PyYAML's dumper `base` without aliases, and with the style that each text needs."""

    class Dumper(base):  # type: ignore[misc]
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
            return True

    def text(dumper: Any, data: str) -> Any:
        odd = not isinstance(resolve(data), str) or not data.replace("\n", "").isprintable()
        style = '"' if odd else "|" if "\n" in data else None
        return dumper.represent_scalar(f"{_TAG}str", data, style=style)

    Dumper.add_representer(str, text)
    return Dumper
