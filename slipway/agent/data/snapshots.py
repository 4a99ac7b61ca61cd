"""Sets of snapshots: what one backup made, told by tags. Pure.

A set is one restic snapshot for each kept thing and, stored last, one that holds its manifest. Without a manifest, or with a part
missing, it is half: never listed, never restored, forgotten by the next run. Order is by a number that each run counts up, not by
clocks, which may be set back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MARK = "slipway"
"""The tag that all of our snapshots have."""


@dataclass(frozen=True)
class Part:
    """One kept thing in a set.

    Args:
        id: the snapshot's.
        service: whose.
        kind: postgres, redis, files or configuration.
        size: bytes that were read.
        added: bytes that the repository grew by.
    """

    id: str
    service: str
    kind: str
    size: int
    added: int


@dataclass(frozen=True)
class SnapshotSet:
    """A whole backup. `id` is what people type: the run's name."""

    id: str
    seq: int
    time: str
    env: str
    stack: str
    scope: str
    release: str
    manifest: str
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Bytes that were read."""
        return sum(p.size for p in self.parts)

    @property
    def added(self) -> int:
        """Bytes that the repository grew by."""
        return sum(p.added for p in self.parts)

    @property
    def ids(self) -> list[str]:
        """The ids of all its snapshots, the manifest's first."""
        return [self.manifest, *(p.id for p in self.parts)]

    def part(self, service: str, kind: str) -> Part | None:
        """Return a service's part of a kind."""
        return next((p for p in self.parts if (p.service, p.kind) == (service, kind)), None)

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        parts = [{"service": p.service, "kind": p.kind, "bytes": p.size, "snapshot": p.id} for p in self.parts]
        keys = ("id", "time", "env", "stack", "scope", "release")
        return {**{k: getattr(self, k) for k in keys}, "bytes": self.size, "added": self.added, "parts": parts}


def tags_of(snapshot: Mapping[str, Any]) -> dict[str, str]:
    """Return a snapshot's tags `name=value`."""
    return dict(t.split("=", 1) for t in snapshot.get("tags") or [] if "=" in t)


def tagged(**values: str) -> str:
    """Return the value of restic's `--tag` that stands for all of these (`and`)."""
    return ",".join([MARK, *(f"{k}={v}" for k, v in values.items())])


def sort_out(snapshots: Iterable[Mapping[str, Any]], env: str, stack: str) -> tuple[list[SnapshotSet], list[str]]:
    """Return a stack's whole sets, oldest first, and the ids of the snapshots that belong to none.

    Args:
        snapshots: as `restic snapshots --json` tells them; other stacks' and other programs' are left out.
        env: environment.
        stack: stack.
    """
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for snapshot in snapshots:
        tags = tags_of(snapshot)
        if MARK in (snapshot.get("tags") or []) and (tags.get("env"), tags.get("stack")) == (env, stack):
            runs.setdefault(tags.get("run", ""), []).append(snapshot)
    whole, half = [], []
    for run, of in runs.items():
        made = _made(run, of)
        if made:
            whole.append(made)
        else:
            half += [str(s["id"]) for s in of]
    return sorted(whole, key=lambda s: s.seq), half


def _made(run: str, snapshots: list[Mapping[str, Any]]) -> SnapshotSet | None:
    manifest = [s for s in snapshots if tags_of(s).get("kind") == "manifest"]
    parts = tuple(_part(s) for s in snapshots if tags_of(s).get("kind") != "manifest")
    if len(manifest) != 1 or tags_of(manifest[0]).get("parts") != str(len(parts)):
        return None
    tags = tags_of(manifest[0])
    return SnapshotSet(
        run, int(tags["seq"]), manifest[0]["time"], tags["env"], tags["stack"], tags["scope"], tags.get("release", ""),
        manifest[0]["id"], tuple(sorted(parts, key=lambda p: (p.service, p.kind))),
    )  # fmt: skip


def _part(snapshot: Mapping[str, Any]) -> Part:
    tags, summary = tags_of(snapshot), snapshot.get("summary") or {}
    size, added = int(summary.get("total_bytes_processed", 0)), int(summary.get("data_added_packed", 0))
    return Part(str(snapshot["id"]), tags.get("service", ""), tags.get("kind", ""), size, added)


def latest(sets: Iterable[SnapshotSet]) -> SnapshotSet | None:
    """Return the newest set of all that the stack keeps: no safety snapshot, and none of a few services only."""
    return max((s for s in sets if s.scope == "full"), key=lambda s: s.seq, default=None)


def find(sets: Iterable[SnapshotSet], wanted: str) -> SnapshotSet | None:
    """Return the set that a person means: `latest`, or the beginning of one's id that is no other's."""
    sets = list(sets)
    if wanted == "latest":
        return latest(sets)
    found = [s for s in sets if s.id == wanted] or [s for s in sets if wanted and s.id.startswith(wanted)]
    return found[0] if len(found) == 1 else None


def next_number(sets: Iterable[SnapshotSet]) -> int:
    """Return the number of the next set."""
    return max([s.seq for s in sets], default=0) + 1
