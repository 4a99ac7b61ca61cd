"""The operations that a plan is made of, as a host performs them. Each can be done twice and stop anywhere."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import engine, facts, gate, reap, router, smoke, start
from .failure import OperationFailed
from .lease import Lease
from .state import HOME, StackHome, append_line, now, read_json, read_lines, remove, write, write_json, write_secrets

Result = dict[str, Any]
_KINDS: dict[str, Callable[..., Result]] = {}


def operation(kind: str) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Register a function as the operation `kind`: it gets the context, the stack's home and the operation's parameters."""

    def register(function: Callable[..., Result]) -> Callable[..., Result]:
        _KINDS[kind] = function
        return function

    return register


class Context:
    """What operations share during one session."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._head: Result = {}
        self.lease: Lease | None = None
        self._locked = contextlib.ExitStack()
        self.run: Result | None = None

    def progress(self, words: str) -> None:
        """Tell the controller what is being done."""
        self._session.send({**self._head, "event": "progress", "words": words})

    def beat(self) -> None:
        """Pass on the controller's sign of life."""
        if self.lease:
            self.lease.beat()

    def begin(self, home: StackHome, run: Result) -> None:
        """Begin a run: from here on this host's timer keeps its hands off the stack, and the journal is written."""
        if not self._locked.enter_context(home.exclusive(wait=40)):
            raise OperationFailed(
                "another run is at work on this host", str(read_json(home.path / "holder.json") or "")
            )
        self.run = run
        home.journal.unlink(missing_ok=True)
        append_line(home.journal, {"event": "run.begin", "at": now(), **run})

    def end(self, home: StackHome, outcome: str) -> None:
        """End the run."""
        append_line(home.journal, {"event": "run.end", "at": now(), "outcome": outcome})
        self.run = None
        self._locked.close()

    def perform(self, stack: str, fence: int | None, wanted: Result, head: Result) -> Result:
        """Do one operation, if this run has not been superseded."""
        self._head = head
        parameters = {k: v for k, v in wanted.items() if k != "kind"}
        home = StackHome(stack)
        if fence is not None:
            home.raise_fence(fence)
        if self.run is None:
            return _KINDS[wanted["kind"]](self, home, **parameters)
        line = {"kind": wanted["kind"], "fence": fence, "release": parameters.get("release")}
        append_line(home.journal, {"event": "begin", "at": now(), **line})
        result = _KINDS[wanted["kind"]](self, home, **parameters)
        if self.run is not None:  # run.end has the last word
            append_line(home.journal, {"event": "done", "at": now(), **line})
        return result


@operation("facts")
def _facts(_: Context, home: StackHome, challenge: str, secrets: list[str]) -> Result:
    return facts.of(home, challenge, secrets)


@operation("lease.take")
def _take(context: Context, home: StackHome, holder: Result) -> Result:
    context.lease = Lease(home.stack)
    return context.lease.take(holder)


@operation("lease.show")
def _show(_: Context, home: StackHome) -> Result:
    return {"holder": Lease(home.stack).holder(), "frozen": read_json(home.path / "freeze.json")}


@operation("lease.freeze")
def _freeze(_: Context, home: StackHome, holder: Result | None) -> Result:
    return Lease(home.stack).freeze(holder)


@operation("run.begin")
def _begin(context: Context, home: StackHome, run: Result) -> Result:
    context.begin(home, run)
    return {}


