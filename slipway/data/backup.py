"""Backups from the controller's side: the host does the work, and goes on doing it by its timer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from slipway import report, target
from slipway.data import document
from slipway.errors import BadInput, LeaseHeld, SlipwayError
from slipway.plan.operation import Operation
from slipway.target.compose import deploy, lease, look, workplace
from slipway.target.compose.workplace import Workplace
from slipway.target.conversation import Conversation, HostError
from slipway.target.who import by, command

if TYPE_CHECKING:
    from slipway.target.kubernetes.workplace import Place

_Where = TypeVar("_Where", bound="Workplace | Place")


def _advice(env: str, seen: str) -> str:  # noqa: PLR0911 - a table of cases
    """Return what to type next, by what was seen; "" where that says nothing."""
    if "does not open with this password" in seen:
        return f"inv secrets.edit --env {env}: `backup: password` has to be the repository's"
    if "there is no room to restore" in seen or ("could not be restored" in seen and "no space left" in seen):
        return f"make room on the host's disk: inv storage.review --env {env} shows what uses it"
    if "no space left" in seen or "507" in seen:
        return f"make room where the repository is; inv backup.prune --env {env} frees what is kept no longer"
    if "does not answer" in seen and "repository" in seen:
        return "see that its storage runs, and that the host reaches it"
    if "does not run" in seen:
        return f"inv status --env {env}; inv accessory.apply --env {env} starts it"
    if "much smaller" in seen:
        return f"look at the data; where that is right: inv backup --env {env} --any-size"
    if "is locked" in seen:
        return f"inv backup.unlock --env {env} removes the locks of runs that are gone"
    return ""


def find(env: str, stack: str | None, *, yes: bool = False, secrets: bool = True) -> Workplace | Place:
    """Return where a stack that keeps something is: hosts, or a cluster. Raises BadInput where it keeps nothing, or nowhere."""
    if target.on_cluster(env):
        from slipway.target.kubernetes import workplace as cluster

        return keeping(cluster.find(env, stack, with_secrets=secrets))
    return on_hosts(env, stack, yes=yes, secrets=secrets)


def on_hosts(env: str, stack: str | None, *, yes: bool = False, secrets: bool = True) -> Workplace:
    """Return the workplace of a stack on hosts that keeps something. Raises as `find`."""
    place = workplace.find(env, stack, yes=yes, start=False, secrets=secrets)
    if place is None:
        raise BadInput(f"the lab of {env} is not up", where=f"envs/{env}.yml", todo=f"inv deploy --env {env} starts it")
    keeping(place)
    deploy.serve_official_images(place)
    return place


def keeping(place: _Where) -> _Where:
    """Return `place` where its stack keeps something, somewhere. Raises BadInput otherwise."""
    env = place.env.name
    if place.env.backup is None:
        raise BadInput(
            f"{env} has no backups", where=f"envs/{env}.yml", todo="say where they go: `backup:`, docs/data.md"
        )
    if not place.stack.kept:
        where = f"compose/{place.stack.name}/compose.yaml"
        raise BadInput(f"{place.stack.name} keeps nothing", where=where, todo="say what: `backup:`, docs/data.md")
    return place


@contextlib.contextmanager
def on_host(place: Workplace | Place, task: str = "data") -> Iterator[Conversation]:
    """Open a session with the host, or the cluster's pod, that keeps the data; its failures are told as what people understand.

    Raises:
        LeaseHeld: another backup or restore of the stack is at work.
        BadInput: what was asked for can't be.
        SlipwayError: it failed; what serves was not touched.
    """
    with _opened(place, task) as session:
        try:
            yield session
        except HostError as error:
            raise failure(place, error) from error


def _opened(place: Workplace | Place, task: str) -> contextlib.AbstractContextManager[Conversation]:
    if isinstance(place, Workplace):
        return look.first(place)
    from slipway.target.kubernetes.data import session

    return session.opened(place, task)


def told_before(place: Workplace | Place) -> list[Operation]:
    """Return the operations by which a host learns what is kept; a cluster's pods are given it."""
    if not isinstance(place, Workplace):
        return []
    write = deploy.backup_document(place)
    return [write] if write else []


def name_of(place: Workplace | Place) -> str:
    """Return what the host, or the cluster, is called."""
    return place.env.hosts[0].name if isinstance(place, Workplace) else place.context


def failure(place: Workplace | Place, error: HostError) -> SlipwayError:
    """Return a host's failure as what people understand, with what to type."""
    env = place.env.name
    if error.lease:
        return LeaseHeld(error.what, where=error.where, seen=lease.tell(error.lease), todo="wait for it")
    todo = _advice(env, f"{error.what} {error.seen}")
    kind = BadInput if error.bad_input else SlipwayError
    return kind(error.what, where=error.where, seen=error.seen, serves=error.serves, todo=todo)


