"""YAML that remembers where everything stands.

Reads what Compose reads: scalars follow YAML 1.2's core schema (`on`, `no`, `22:22` and dates are text), merge keys and
anchors work, duplicate keys do not. Nesting and aliases are bounded, so that no file can hang or crash the reader.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import yaml

from slipway.settings import scalars
from slipway.settings.problems import Path, Problems

MAX_DEPTH = 40
MAX_VALUES = 50_000
MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class Place:
    """Where a value stands: its key's line (its own, in a list), its own line, and a scalar's text as written."""

    key_line: int
    line: int
    text: str | None


@dataclass
class YamlFile:
    """A parsed file. `data` is {} if it could not be read; then `problems` were noted and `ok` is False."""

    name: str
    data: dict[str, Any] = field(default_factory=dict)
    places: dict[Path, Place] = field(default_factory=dict)
    ok: bool = False

    def line(self, path: Path) -> int:
        """Return the line of the key at `path`, or of the nearest thing around it that the file has."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.places:
                return self.places[path[:end]].key_line
        return 1

    def value_line(self, path: Path) -> int:
        """Return the line on which the value at `path` starts (a folded text starts below its key)."""
        return self.places[path].line if path in self.places else self.line(path)

    def text(self, path: Path) -> str | None:
        """Return a scalar as it is written in the file (`1.10` stays `1.10`), None for anything else."""
        return self.places[path].text if path in self.places else None

    def problem(self, problems: Problems, path: Path, message: str) -> None:
        """Note a problem with the value at `path`."""
        problems.add(self.name, self.line(path), path, message)


@dataclass
class _Node:
    kind: str
    line: int
    text: str = ""
    plain: bool = False
    tag: str | None = None
    items: list[_Node] = field(default_factory=list)
    pairs: list[tuple[_Node, _Node]] = field(default_factory=list)


class _StopError(Exception):
    """The file cannot be read further: line, message."""


def read(path: FilePath, name: str, problems: Problems) -> YamlFile:
    """Read and parse the file at `path`, which messages call `name`. What is wrong goes into `problems`."""
    try:
        if path.stat().st_size > MAX_BYTES:
            problems.add(name, 1, (), f"is larger than {MAX_BYTES // 1000} kB")
            return YamlFile(name)
        raw = path.read_bytes()
    except OSError as error:
        problems.add(name, 1, (), f"cannot be read: {error.strerror or error}")
        return YamlFile(name)
    file = parse(raw, name, problems)
    if file.ok and not file.data:
        problems.add(name, 1, (), "is empty")
    return file