@operation("run.end")
def _end(context: Context, home: StackHome, outcome: str) -> Result:
    context.end(home, outcome)
    # What is left to do is this host's own affair: old releases drain and stop after the deploy has returned.
    pyz = HOME / "agent" / "current.pyz"
    log = (HOME / "agent" / "reap.log").open("a")
    subprocess.Popen(
        [sys.executable, str(pyz), "reap"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )
    return {}


@operation("stack.tidy")
def _tidy(_: Context, home: StackHome, keep: str) -> Result:
    """Remove what killed runs left: releases that never went live, containers of releases that are gone, jobs."""
    return {"removed": reap.remove_leftovers(home, keep)}


@operation("release.write")
def _write(_: Context, home: StackHome, release: str, compose: str, meta: Result, secrets: Result) -> Result:
    folder = home.release(release)
    changed = write_secrets(folder / "secrets", secrets)
    write(folder / "compose.yaml", compose)
    home.note(release, **meta)
    project, file = f"{home.stack}-{release}", folder / "compose.yaml"
    code, _out, err = engine.compose(project, file, "config", "--quiet")
    if code != 0:
        if not engine.of_release(home.stack, release):
            remove(folder)
        raise OperationFailed("docker compose refuses the stack file", err.strip(), bad_input=True)
    return {"secrets_changed": changed}


@operation("secrets.rotate")
def _rotate(_: Context, home: StackHome, release: str, secrets: Result) -> Result:
    folder = home.release(release) / "secrets"
    kept = {p.name for p in folder.iterdir()} - set(secrets)
    return {"changed": write_secrets(folder, secrets, keep=kept)}


@operation("images.pull")
def _pull(context: Context, _: StackHome, images: list[str], auth: dict[str, str] | None) -> Result:
    missing = [i for i in images if not engine.has_image(i)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda i: engine.pull(i, auth, context.progress), missing))
    return {"pulled": missing}


@operation("router.ensure")
def _router(_: Context, home: StackHome, image: str, port: int) -> Result:
    made = router.ensure(image, port)
    router.connect(home.stack)
    return {"made": made}


@operation("router.apply")
def _apply(_: Context, home: StackHome, wanted: Result, activate: bool = False) -> Result:
    got = router.apply(wanted)
    live = {r["id"] for r in wanted["releases"] if any(r["weights"].values())}
    for release in home.known():
        meta = home.meta(release)
        served = meta.get("live_since") and not meta.get("deactivated_at")
        if release in live and not served:
            home.note(release, live_since=now(), deactivated_at=None)
        if release in live and activate and release == wanted["releases"][-1]["id"]:
            home.note(release, activated_at=now())
        if release not in live and served:
            home.note(release, deactivated_at=now())
    return {"shares": got}


@operation("accessories.apply")
def _accessories(
    context: Context, home: StackHome, compose: str, digest: str, secrets: Result, services: list[Result]
) -> Result:
    folder = home.accessories
    write_secrets(folder / "secrets", secrets)
    write(folder / "compose.yaml", compose)
    project = f"{home.stack}-accessories"
    what = "the accessories did not start"
    engine.compose_or_fail(what, project, folder / "compose.yaml", "up", "-d", "--remove-orphans", "--pull", "never")
    look = functools.partial(engine.containers, slipway_stack=home.stack, slipway_role="accessory")
    took = gate.await_healthy(look, services, context.progress)
    write_json(folder / "applied.json", {"digest": digest, "at": now()})
    return {"healthy_after": took}


@operation("release.run")
def _run_job(_: Context, home: StackHome, release: str, service: str, command: list[str], what: str) -> Result:
    file = home.release(release) / "compose.yaml"
    project = f"{home.stack}-{release}"
    argv = ["run", "--rm", "--no-deps", "-T", "--name", f"{project}-job", service, *command]
    code, out, err = engine.compose(project, file, *argv)
    if code != 0:
        lines = (out + err).strip().splitlines()
        raise OperationFailed(what, "\n".join(lines[-20:]) + f"\n(exit code {code})", service=service)
    return {"lines": [line for line in out.splitlines() if line.strip()]}


