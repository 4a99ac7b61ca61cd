"""Tidying: old releases stop once nobody waits for an answer of theirs, and go once enough newer ones are kept.

Run by the host's own timer and at the end of each run, on the host, with nobody's machine up. It never touches what the router
sends traffic to, and does nothing at all where the router does not answer.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Set
from datetime import datetime
from typing import Any

from . import beside, engine, proxy, router, start
from .failure import OperationFailed
from .logs import bound
from .logs.keep import logs_of_removed
from .state import HOME, StackHome, now, read_json, remove

LOG = HOME / "agent" / "reap.log"
"""What the tidying after a run has to say; the timer's is in the host's journal. The host rotates it."""


def reap_all() -> None:
    """Tidy every stack of this host; what goes wrong with one is logged and keeps nobody from the others."""
    drills = set((HOME / "stacks").glob("*/drill"))
    if drills:  # it imports this module, and much that few minutes need; and it does so before another agent takes this one's place
        from .data import drill
    for folder in sorted((HOME / "stacks").glob("*")):
        try:
            if folder / "drill" in drills:
                drill.sweep(StackHome(folder.name))
            reap(StackHome(folder.name))
        except Exception:
            print(now(), folder.name, _trace(), file=sys.stderr)
    try:
        bound.bound()
    except Exception:
        print(now(), _trace(), file=sys.stderr)


def _trace() -> str:
    import traceback

    return traceback.format_exc(limit=-3)


def reap(home: StackHome, wait: float = 60.0) -> None:
    """Tidy one stack, unless a run is at work on it; wait up to so many seconds for what it told to end, to remove it then."""
    until = time.monotonic() + wait
    while _look(home) and time.monotonic() < until:
        time.sleep(1)


def _look(home: StackHome) -> bool:
    """Tell what is due to stop to do so, and remove what is kept no longer and has stopped. Return whether anything still ends.

    All of it under the lock, and nothing of it waits: a run that comes next finds no decision that is not carried out.
    """
    policy = read_json(home.policy)
    with home.exclusive(wait=0) as mine:
        if not mine or not policy:
            return False
        with router.alone():
            proxy.settle()
        live = {r for of in router.shares(home.stack).values() for r, share in of.items() if share}
        if not live:
            return False
        note_what_lost_its_traffic(home)
        for release in home.known():
            start.end_overdue(home, release)
            if release not in live and _may_stop(home, release, policy):
                home.note(release, stopped_at=home.meta(release).get("stopped_at") or now())
                router.retire(home.stack, release)
                start.tell_to_end(home, release)
        _prune(home, policy, live)
        return any(home.meta(r).get("stopped_at") and _runs(home, r) for r in home.known())


def note_what_lost_its_traffic(home: StackHome) -> None:
    """Note for each release that had traffic and has none any more when that was noticed; a killed run could not."""
    gets = router.sends_to(home.stack)
    run = home.fence()
    for release in home.known():
        meta = home.meta(release)
        if meta.get("live_since") and not meta.get("deactivated_at") and release not in gets:
            home.note(release, deactivated_at=now(), deactivated_run=run)


def predecessor(home: StackHome) -> str | None:
    """Return the release that a rollback would go to: the verified one that was live last."""
    once = [
        (m.get("deactivated_run") or 0, m["deactivated_at"], r)
        for r in home.known()
        if (m := home.meta(r)).get("deactivated_at") and m.get("verified")
    ]
    return max(once)[-1] if once else None


def _age(at: str) -> float:
    return time.time() - datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp()


def _may_stop(home: StackHome, release: str, policy: dict[str, Any]) -> bool:
    meta = home.meta(release)
    if not meta.get("deactivated_at"):
        return False  # never live: a run is about to use it
    if meta.get("stopped_at"):
        return True  # whoever was to stop it may not have come to it
    warm = release == predecessor(home) and _age(meta["deactivated_at"]) < policy["keep_warm"]
    return not (warm or drains_for(home, release))


def drains_for(home: StackHome, release: str, limit: float | None = None) -> float:
    """Return for how many seconds an old release may still answer what it has begun: 0 where nothing is open any more.

    Args:
        home: the stack's folder.
        release: the release.
        limit: seconds since it lost its traffic (default: its own).
    """
    if not router.open_requests(home.stack, release):
        return 0.0
    meta = home.meta(release)
    most = float(meta.get("drain", 0.0)) if limit is None else limit
    return max(0.0, most - _age(meta.get("deactivated_at") or now()))


def stop(home: StackHome, release: str, *, cut: bool = False) -> None:
    """Stop a release's containers side by side, each with its own grace period; `cut`: what has a route within a second.

    Raises:
        OperationFailed: the router sends traffic to it.
    """
    if release in router.sends_to(home.stack):
        raise OperationFailed(f"release {release} serves traffic and was not stopped")
    home.note(release, stopped_at=now())
    router.retire(home.stack, release)
    services = home.meta(release).get("services", {})

    def one(container: dict[str, Any]) -> None:
        routed = services.get(container["Config"]["Labels"].get("slipway.service"), {}).get("routed")
        start.stop(container, within=1 if cut and routed else None)

    beside.each(one, engine.containers(slipway_stack=home.stack, slipway_release=release))


def _prune(home: StackHome, policy: dict[str, Any], live: set[str]) -> None:
    verified = [r for r in home.known() if home.meta(r).get("verified")]
    newest = sorted(verified, key=home.activated, reverse=True)
    kept = {*newest[: policy["keep_releases"]], *live, predecessor(home)}
    for release in home.known():
        meta = home.meta(release)
        # One that is stopping finishes what it has in hand; removing it would kill it.
        stopped = release not in live and meta.get("stopped_at") and not _runs(home, release)
        if stopped and (meta.get("failed") or release not in kept):
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
    found = never_live | {str(r) for r in labelled - set(known)}
    return sorted(found - {keep} - router.sends_to(home.stack)) if found else []


def remove_leftovers(home: StackHome, keep: str) -> list[str]:
    """Remove them, and the containers of jobs whose run is gone. Return what was removed."""
    containers = engine.containers(slipway_stack=home.stack)
    found = leftovers(home, containers, keep)
    for release in found:
        remove_release(home, release)
    for folder in home.releases.iterdir() if home.releases.is_dir() else ():
        if folder.name not in home.known():  # a run was killed before it had written what the release is
            remove(folder)
    jobs = [c for c in containers if c["Config"]["Labels"].get("com.docker.compose.oneoff") == "True"]
    with logs_of_removed(jobs):
        for job in jobs:
            engine.api("DELETE", f"/containers/{job['Id']}", force="true")
    return found + [job["Name"].lstrip("/") for job in jobs]


def remove_release(home: StackHome, release: str) -> None:
    """Remove a release: its containers, networks, folder, and the images that no kept release needs.

    What still runs is told to end first and has its grace period: it may have a job in hand.

    Raises:
        OperationFailed: the router sends traffic to it.
    """
    if release in router.sends_to(home.stack):
        raise OperationFailed(f"release {release} serves traffic and was not removed")
    images = home.meta(release).get("images", {}).values()
    found = engine.containers(slipway_stack=home.stack, slipway_release=release)
    with logs_of_removed(found):
        beside.each(start.stop, found)
        for container in found:
            engine.api("DELETE", f"/containers/{container['Id']}", force="true")
    label = json.dumps({"label": [f"com.docker.compose.project={home.stack}-{release}"]})
    for net in engine.api("GET", "/networks", filters=label):
        engine.api("DELETE", f"/networks/{net['Id']}")
    remove(home.release(release))
    _prune_images(home, {image.partition("@")[0] for image in images})


def _images(home: StackHome) -> set[str]:
    """Return the images that a stack's kept releases need."""
    return {image for r in home.known() for image in home.meta(r).get("images", {}).values()}


def _prune_images(home: StackHome, repositories: Set[str] = frozenset()) -> None:
    repositories = repositories | {image.partition("@")[0] for image in _images(home)}
    # Another stack may use the same image of somebody else's.
    kept = {image for folder in (HOME / "stacks").glob("*") for image in _images(StackHome(folder.name))}
    for image in engine.api("GET", "/images/json", digests="true"):
        mine = [d for d in image.get("RepoDigests") or [] if d.partition("@")[0] in repositories]
        for digest in mine:
            if digest not in kept:
                with contextlib.suppress(OperationFailed):  # in use by a container that is on its way out
                    engine.api("DELETE", f"/images/{digest}")
