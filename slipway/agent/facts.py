"""What is true on a host now, in one answer: the planner decides on this and nothing else."""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from typing import Any

from . import engine, reap, router
from .failure import OperationFailed
from .lease import Lease
from .state import HOME, StackHome, read_json, read_lines


def of(home: StackHome, challenge: str, secrets: list[str]) -> dict[str, Any]:
    """Return the facts of one stack on this host.

    Args:
        home: the stack's folder.
        challenge: a random word; secret values are told as HMAC-SHA256 keyed with it, so the controller can compare them with its
            own and nobody can look them up.
        secrets: unused names are left out; only these are told.
    """
    found = engine.containers(slipway_stack=home.stack)
    alive = _router_answers()
    return {
        "time": time.time(),
        "engine": engine.api("GET", "/version")["Version"],
        "provisioned": read_json(HOME / "provisioned.json"),
        "disk_free_mb": int(os.statvfs(HOME).f_bavail * os.statvfs(HOME).f_frsize / 1e6),
        "releases": {r: {**home.meta(r), "secrets": _secrets(home, r, challenge, secrets)} for r in home.known()},
        "containers": [_brief(c) for c in found],
        "accessories": read_json(home.accessories / "applied.json"),
        "router": {
            "answers": alive,
            "ports": sorted(router.published(engine.api("GET", f"/containers/{router.CONTAINER}/json"))),
            "wanted": router.wanted(home.stack),
            "shares": router.shares(home.stack) if alive else {},
            "servers": router.servers() if alive else [],
            "open": {r: router.open_requests(home.stack, r) for r in _routed(home)} if alive else {},
        },
        "unfinished": _unfinished(home),
        "leftovers": reap.leftovers(home, found),
        "ledger": read_lines(home.ledger)[-200:],
        "fence": home.fence(),
        "lease": Lease(home.stack).holder(),
        "frozen": read_json(home.path / "freeze.json"),
    }


def _router_answers() -> bool:
    try:
        router.ask("show info")
        return True
    except OperationFailed:
        return False


def _routed(home: StackHome) -> list[str]:
    return [r["id"] for r in (router.wanted(home.stack) or {"releases": []})["releases"]]


def _secrets(home: StackHome, release: str, challenge: str, names: list[str]) -> dict[str, str]:
    folder = home.release(release) / "secrets"
    return {n: mac(challenge, (folder / n).read_text()) for n in names if (folder / n).exists()}


def mac(challenge: str, value: str) -> str:
    """Return how a secret's value is told."""
    return hmac.new(challenge.encode(), value.encode(), hashlib.sha256).hexdigest()


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


def _unfinished(home: StackHome) -> dict[str, Any] | None:
    lines = read_lines(home.journal)
    if not lines or lines[-1]["event"] == "run.end":
        return None
    done = [line for line in lines if line["event"] == "done"]
    return {**lines[0], "last_done": done[-1]["kind"] if done else None, "in_hand": lines[-1].get("kind")}
