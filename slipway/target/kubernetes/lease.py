"""The lease of a stack on a cluster: a Lease object that its holder renews each second.

Whoever finds one that is not renewed any more waits until it has lapsed by his own clock, and takes it. The API server lets one of
several in: a change names the version that it changes. How often it changed hands is the run's fencing number.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from slipway.errors import LeaseHeld, SlipwayError
from slipway.target.kubernetes.cluster import MANAGER, Cluster
from slipway.target.kubernetes.kinds import LEASE
from slipway.target.kubernetes.manifests import MANAGED, STACK
from slipway.target.kubernetes.transport import ApiError

LASTS = 10.0
"""Seconds after its last renewal for which a lease holds."""
EVERY = 1.0
"""Seconds between renewals."""
_LOOK_FOR = 2.5
"""Seconds within which a living holder shows that he lives."""

FROZEN, HOLDER = "slipway.frozen", "slipway.holder"
_FREE = ("", None)


class Lost(SlipwayError):
    """Somebody else has the lease by now, or the cluster was away for longer than it lasts."""


def name(stack: str) -> str:
    """Return the Lease's name."""
    return f"slipway-{stack}"


def holder_of(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return who has a Lease, as `lock.show` tells; None where nobody has, or had it too long ago."""
    if not found or found["spec"].get("holderIdentity") in _FREE:
        return None
    age = (datetime.now(UTC) - _moment(found["spec"].get("renewTime"))).total_seconds()
    if age > 6 * LASTS:  # clocks differ; so much they do not
        return None
    told = json.loads(found["metadata"].get("annotations", {}).get(HOLDER, "{}"))
    return {**told, "fence": int(found["spec"].get("leaseTransitions") or 0)}


def frozen_by(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return who froze deploys."""
    text = (found or {}).get("metadata", {}).get("annotations", {}).get(FROZEN)
    return json.loads(text) if text else None


def tell(who: Mapping[str, Any]) -> str:
    """Return words for who holds a lease, or froze deploys."""
    words = f"{who.get('by', 'somebody')}, since {who.get('since', 'an unknown time')}"
    return f"{words}: {who.get('command') or who.get('message', '')}"


def _moment(text: str | None) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else datetime.fromtimestamp(0, UTC)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Held:
    """A lease that this process has and renews; `renewed`: since when, by the monotonic clock."""

    def __init__(self, cluster: Cluster, namespace: str, stack: str, identity: str, fence: int, renewed: float) -> None:
        self.fence = fence
        self._cluster, self._path, self._identity = cluster, LEASE.path(namespace, name(stack)), identity
        self._renewed, self._lost = renewed, ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise Lost where the lease may not be ours any more: nothing is changed then."""
        while not self._lost and time.monotonic() - self._renewed > LASTS * 0.7:
            self._renew()  # this process was stopped for a while, or the cluster was away
        if self._lost:
            raise Lost(f"this run lost its lease: {self._lost}", todo="see who has it: inv lock.show")

    def release(self) -> None:
        """Give it back."""
        self._over.set()
        self._thread.join(5)
        if not self._lost:
            with contextlib.suppress(SlipwayError):
                found = self._cluster.get(self._path)
                if found["spec"].get("holderIdentity") == self._identity:
                    found["spec"]["holderIdentity"] = ""
                    self._cluster.request("PUT", self._path, found, fieldManager=MANAGER)

    def _go_on(self) -> None:
        while not self._over.wait(EVERY) and not self._lost:
            with contextlib.suppress(SlipwayError):
                self._renew(patience=0.0)

    def _renew(self, patience: float | None = None) -> None:
        found = self._cluster.get(self._path, patience=patience)
        if found["spec"].get("holderIdentity") != self._identity:
            told = holder_of(found) or {}
            self._lost = f"{told.get('by', 'somebody')} has it: {told.get('command', '')}"
            return
        began, found["spec"]["renewTime"] = time.monotonic(), _now()
        try:
            self._cluster.request("PUT", self._path, found, patience=0.0, fieldManager=MANAGER)
            self._renewed = began
        except ApiError as error:
            if error.code != 409:  # a conflict: somebody wrote meanwhile, it is looked at again
                raise


@contextlib.contextmanager
def held(
    cluster: Cluster,
    namespace: str,
    stack: str,
    holder: Mapping[str, Any],
    *,
    env: str,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Held]:
    """Hold a stack's lease during the block.

    Args:
        cluster: where.
        namespace: the stack's; it exists.
        stack: whose lease.
        holder: who we are: `by`, `command`, `machine`.
        env: the environment, for messages.
        say: told that a dead holder's lease is waited for.

    Raises:
        LeaseHeld: a living holder has it, or deploys are frozen.
    """
    taken = _take(cluster, namespace, stack, holder, env, say)
    cluster.may_change = taken.check
    try:
        yield taken
    finally:
        taken.release()


def _take(
    cluster: Cluster, namespace: str, stack: str, holder: Mapping[str, Any], env: str, say: Callable[[str], None]
) -> Held:
    path, identity = LEASE.path(namespace, name(stack)), f"{os.uname().nodename}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    while True:
        found = cluster.find(path)
        if found and (frozen := frozen_by(found)):
            words = tell(frozen)
            todo = f"ask them; inv lock.release --env {env} ends the freeze"
            raise LeaseHeld("deploys are frozen", where=f"{stack} in {env}", seen=words, todo=todo)
        if found and found["spec"].get("holderIdentity") not in _FREE:
            _wait_for_the_dead(cluster, path, found, stack, env, say)
        began = time.monotonic()
        told = {**holder, "since": _now()[:19] + "Z"}
        try:
            made = _write(cluster, path, found, namespace, stack, identity, told)
        except ApiError as error:
            if error.code == 409:
                continue  # somebody was faster
            raise
        return Held(cluster, namespace, stack, identity, int(made["spec"]["leaseTransitions"]), began)


def _write(
    cluster: Cluster, path: str, found: dict[str, Any] | None, namespace: str, stack: str, identity: str, told: Any
) -> dict[str, Any]:
    base = found or {
        "apiVersion": LEASE.api,
        "kind": "Lease",
        "metadata": {"name": name(stack), "namespace": namespace, "labels": {MANAGED: "slipway", STACK: stack}},
        "spec": {"leaseTransitions": 0},
    }
    now = _now()
    base["metadata"]["annotations"] = {**base["metadata"].get("annotations", {}), HOLDER: json.dumps(told)}
    base["spec"] |= {
        "holderIdentity": identity, "leaseDurationSeconds": int(LASTS), "acquireTime": now, "renewTime": now,
        "leaseTransitions": int(base["spec"].get("leaseTransitions") or 0) + 1,
    }  # fmt: skip
    if found:
        return cluster.request("PUT", path, base, fieldManager=MANAGER, what=f"lease {name(stack)}")
    return cluster.request("POST", LEASE.path(namespace), base, fieldManager=MANAGER, what=f"lease {name(stack)}")


def _wait_for_the_dead(
    cluster: Cluster, path: str, found: dict[str, Any], stack: str, env: str, say: Callable[[str], None]
) -> None:
    """Return once a lease has lapsed. Raise LeaseHeld as soon as its holder shows that he lives.

    However old it says that it is: only what is seen here counts, since clocks differ.
    """
    seen, began, told = found["spec"].get("renewTime"), time.monotonic(), False
    while time.monotonic() - began < LASTS:
        time.sleep(0.2)
        now = cluster.find(path)
        if now is None or now["spec"].get("holderIdentity") in _FREE:
            return
        if now["spec"].get("renewTime") != seen:
            raise LeaseHeld(
                f"{stack} in {env} is being changed by somebody else", where=f"{stack} in {env}", seen=tell(holder_of(now) or {}),
                todo="wait for it, or ask them",
            )  # fmt: skip
        if not told and time.monotonic() - began > _LOOK_FOR:
            told = True
            say("waiting for the lease of a run that is gone to lapse")


def freeze(cluster: Cluster, namespace: str, stack: str, by: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Freeze deploys, or (None) end that; return who had frozen them before.

    Raises:
        LeaseHeld: somebody else froze them already.
    """
    path = LEASE.path(namespace, name(stack))
    found = cluster.find(path)
    before = frozen_by(found)
    if by and before and before.get("by") != by.get("by"):
        raise LeaseHeld("deploys are frozen already", where=stack, seen=tell(before), todo="ask them")
    text = json.dumps({**by, "since": _now()[:19] + "Z"}) if by else None
    if found is None:
        base = {
            "apiVersion": LEASE.api, "kind": "Lease", "spec": {"leaseTransitions": 0},
            "metadata": {"name": name(stack), "namespace": namespace, "labels": {MANAGED: "slipway", STACK: stack}},
        }  # fmt: skip
        cluster.request("POST", LEASE.path(namespace), base, fieldManager=MANAGER)
    patch = {"metadata": {"annotations": {FROZEN: text}}}
    cluster.request("PATCH", path, patch, kind="application/merge-patch+json", fieldManager=MANAGER)
    return before