def backup(env: str, stack: str | None, only: Sequence[str], *, any_size: bool, yes: bool) -> dict[str, Any]:
    """Back a stack up now.

    Args:
        env: environment.
        stack: stack (None: the first).
        only: services; () is all that it keeps.
        any_size: accept parts that are much smaller than the last ones.
        yes: agree to installing a container engine.

    Returns:
        What the host tells (see `slipway.agent.data.backup.run`).

    Raises:
        SlipwayError: no backup was made; or one was, and a copy of it failed: its id is named.
        LeaseHeld: another one is at work.
        BadInput: settings, `only`, or the repository's password are wrong.
    """
    place = find(env, stack, yes=yes)
    known = {k.service for k in place.stack.kept} | {document.CONFIGURATION}
    unknown = sorted(set(only) - known)
    if unknown:
        raise BadInput(f"nothing is kept of {', '.join(unknown)}", seen=f"kept: {', '.join(sorted(known))}")
    before = told_before(place)
    with warmed(place) as prove:
        with on_host(place, "backup") as session, report.step(f"Back up {place.stack.name}") as step:
            params = {"by": by(), "command": command(), "only": list(only), "any_size": any_size}
            run = Operation("backup.run", "begin", params)
            told = session.perform(place.stack.name, [*before, run], progress=step.say)[-1]
            made = told["set"]
            step.done(f"{made['id']}, {size(made['bytes'])}, {size(made['added'])} new")
        if made["scope"] == "full":
            prove()
    for warning in told["warnings"]:
        report.say(f"! {warning}")
    failed = [c for c in told["copies"] if not c["ok"]]
    if failed:
        raise SlipwayError(
            f"backup {made['id']} was made, but not copied to {', '.join(c['url'] for c in failed)}",
            where=name_of(place),
            seen="\n".join(c["seen"] for c in failed),
            todo=f"inv backup --env {env} copies all that is missing there",
        )
    return dict(told)


def verify_facts(place: Workplace) -> dict[str, Any]:
    """Return what the suite of backups compares the repository with."""
    env, stack = place.env, place.stack
    assert env.backup  # noqa: S101 - validated
    kept = [f"{k.service} ({k.kind})" for k in stack.kept] + [f"{document.CONFIGURATION} (configuration)"]
    told = {
        "host": env.hosts[0].name,
        "kept": kept,
        **env.backup.model_dump(include={"repository", "image", "late_after"}),
    }
    return {"env": env.name, "stack": stack.name, "services": {}, "accessories": {}, "backup": told}


def verify(place: Workplace | Place) -> None:
    """Have the suite of backups look at the host and the repository. Raises SlipwayError where it finds anything."""
    with warmed(place) as prove:
        prove()


@contextlib.contextmanager
def warmed(place: Workplace | Place) -> Iterator[Callable[[], None]]:
    """Yield what does that; its imports and connections are made while the block does something else. On a cluster: nothing."""
    if not isinstance(place, Workplace):
        yield lambda: None
        return
    from slipway.host import verify

    keys = place.access
    with verify.warmed(place.env, "backup", key_file=keys.key_file, known_hosts=keys.known_hosts) as verifier:
        yield lambda: workplace.refuse_findings(place, "backup", verifier.finish(verify_facts(place)))


def listed(env: str, stack: str | None) -> dict[str, Any]:
    """Return the backups that can be restored, newest first: `{env, stack, sets, half, state}`. Errors as `on_host`'s."""
    place = find(env, stack, secrets=False)
    with on_host(place, "list") as session:
        told = session.perform(place.stack.name, [Operation("backup.list", "list backups")])[0]
    return {"env": env, "stack": place.stack.name, **told}


def check(env: str, stack: str | None, *, read_data: bool) -> dict[str, Any]:
    """Check the repository; with `read_data`, all that is in it. Return `{sets, half}`. Raises where anything is wrong."""
    return _ask(env, stack, "Check the repository", "backup.check", read_data=read_data)


def prune(env: str, stack: str | None) -> dict[str, Any]:
    """Forget what is kept no longer. Return `{pruned, left}`. Errors as `on_host`'s."""
    return _ask(env, stack, "Prune", "backup.prune")


def unlock(env: str, stack: str | None) -> dict[str, Any]:
    """Remove locks of runs that are gone. Return `{removed}`. Errors as `on_host`'s."""
    return _ask(env, stack, "Unlock", "backup.unlock")


def _ask(env: str, stack: str | None, title: str, kind: str, **more: Any) -> dict[str, Any]:
    place = find(env, stack, secrets=False)
    with on_host(place, kind.partition(".")[2]) as session, report.step(title) as step:
        operation = Operation(kind, "begin", {"by": by(), "command": command(), **more})
        return dict(session.perform(place.stack.name, [operation], progress=step.say)[0])


def size(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


def text(found: dict[str, Any]) -> str:
    """Return the list as people read it."""
    if not found["sets"]:
        return f"no backup of {found['stack']} yet"
    rows: list[tuple[str, ...]] = [("id", "at (UTC)", "size", "new", "scope", "release", "what")]
    for one in found["sets"]:
        what = ", ".join(f"{p['service']} ({p['kind']})" for p in one["parts"])
        at = one["time"][:19].replace("T", " ")
        rows.append((one["id"], at, size(one["bytes"]), size(one["added"]), one["scope"], one["release"], what))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    pad: Callable[[tuple[str, ...]], str] = lambda row: "  ".join(  # noqa: E731
        [*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[-1]]
    )
    return "\n".join(pad(row).rstrip() for row in rows)