def parse(raw: bytes, name: str, problems: Problems) -> YamlFile:
    """Parse the bytes of a file that messages call `name`. What is wrong goes into `problems`; nothing is raised."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problems.add(name, raw.count(b"\n", 0, error.start) + 1, (), "is not UTF-8 text")
        return YamlFile(name)
    before = len(problems.found)
    file = YamlFile(name)
    try:
        root = _compose(text)
        builder = _Builder(file, problems)
        data = builder.value(root, (), 0)
    except _StopError as stop:
        problems.add(name, stop.args[0], (), stop.args[1])
        return YamlFile(name)
    if root.kind != "map":
        problems.add(name, root.line, (), "should be a mapping (`key: value` lines)")
        return YamlFile(name)
    file.data, file.ok = data, len(problems.found) == before
    return file


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# libyaml's parser where PyYAML was built with it: ten times as fast
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _compose(text: str) -> _Node:
    """Return the tree of the only document in `text`. Raise _StopError."""
    if odd := _CONTROL.search(text):
        raise _StopError(text.count("\n", 0, odd.start()) + 1, "does not parse: a control character")
    try:
        events = iter(yaml.parse(text, Loader=_LOADER))
        tree = _documents(events)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = " ".join(filter(None, (error.context, error.problem)))
        raise _StopError(mark.line + 1 if mark else 1, f"does not parse: {words}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1 if isinstance(error.position, int) else 1
        raise _StopError(line, f"does not parse: {error.reason}") from error
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise _StopError(1, f"does not parse: {error}") from error
    return tree


def _documents(events: Iterator[Any]) -> _Node:
    tree: _Node | None = None
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            if tree is not None:
                raise _StopError(_line(event), "holds more than one document (`---`)")
            tree = _node(next(events), events, {}, 0)
    if tree is None or (tree.kind == "scalar" and not tree.text and tree.plain):
        raise _StopError(1, "is empty")
    return tree


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _node(event: Any, events: Iterator[Any], anchors: dict[str, _Node], depth: int) -> _Node:
    line = _line(event)
    if depth > MAX_DEPTH:
        raise _StopError(line, f"is nested more than {MAX_DEPTH} deep")
    if isinstance(event, yaml.AliasEvent):
        if event.anchor not in anchors:
            raise _StopError(line, f"does not parse: nothing is anchored as &{event.anchor}")
        return anchors[event.anchor]
    if isinstance(event, yaml.ScalarEvent):
        node = _Node("scalar", line, event.value, bool(event.implicit[0]), event.tag)
    else:
        node = _Node("list" if isinstance(event, yaml.SequenceStartEvent) else "map", line, tag=event.tag)
    if event.anchor:
        anchors[event.anchor] = node
    if node.kind == "list":
        while not isinstance(child := next(events), yaml.SequenceEndEvent):
            node.items.append(_node(child, events, anchors, depth + 1))
    elif node.kind == "map":
        while not isinstance(child := next(events), yaml.MappingEndEvent):
            key = _node(child, events, anchors, depth + 1)
            node.pairs.append((key, _node(next(events), events, anchors, depth + 1)))
    return node


class _Builder:
    """Turns nodes into plain values and notes the place of each."""

    def __init__(self, file: YamlFile, problems: Problems) -> None:
        self.file, self.problems = file, problems
        self.budget = MAX_VALUES

    def value(self, node: _Node, path: Path, depth: int, key_line: int = 0) -> Any:
        self.budget -= 1 + len(node.text) // 64
        if depth > MAX_DEPTH:
            raise _StopError(node.line, f"is nested more than {MAX_DEPTH} deep, or contains itself")
        if self.budget < 0:
            raise _StopError(node.line, f"holds more than {MAX_VALUES} values, aliases counted each time")
        self.file.places[path] = Place(key_line or node.line, node.line, node.text if node.kind == "scalar" else None)
        if node.kind == "scalar":
            return self._scalar(node, path)
        if node.tag not in (None, "!", f"tag:yaml.org,2002:{'seq' if node.kind == 'list' else 'map'}"):
            self.problems.add(self.file.name, node.line, path, f"has the tag {node.tag}, which is not supported here")
        if node.kind == "list":
            return [self.value(item, (*path, i), depth + 1) for i, item in enumerate(node.items)]
        return self._mapping(node, path, depth)

    def _scalar(self, node: _Node, path: Path) -> Any:
        try:
            value = scalars.construct(node.text, plain=node.plain, tag=node.tag)
        except ValueError as error:
            self.problems.add(self.file.name, node.line, path, str(error))
            return None
        if isinstance(value, float) and not math.isfinite(value):
            self.problems.add(self.file.name, node.line, path, f"{node.text[:40]} is no number that can be used")
            return None
        return value

    def _mapping(self, node: _Node, path: Path, depth: int) -> dict[str, Any]:
        flat = self._flat(node, path, depth, aloud=True)
        return {name: self.value(value, (*path, name), depth + 1, key.line) for name, (key, value) in flat.items()}

    def _flat(self, node: _Node, path: Path, depth: int, *, aloud: bool) -> dict[str, tuple[_Node, _Node]]:
        """Return a mapping's pairs, merged ones (`<<`) behind its own. Merged mappings are judged where they stand."""
        if depth > MAX_DEPTH:
            raise _StopError(node.line, f"is nested more than {MAX_DEPTH} deep, or contains itself")
        pairs: dict[str, tuple[_Node, _Node]] = {}
        merges: list[_Node] = []
        for key, value in node.pairs:
            self.budget -= 1
            if self.budget < 0:
                raise _StopError(node.line, f"holds more than {MAX_VALUES} values, aliases counted each time")
            if key.kind == "scalar" and key.text == "<<" and key.plain:
                merges += value.items if value.kind == "list" else [value]
                continue
            name = self._key(key, path, aloud=aloud)
            if name in pairs and aloud:
                first = pairs[name][0].line
                words = f"is here twice (the first is in line {first})"
                self.problems.add(self.file.name, key.line, (*path, name), words)
            if name is not None:
                pairs.setdefault(name, (key, value))
        for merged in merges:
            if merged.kind == "map":
                for name, pair in self._flat(merged, path, depth + 1, aloud=False).items():
                    pairs.setdefault(name, pair)
            elif aloud:
                words = "should name a mapping, or a list of mappings"
                self.problems.add(self.file.name, merged.line, (*path, "<<"), words)
        return pairs

    def _key(self, key: _Node, path: Path, *, aloud: bool) -> str | None:
        shown = key.text[:40] if key.kind == "scalar" else f"a {key.kind}"
        try:
            name = scalars.construct(key.text, plain=key.plain, tag=key.tag) if key.kind == "scalar" else None
        except ValueError:
            name = None
        if isinstance(name, str):
            return name
        message = f"the key {shown or '(nothing)'} should be text" + (
            " (put it in quotes)" if key.kind == "scalar" else ""
        )
        if aloud:
            self.problems.add(self.file.name, key.line, path, message)
        return None
