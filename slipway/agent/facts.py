"""What is true on a host now, in one answer: the planner decides on this and nothing else."""

from __future__ import annotations

from typing import Any

from . import balancer, door, engine, reap, router
from .lease import Lease
from .logs import bound
from .state import HOME, StackHome, read_json, read_lines


def about(home: StackHome) -> dict[str, Any]:
    """Return what is to be known of a host before a run begins there."""
    return {"provisioned": read_json(HOME / "provisioned.json"), "fence": home.fence()}


def of(home: StackHome, challenge: str, secrets: list[str]) -> dict[str, Any]:
    """Return the facts of one stack on this host.

    Args:
        home: the stack's folder.
        challenge: a random word; secret values are told as HMAC-SHA256 keyed with it, so the controller can compare them with its
            own and nobody can look them up.
        secrets: unused names are left out; only these are told.
    """
    found = [c for c in engine.containers(slipway_stack=home.stack) if engine.TASK not in c["Config"]["Labels"]]
    return {
        **about(home),
        "releases": {
            r: {**home.meta(r), "secrets": _secrets(home, r, found, challenge, secrets)} for r in home.known()
        },
        "containers": [_brief(c) for c in found],
        "accessories": read_json(home.accessories / "applied.json"),
        "router": _router(home),
        "environment": home.environment(),
        "schema": read_json(home.schema),
        "unfinished": home.unfinished(),
        "leftovers": reap.leftovers(home, found),
        "ledger": read_lines(home.ledger)[-200:],
        "lease": Lease(home.stack).holder(),
        "frozen": Lease(home.stack).frozen(),
        "backup": _backup(home),
        "disk": bound.told(),
    }


def _router(home: StackHome) -> dict[str, Any]:
    """Return what the router does; where it does not answer, `weights` are those that it will load."""
    alive = balancer.answers()
    rows = [r for r in (router.servers() if alive else router.configured()) if r["stack"] == home.stack]
    releases = sorted({r["release"] for r in rows})
    return {
        "answers": alive,
        "ports": door.ports(),
        "others": [
            {k: other[k] for k in ("stack", "port", "domain")}
            for other in router.all_wanted()
            if other["stack"] != home.stack
        ],
        "shares": router.shares_of(rows) if alive else {},
        "weights": router.weights_of(rows),
        "open": {r: router.open_requests(home.stack, r) for r in releases} if alive else {},
    }


def _secrets(
    home: StackHome, release: str, containers: list[dict[str, Any]], challenge: str, names: list[str]
) -> dict[str, str]:
    """Return a release's secrets; "" for a file that is newer than a container which runs: that one still has the old value."""
    mine = [c for c in containers if c["Config"]["Labels"].get("slipway.release") == release and c["State"]["Running"]]
    since = min([engine.moment(c["State"]["StartedAt"]) for c in mine], default=float("inf"))
    files = [path for n in names if (path := home.release(release) / "secrets" / n).exists()]
    # Whole seconds, rounded down: one more.
    return {p.name: mac(challenge, p.read_bytes().decode()) if p.stat().st_mtime < since + 1 else "" for p in files}


def mac(challenge: str, value: str) -> str:
    """Return how a secret's value is told."""
    import hashlib
    import hmac

    return hmac.new(challenge.encode(), value.encode(), hashlib.sha256).hexdigest()


def _backup(home: StackHome) -> dict[str, Any] | None:
    if not (home.path / "backup" / "document.json").exists():
        return None
    from .data import glance

    return glance.state(home)


def _brief(container: dict[str, Any]) -> dict[str, Any]:
    labels = container["Config"]["Labels"]
    return {
        "name": container["Name"].lstrip("/"),
        "service": labels.get("slipway.service", ""),
        "release": labels.get("slipway.release", ""),
        "role": labels.get("slipway.role", ""),
        "image": container["Config"]["Image"],
        "state": container["State"]["Status"],
        "health": (container["State"].get("Health") or {}).get("Status", "none"),
        "restarts": container["RestartCount"],
        "exit_code": container["State"]["ExitCode"],
    }
