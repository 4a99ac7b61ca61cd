"""Tidying: old releases stop once nobody waits for an answer of theirs, and go once enough newer ones are kept.

Run by the host's own timer and at the end of each run, on the host, with nobody's machine up. It never touches what the router
sends traffic to, and does nothing at all where the router does not answer.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Set
from datetime import datetime
from typing import Any

from . import engine, router
from .failure import OperationFailed
from .state import HOME, StackHome, now, read_json, remove


def reap_all() -> None:
    """Tidy every stack of this host."""
    for folder in sorted((HOME / "stacks").glob("*")):
        with contextlib.suppress(OperationFailed):  # the next minute tries again
            reap(StackHome(folder.name))


def reap(home: StackHome) -> None:
    """Tidy one stack, unless a run is at work on it."""
    while stopping := _look(home):
        for release in stopping:  # may take the services' whole grace period: not under the lock
            stop(home, release)


def _look(home: StackHome) -> list[str]:
    """Remove what is kept no longer and has stopped; return the releases that are to stop now."""
    policy = read_json(home.policy)
    with home.exclusive(wait=0) as mine:
        if not mine or not policy:
            return []
        live = {r for shares in router.shares(home.stack).values() for r, share in shares.items() if share}
        if not live:
            return []
        _prune(home, policy, live)
        stopping = [r for r in home.known() if r not in live and _may_stop(home, r, policy)]
        for release in stopping:
            home.note(release, stopped_at=now())
        return stopping


def predecessor(home: StackHome) -> str | None:
    """Return the release that a rollback would go to: the verified one that was live last."""
    once = [
        (m["deactivated_at"], r)
        for r in home.known()
        if (m := home.meta(r)).get("deactivated_at") and m.get("verified")
    ]
    return max(once)[1] if once else None


def _age(at: str) -> float:
    return time.time() - datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp()


def _may_stop(home: StackHome, release: str, policy: dict[str, Any]) -> bool:
    meta = home.meta(release)
    if meta.get("stopped_at") or not meta.get("deactivated_at"):
        return False  # stopped already, or never live: a run is about to use it
    if release == predecessor(home) and _age(meta["deactivated_at"]) < policy["keep_warm"]:
        return False
    return not drains_for(home, release, policy["drain"])


def drains_for(home: StackHome, release: str, limit: float) -> float:
    """Return for how many seconds an old release may still answer what it has begun: 0 where nothing is open any more."""
    if not router.open_requests(home.stack, release):
        return 0.0
    return max(0.0, limit - _age(home.meta(release).get("deactivated_at") or now()))


def stop(home: StackHome, release: str) -> None:
    """Stop a release's containers, each with its own grace period."""
    for container in engine.containers(slipway_stack=home.stack, slipway_release=release):
        if container["State"]["Running"]:
            engine.api("POST", f"/containers/{container['Id']}/stop", timeout=3700)


def _prune(home: StackHome, policy: dict[str, Any], live: set[str]) -> None:
    verified = [r for r in home.known() if home.meta(r).get("verified")]
    newest = sorted(verified, key=lambda r: home.meta(r).get("activated_at") or "", reverse=True)
    kept = {*newest[: policy["keep_releases"]], *live, predecessor(home)}
    for release in home.known():
        meta = home.meta(release)
        failed = meta.get("failed") and release not in live and not drains_for(home, release, policy["drain"])
        # One that is stopping finishes what it has in hand; removing it would kill it.
        stopped = meta.get("stopped_at") and not _runs(home, release)
        if failed or (release not in kept and stopped):
            remove_release(home, release)
    _prune_images(home)


def _runs(home: StackHome, release: str) -> bool:
    found = engine.containers(slipway_stack=home.stack, slipway_release=release)
    return any(container["State"]["Running"] for container in found)


def leftovers(home: StackHome, containers: list[dict[str, Any]], keep: str = "") -> list[str]:
    """Return the releases that only a killed run can have left: never live, or containers without a folder.

    Args:
        home: the stack's folder.
        containers: inspections of all its containers.
        keep: the release that is about to be deployed: what is there of it is of use.
    """
    known = home.known()
    never_live = {r for r in known if not home.meta(r).get("live_since")}
    labelled = {c["Config"]["Labels"].get("slipway.release") for c in containers} - {None}
    found = never_live | (labelled - set(known))
    return sorted(str(r) for r in found if r != keep and not router.sends_to(home.stack, str(r)))


def remove_leftovers(home: StackHome, keep: str) -> list[str]:
    """Remove them, and the containers of jobs whose run is gone. Return what was removed."""
    containers = engine.containers(slipway_stack=home.stack)
    found = leftovers(home, containers, keep)
    for release in found:
        remove_release(home, release)
    jobs = [c for c in containers if c["Config"]["Labels"].get("com.docker.compose.oneoff") == "True"]
    for job in jobs:
        engine.api("DELETE", f"/containers/{job['Id']}", force="true")
    return found + [job["Name"].lstrip("/") for job in jobs]


def remove_release(home: StackHome, release: str) -> None:
    """Remove a release: its containers, networks, folder, and the images that no kept release needs.

    Raises:
        OperationFailed: the router sends traffic to it.
    """
    if router.sends_to(home.stack, release):
        raise OperationFailed(f"release {release} serves traffic and was not removed")
    images = home.meta(release).get("images", {}).values()
    for container in engine.containers(slipway_stack=home.stack, slipway_release=release):
        engine.api("DELETE", f"/containers/{container['Id']}", force="true")
    label = json.dumps({"label": [f"com.docker.compose.project={home.stack}-{release}"]})
    for net in engine.api("GET", "/networks", filters=label):
        engine.api("DELETE", f"/networks/{net['Id']}")
    remove(home.release(release))
    _prune_images(home, {image.partition("@")[0] for image in images})


def _prune_images(home: StackHome, repositories: Set[str] = frozenset()) -> None:
    kept = {image for r in home.known() for image in home.meta(r).get("images", {}).values()}
    repositories = repositories | {image.partition("@")[0] for image in kept}
    for image in engine.api("GET", "/images/json", digests="true"):
        mine = [d for d in image.get("RepoDigests") or [] if d.partition("@")[0] in repositories]
        for digest in mine:
            if digest not in kept:
                with contextlib.suppress(OperationFailed):  # in use by a container that is on its way out
                    engine.api("DELETE", f"/images/{digest}")
