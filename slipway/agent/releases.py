"""The operations on one release: written, pulled, migrated, started, watched, ended, removed. Each can be done twice."""

from __future__ import annotations

import json
import math
import time
from typing import Any

from . import beside, engine, gate, reap, router, smoke, start, weight
from .context import Context, Result, operation
from .failure import OperationFailed
from .logs.keep import logs_of_removed
from .state import StackHome, now, read_json, remove, write, write_json, write_secrets

_JOB_ENDS_WITHIN = 6 * 3600.0
"""Seconds: a migration may take hours, and whoever waits for it may interrupt it."""


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
    beside.each(lambda i: engine.pull(i, auth, context.progress), missing, 3)
    return {"pulled": missing}


@operation("release.run")
def run_job(
    _: Context,
    home: StackHome,
    release: str,
    service: str,
    command: list[str],
    what: str,
    environment: dict[str, str] | None = None,
) -> Result:
    """Run a command, or a job's own, once in a new container of a service; `what` is told where it fails."""
    file = home.release(release) / "compose.yaml"
    project = f"{home.stack}-{release}"
    variables = [word for key, value in (environment or {}).items() for word in ("-e", f"{key}={value}")]
    argv = ["run", "--no-deps", "-T", *variables, "--name", f"{project}-job", service, *command]
    try:
        code, out, err = engine.compose(project, file, *argv, timeout=_JOB_ENDS_WITHIN)
    finally:  # by hand, so that its log can be kept
        _remove_job(f"{project}-job")
    if code != 0:
        lines = (out + err).strip().splitlines()
        raise OperationFailed(what, "\n".join(lines[-20:]) + f"\n(exit code {code})", service=service)
    return {"lines": [line for line in out.splitlines() if line.strip()]}


def _remove_job(name: str) -> None:
    found = engine.api("GET", f"/containers/{name}/json")
    with logs_of_removed([found] if found else []):
        engine.api("DELETE", f"/containers/{name}", force="true", v="true")


@operation("release.migrate")
def _migrate(
    context: Context, home: StackHome, release: str, service: str, pending: list[str], command: list[str]
) -> Result:
    """Bring the database to what the release's image expects, before the release takes traffic."""
    expected = engine.label(home.meta(release)["images"][service], "slipway.migrations")
    # A volume that was made anew holds another database than the one that was migrated.
    applied = {"migrations": expected, "volumes": _volumes(home)}
    record = home.path / "migrated.json"
    known = read_json(record) or {}
    if expected and {k: known.get(k) for k in applied} == applied:
        return {"ran": []}  # this very set of migrations was applied and checked before
    run: dict[str, Any] = {"_": context, "home": home, "release": release, "service": service}
    waiting = run_job(**run, command=pending, what="the waiting migrations could not be listed")["lines"]
    if waiting:
        if not context.data:  # a restore has made its own backup
            from .data import backup

            backup.before_migrations(home, context.by, context.progress)
        context.progress(f"{len(waiting)} migrations: {', '.join(waiting)}")
        run_job(**run, command=command, what="a migration failed")
        left = run_job(**run, command=pending, what="the waiting migrations could not be listed")["lines"]
        if left:
            raise OperationFailed("the migrations ran but some still wait", "\n".join(left), service=service)
    write_json(record, {**applied, "release": release, "at": now()})
    return {"ran": waiting}


def _volumes(home: StackHome) -> dict[str, str]:
    label = json.dumps({"label": [f"slipway.stack={home.stack}"]})
    found = engine.api("GET", "/volumes", filters=label)["Volumes"] or []
    return {v["Name"]: v.get("CreatedAt", "") for v in found}


@operation("release.up")
def _up(context: Context, home: StackHome, release: str, services: list[Result], recreate: bool = False) -> Result:
    """Start services with little of the processor until they are healthy, or take long."""
    start.bring_up(home, release, services, recreate=recreate)
    names = [s["name"] for s in services]
    patience = time.monotonic() + min(s["start_within"] for s in services) / 4

    def look() -> list[Result]:
        nonlocal patience
        found = engine.of_release(home.stack, release, *names)
        if time.monotonic() > patience:
            patience = math.inf
            weight.usual(found)
        return found

    healthy = gate.await_healthy(look, services, context.progress)
    weight.usual(engine.of_release(home.stack, release, *names))
    return {"healthy_after": healthy}


@operation("release.watch")
def _watch(context: Context, home: StackHome, release: str, services: list[Result], seconds: float) -> Result:
    """Watch a release for a while after the switch: it must stay as healthy as the gate found it."""
    until, restarts, names = time.monotonic() + seconds, dict[str, int](), {s["name"] for s in services}
    while (left := until - time.monotonic()) > 0:
        context.progress(f"{left:.0f} s left")
        impatient = [{**s, "start_within": 3.0} for s in services]
        gate.await_healthy(lambda: engine.of_release(home.stack, release, *names), impatient, lambda _: None, restarts)
        time.sleep(min(0.5, max(0.0, left)))
    return {}


@operation("smoke.run")
def _smoke(_: Context, __: StackHome, tests: list[Result], port: int, domain: str | None, release: str) -> Result:
    return {"passed": smoke.run(tests, port, domain, release)}


@operation("release.drain")
def _drain(context: Context, home: StackHome, release: str, limit: float) -> Result:
    """Wait until an old release has no open requests, or its limit (seconds since it lost its traffic) is over; then stop it.

    With a limit of 0 its requests are cut: what answers them is given a second.
    """
    if release in router.sends_to(home.stack):
        return {}  # it got traffic again
    while (left := reap.drains_for(home, release, limit)) > 0:
        still = router.open_requests(home.stack, release)
        context.progress(f"{release} still answers {still} requests, {left:.0f} s at most")
        time.sleep(0.5)
    reap.stop(home, release, cut=not limit)
    return {}


@operation("services.stop")
def _stop(_: Context, home: StackHome, release: str, services: list[str]) -> Result:
    """Tell services without a route to end; they finish what they have in hand, after the deploy has returned."""
    return {"stopped": start.tell_to_end(home, release, services)}


@operation("release.rest")
def _rest(_: Context, home: StackHome, release: str) -> Result:
    """Stop a release that is kept and gets no traffic: a run started it again, and failed."""
    if release not in router.sends_to(home.stack):
        reap.stop(home, release)
    return {}


@operation("release.remove")
def _remove(_: Context, home: StackHome, release: str) -> Result:
    reap.remove_release(home, release)
    return {}


@operation("release.note")
def _note(_: Context, home: StackHome, release: str, facts: Result) -> Result:
    home.note(release, **facts)
    return {}
