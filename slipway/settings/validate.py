"""Plain values into models: pydantic's findings become problems with a line and plain words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from slipway.settings.patterns import PATTERNS
from slipway.settings.problems import Path, Problems, nearest
from slipway.settings.yamlfile import YamlFile

M = TypeVar("M", bound=BaseModel)

_WORDS = {
    "missing": "is missing",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "string_type": "should be text",
    "bool_type": "should be true or false",
    "too_short": "should have at least one entry",
    "string_too_short": "should not be empty",
    "tuple_type": "should be a list",
    "list_type": "should be a list",
    "dict_type": "should be a mapping",
    "model_type": "should be a mapping",
    "model_attributes_type": "should be a mapping",
}


def model(kind: type[M], value: Any, file: YamlFile, at: Path, problems: Problems) -> M | None:
    """Return `value`, which stands at `at` in `file`, as a `kind`. None if it is none: then problems say why."""
    try:
        # JSON is the strict mode that fits files: lists are tuples, but "80" is no number and true no 1
        return kind.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        findings = error.errors(include_url=False, include_context=True)
        for finding in findings:
            path = tuple(p for p in finding["loc"] if p != "[key]")
            if finding["type"] == "too_short" and any(f["loc"][:-1][: len(path)] == path for f in findings):
                continue  # pydantic does not count wrong entries; they have findings of their own
            message = _message(kind, finding, path, file.text((*at, *path)))
            file.problem(problems, (*at, *path), message)
    return None


def _message(  # noqa: PLR0911 - a table of cases
    kind: type[BaseModel], finding: Mapping[str, Any], path: Path, written: str | None
) -> str:
    context = finding.get("ctx", {})
    code = finding["type"]
    if code == "extra_forbidden":
        return f"unknown key{nearest(str(path[-1]), fields_at(kind, path[:-1]))}"
    if code == "literal_error":
        return f"should be one of {context['expected'].replace(chr(39), '')}{_nearest_literal(context, finding)}"
    if code == "string_type":
        quoted = written is not None and not isinstance(finding["input"], (type(None), str))
        return f"should be text (put it in quotes: {json.dumps(written)})" if quoted else "should be text"
    if code in _WORDS:
        return _WORDS[code]
    if code == "string_pattern_mismatch":
        return f"should be {PATTERNS.get(context['pattern'], context['pattern'])}"
    if code in ("greater_than_equal", "less_than_equal"):
        limit = context.get("ge", context.get("le"))
        return f"should be at {'least' if code == 'greater_than_equal' else 'most'} {limit}"
    if code == "value_error":
        return str(context["error"])
    return str(finding["msg"]).lower()


def _nearest_literal(context: Mapping[str, Any], finding: Mapping[str, Any]) -> str:
    options = [w.strip(" '") for part in context["expected"].split(" or ") for w in part.split(",")]
    return nearest(finding["input"], options) if isinstance(finding["input"], str) else ""


def fields_at(kind: type[BaseModel], path: Path) -> set[str]:
    """Return the keys that a file may have at `path` inside a `kind`."""
    current: Any = kind
    for part in path:
        if isinstance(part, int):
            continue  # a list's entries have the type that was found below for the list
        if not (isinstance(current, type) and issubclass(current, BaseModel)):
            return set()
        aliases = {f.alias or name: f.annotation for name, f in current.model_fields.items()}
        current = _inner_model(aliases.get(part))
    if not (isinstance(current, type) and issubclass(current, BaseModel)):
        return set()
    return {f.alias or name for name, f in current.model_fields.items()}


def _inner_model(annotation: Any) -> Any:
    """Return the model inside `X | None` or `tuple[X, ...]`."""
    if get_origin(annotation) is None:
        return annotation
    models = [_inner_model(a) for a in get_args(annotation)]
    return next((m for m in models if isinstance(m, type) and issubclass(m, BaseModel)), None)


def inside(folder: FilePath, path: str) -> FilePath:
    """Return `path` as seen from `folder`, absolute and resolved; one that no file system can hold stays below it."""
    try:
        return (folder / path).resolve()
    except (ValueError, OSError, RuntimeError):
        return folder / "no-such-path"


def is_file(path: FilePath) -> bool:
    """Return whether there is a file; a name that is too long for one is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: FilePath) -> bool:
    """Return whether there is a folder; a name that is too long for one is none."""
    try:
        return path.is_dir()
    except OSError:
        return False