@operation("release.migrate")
def _migrate(
    context: Context, home: StackHome, release: str, service: str, pending: list[str], command: list[str]
) -> Result:
    """Bring the database to what the release's image expects, before the release takes traffic."""
    image = engine.api("GET", f"/images/{home.meta(release)['images'][service]}/json") or {"Config": {}}
    expected = (image["Config"].get("Labels") or {}).get("slipway.migrations", "")
    record = home.path / "migrated.json"
    if expected and (read_json(record) or {}).get("migrations") == expected:
        return {"ran": []}  # this very set of migrations was applied and checked before
    run: dict[str, Any] = {"_": context, "home": home, "release": release, "service": service}
    waiting = _run_job(**run, command=pending, what="the waiting migrations could not be listed")["lines"]
    if waiting:
        context.progress(f"{len(waiting)} migrations: {', '.join(waiting)}")
        _run_job(**run, command=command, what="a migration failed")
        left = _run_job(**run, command=pending, what="the waiting migrations could not be listed")["lines"]
        if left:
            raise OperationFailed("the migrations ran but some still wait", "\n".join(left), service=service)
    write_json(record, {"migrations": expected, "release": release, "at": now()})
    return {"ran": waiting}


@operation("release.drain")
def _drain(context: Context, home: StackHome, release: str, limit: float) -> Result:
    """Wait until an old release has no open requests, or its limit (seconds since it lost its traffic) is over; then stop it."""
    while (left := reap.drains_for(home, release, limit)) > 0:
        context.progress(
            f"{release} still answers {router.open_requests(home.stack, release)} requests, {left:.0f} s at most"
        )
        time.sleep(0.5)
    home.note(release, stopped_at=now())
    reap.stop(home, release)
    return {}


@operation("volumes.ensure")
def _volumes(_: Context, home: StackHome, names: list[str]) -> Result:
    for name in names:
        engine.api("POST", "/volumes/create", {"Name": name, "Labels": {"slipway.stack": home.stack}})
    return {}


@operation("release.up")
def _up(context: Context, home: StackHome, release: str, services: list[Result], recreate: bool = False) -> Result:
    start.bring_up(home, release, services, recreate=recreate)
    return {
        "healthy_after": gate.await_healthy(lambda: engine.of_release(home.stack, release), services, context.progress)
    }


@operation("release.watch")
def _watch(context: Context, home: StackHome, release: str, services: list[Result], seconds: float) -> Result:
    """Watch a release for a while after the switch: it must stay as healthy as the gate found it."""
    until, restarts = time.monotonic() + seconds, dict[str, int]()
    while (left := until - time.monotonic()) > 0:
        context.progress(f"{left:.0f} s left")
        impatient = [{**s, "start_within": 3.0} for s in services]
        gate.await_healthy(lambda: engine.of_release(home.stack, release), impatient, lambda _: None, restarts)
        time.sleep(min(0.5, max(0.0, left)))
    return {}


@operation("smoke.run")
def _smoke(_: Context, __: StackHome, tests: list[Result], port: int, domain: str | None, release: str) -> Result:
    return {"passed": smoke.run(tests, port, domain, release)}


@operation("services.stop")
def _stop(_: Context, home: StackHome, release: str, services: list[str]) -> Result:
    """Tell services without a route to end; they finish what they have in hand, after the deploy has returned."""
    return {"stopped": start.tell_to_end(home, release, services)}


@operation("release.remove")
def _remove(_: Context, home: StackHome, release: str) -> Result:
    reap.remove_release(home, release)
    return {}


@operation("release.note")
def _note(_: Context, home: StackHome, release: str, facts: Result) -> Result:
    home.note(release, **facts)
    return {}


@operation("policy.write")
def _policy(_: Context, home: StackHome, policy: Result) -> Result:
    write_json(home.policy, policy)
    return {}


@operation("ledger.add")
def _ledger(_: Context, home: StackHome, entry: Result) -> Result:
    append_line(home.ledger, {"at": now(), **entry})
    return {}


@operation("ledger.read")
def _read_ledger(_: Context, home: StackHome) -> Result:
    return {"entries": read_lines(home.ledger)}


@operation("host.check")
def _check(_: Context, __: StackHome, disk_mb: int) -> Result:
    free = os.statvfs(HOME).f_bavail * os.statvfs(HOME).f_frsize / 1e6
    if free < disk_mb:
        raise OperationFailed(f"only {free:.0f} MB of disk are free, {disk_mb} MB are needed", str(HOME))
    return {"free_mb": int(free)}
