"""The health gate: a release takes traffic once all of it is healthy, and not before."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from typing import Any

from . import beside, engine
from .failure import OperationFailed

_POLL = 0.1
_NEW = 30.0
"""Seconds up to which a container counts as new."""


def await_healthy(
    look: Callable[[], list[dict[str, Any]]],
    services: list[dict[str, Any]],
    progress: Callable[[str], None],
    restarts: dict[str, int] | None = None,
) -> dict[str, float]:
    """Wait until every container of `services` is healthy. Return seconds to healthy per service.

    Args:
        look: returns the containers (inspections), those of other services too.
        services: `name`, `replicas`, `start_within` (seconds), `port` and `ready` (HTTP path; None: the container's own health
            check, or, without one, two seconds of running).
        progress: told what is waited for.
        restarts: restarts of each container that are known already, for a gate that is passed again and again.

    Raises:
        OperationFailed: a container ended or restarts (at once), or was not healthy in time; with what it said last.
    """
    begun = time.monotonic()
    known: dict[str, int] = {} if restarts is None else restarts
    took: dict[str, float] = {}
    answers: dict[str, str] = {}
    waiting = {s["name"]: s for s in services}
    while waiting:
        inspected = look()
        for name, service in list(waiting.items()):
            mine = [c for c in inspected if c["Config"]["Labels"].get("slipway.service") == name]
            for container in mine:
                # An old container may have been restarted long ago: what counts is what happens now.
                before = container["RestartCount"] if _age(container["Created"]) > _NEW else 0
                _refuse_dead(container, name, known.setdefault(container["Id"], before))
            if len(mine) >= service["replicas"] and _all_ready(mine, service, answers):
                took[name] = round(time.monotonic() - begun, 2)
                del waiting[name]
            elif time.monotonic() - begun > service["start_within"]:
                raise _never_healthy(name, service, mine, answers)
        if waiting:
            progress("waiting for " + ", ".join(f"{n} ({answers.get(n, 'starting')})" for n in waiting))
            time.sleep(_POLL)
    return took


def _refuse_dead(container: dict[str, Any], service: str, restarts: int) -> None:
    state = container["State"]
    if state["Status"] not in ("exited", "dead", "restarting") and container["RestartCount"] <= restarts:
        return
    if state["OOMKilled"]:
        code = f"killed for want of memory (exit code {state['ExitCode']})"
    elif not state["Running"]:
        code = f"exit code {state['ExitCode']}"
    else:  # started again meanwhile: its state tells of the new process only
        code = f"exit code {engine.last_exit(container['Id'])}, {container['RestartCount']} restarts"
    lines = engine.logs(container["Id"]) or "(it wrote no log)"
    name = container["Name"].lstrip("/")
    raise OperationFailed(f"{service} dies at start", f"{name}: {code}, last log lines:\n{lines}", service=service)


def _all_ready(containers: list[dict[str, Any]], service: dict[str, Any], answers: dict[str, str]) -> bool:
    if service["ready"] is None:
        states = [(c["State"].get("Health") or {}).get("Status") for c in containers]
        pairs = list(zip(states, containers, strict=True))
        answers[service["name"]] = ", ".join(s or c["State"]["Status"] for s, c in pairs)
        return all(s == "healthy" or (s is None and _age(c["State"]["StartedAt"]) > 2) for s, c in pairs)
    results = beside.each(lambda c: _probe(c, service), containers)
    answers[service["name"]] = next((r for r in results if not r.startswith("200")), "200")
    return all(r.startswith("200") for r in results)


def _age(moment: str) -> float:
    """Return the seconds since a moment as the engine writes it."""
    return time.time() - engine.moment(moment)


def address(container: dict[str, Any]) -> str:
    """Return the container's address on a network that this host reaches ("" while it has none)."""
    return next((n["IPAddress"] for n in container["NetworkSettings"]["Networks"].values() if n["IPAddress"]), "")


def _probe(container: dict[str, Any], service: dict[str, Any]) -> str:
    host = address(container)
    if not host:
        return "no address yet"
    connection = http.client.HTTPConnection(host, service["port"], timeout=3)
    try:
        connection.request("GET", service["ready"], headers={"X-Request-ID": "slipway-gate"})
        answer = connection.getresponse()
        body = answer.read(2000).decode(errors="replace").strip()
        return f"{answer.status} {body}" if answer.status != 200 else "200"
    except (OSError, http.client.HTTPException) as error:  # another protocol's port, or one that breaks off
        return f"no answer: {error or type(error).__name__}"
    finally:
        connection.close()


def _never_healthy(
    name: str, service: dict[str, Any], containers: list[dict[str, Any]], answers: dict[str, str]
) -> OperationFailed:
    url = f"GET :{service['port']}{service['ready']}" if service["ready"] else "the container's health check"
    seen = [f"{url} → {answers.get(name, 'no container')}"]
    for container in containers[:1]:
        health = (container["State"].get("Health") or {}).get("Log") or []
        seen += [f"health check: exit code {h['ExitCode']}: {h['Output'].strip()[-300:]}" for h in health[-1:]]
        seen += ["last log lines:", engine.logs(container["Id"])]
    return OperationFailed(
        f"{name} was not healthy within {service['start_within']:g} s", "\n".join(seen), service=name
    )
