"""Migrations on every target: what waits, for people; which releases need the old shape; what can't be gone back to. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slipway.agent.schema import CONTRACT, EXPAND, Migration, blocked, due, objections, waiting
from slipway.data.migrations import how
from slipway.errors import BadInput
from slipway.plan.operation import Change
from slipway.settings.model import Stack


@dataclass(frozen=True)
class Releases:
    """A stack's releases, as far as its database's shape goes.

    Args:
        stack: whose.
        env: the environment's name.
        live: the release that serves; None where none does.
        knows: by release, the ids of the migrations that it was made with: it can do without what those take away.
        runs: the releases that have a container or a pod.
        asked: those that must go on being able to serve: what runs or serves, and what a rollback would go back to.
    """

    stack: Stack
    env: str
    live: str | None
    knows: Mapping[str, Collection[str]] = field(default_factory=dict)
    runs: Collection[str] = ()
    asked: Collection[str] = ()

    @property
    def where(self) -> str:
        """Where they are, for errors."""
        return f"{self.stack.name} in {self.env}"

    def lacking(self, release: str, wanted: Iterable[str]) -> list[str]:
        """Return those of these migrations that a release does not know."""
        return sorted(set(wanted) - set(self.knows.get(release, ())))

    def needed_by(self, wanted: Iterable[str]) -> dict[str, list[str]]:
        """Return which releases do not know which of these migrations: they need what those take away."""
        asked = set(wanted)
        return {r: found for r in sorted(self.asked) if (found := self.lacking(r, asked))}

    def refuse_past(self, release: str, contracted: Iterable[str]) -> None:
        """Raise BadInput where a release needs a shape that one of these migrations, which were run, took away."""
        gone = self.lacking(release, contracted)
        if gone:
            raise BadInput(
                f"release {release} can't be gone back to: it needs the database as it was before {', '.join(gone)}",
                where=self.where,
                seen="the database has had that contracting migration, and the release was made before there was one",
                serves=f"release {self.live}" if self.live else "nothing",
                todo=f"inv release.list --env {self.env} shows later ones; or mend it in a new version, and deploy that",
            )

    def contracting(self, waits: Sequence[Migration], tree: Sequence[Migration]) -> list[Migration]:
        """Return what `migrate --contract` runs of the live release's migrations.

        Args:
            waits: those that the database has not had.
            tree: this tree's: where nothing waits, what is to come is asked about.

        Raises:
            BadInput: nothing serves; or a release that must be able to serve needs what they take away.
        """
        if self.live is None:
            todo = f"inv deploy --env {self.env} runs all"
            raise BadInput("nothing is deployed, so nothing is contracted", where=self.where, todo=todo)
        run = due(how(self.stack)["tool"], waits, CONTRACT)
        mine = self.knows.get(self.live, ())
        ahead = [m["id"] for m in tree if m["kind"] == CONTRACT and m["id"] not in mine]
        needed = self.needed_by([m["id"] for m in run if m["kind"] == CONTRACT] or ahead)
        if needed:
            raise self._needed(needed)
        return run

    def _needed(self, needed: Mapping[str, Sequence[str]]) -> BadInput:
        names = sorted({name for of in needed.values() for name in of})
        stopped = "is what a rollback goes back to"
        still = "still runs, for a rollback or for open requests"
        words = [f"{r} {'serves' if r == self.live else still if r in self.runs else stopped}" for r in needed]
        what = f"{', '.join(names)} would take away what a release needs that was made before there was one"
        if self.live in needed:
            todo = f"inv deploy --env {self.env} brings a version that knows it; then inv migrate --contract"
        else:
            todo = (
                f"inv deploy --env {self.env} once more: a rollback then goes back to a release that knows it,"
                " and the older ones stop"
            )
        return BadInput(what, where=self.where, seen="; ".join(words), serves=f"release {self.live}", todo=todo)


def pending(stack: Stack, known: Sequence[Migration], state: Mapping[str, Any] | None) -> list[Migration]:
    """Return the migrations that a database has not had; `state` is None where there is no database yet.

    Raises:
        BadInput: these migrations do not go with the database.
    """
    tool = how(stack)["tool"]
    if state is None:
        return list(known)
    problems = objections(tool, known, state)
    if problems:
        refuse_files(stack, problems)
    return waiting(tool, known, state)


def refuse_files(stack: Stack, problems: Sequence[str]) -> None:
    """Raise BadInput with what is wrong with migrations."""
    shown = f"compose/{stack.name}/{stack.migrate.path if stack.migrate else ''}"
    raise BadInput("the migrations do not go with the database", where=shown, seen="\n".join(problems))


def shown(stack: Stack, waits: Sequence[Migration], kinds: str, sql: Mapping[str, str], env: str) -> tuple[Change, ...]:
    """Return the waiting migrations for people: those that would run with their SQL, the others with what they wait for."""
    behind = blocked(how(stack)["tool"], waits) if kinds == EXPAND else None
    if behind:
        refuse_files(
            stack, [f"{behind['file']}: stands behind one that contracts and has not been run: inv migrate --contract"]
        )
    now = {m["id"] for m in due(how(stack)["tool"], waits, kinds)}
    changes = []
    for migration in waits:
        text = f"{migration['file']} ({migration['kind']})"
        if migration["id"] in now:
            text += f"\n{sql[migration['id']]}"
        elif migration["kind"] == CONTRACT:
            text += f": left for inv migrate --contract --env {env}"
        changes.append(Change("", "migration", text))
    return tuple(changes)
