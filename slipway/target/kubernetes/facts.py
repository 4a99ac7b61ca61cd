"""What the cluster says is true of a stack, as typed answers to the planner's questions. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from slipway.target.kubernetes.manifests import RELEASE, ROLE, SERVICE

Object = dict[str, Any]

RECORD = "slipway.record"
"""The label of what Slipway itself notes: `release`, `state`, `ledger`."""


@dataclass(frozen=True)
class Facts:
    """What there is in a stack's namespace.

    Args:
        namespace: the Namespace, None where there is none yet.
        objects: all objects with the stack's label, by kind.
        pods: all of them.
        slices: EndpointSlices of the namespace.
        lease: the Lease object.
    """

    namespace: Object | None = None
    objects: Mapping[str, Sequence[Object]] = field(default_factory=dict)
    pods: Sequence[Object] = ()
    slices: Sequence[Object] = ()
    lease: Object | None = None

    @cached_property
    def releases(self) -> dict[str, dict[str, Any]]:
        """What is recorded of each release (see `slipway.target.kubernetes.records.meta`)."""
        found = {}
        for one in self._records("release"):
            meta = json.loads(one["data"]["meta"])
            found[str(meta["id"])] = meta
        return found

    @cached_property
    def state(self) -> dict[str, Any]:
        """The run in hand or the last one (`run`), and the accessories that were applied (`accessories`)."""
        return {k: json.loads(v) for one in self._records("state") for k, v in (one.get("data") or {}).items()}

    @cached_property
    def ledger(self) -> list[dict[str, Any]]:
        """What was done, oldest first."""
        lines = [line for one in self._records("ledger") for line in one["data"].get("ledger", "").splitlines()]
        return [json.loads(line) for line in lines]

    def _records(self, kind: str) -> list[Object]:
        found = self.objects.get("ConfigMap", ())
        return [o for o in found if o["metadata"].get("labels", {}).get(RECORD) == kind]

    @property
    def unfinished(self) -> dict[str, Any] | None:
        """The run that has not said how it ended."""
        run: dict[str, Any] | None = self.state.get("run")
        return run if run and not run.get("ended") else None

    def named(self, kind: str, name: str) -> Object | None:
        """Return an object by its name."""
        return next((o for o in self.objects.get(kind, ()) if o["metadata"]["name"] == name), None)

    def deployments(self, service: str | None = None, release: str | None = None) -> list[Object]:
        """Return Deployments, of a service, of a release."""
        wanted = {k: v for k, v in ((SERVICE, service), (RELEASE, release)) if v}
        found = self.objects.get("Deployment", ())
        return [o for o in found if wanted.items() <= o["metadata"].get("labels", {}).items()]

    def mounted(self, release: str) -> set[str]:
        """Return the Secrets that a release's pods read, as its Deployments say."""
        return {
            v["secret"]["secretName"]
            for d in self.deployments(release=release)
            for v in d["spec"]["template"]["spec"].get("volumes", [])
            if "secret" in v
        }

    def pods_of(self, service: str, release: str | None = None) -> list[Object]:
        """Return a service's pods, of a release, that are not being ended."""
        wanted = {SERVICE: service, **({RELEASE: release} if release else {})}
        return [
            p for p in self.pods
            if wanted.items() <= p["metadata"].get("labels", {}).items() and "deletionTimestamp" not in p["metadata"]
        ]  # fmt: skip

    @cached_property
    def endpoints(self) -> dict[str, dict[str, int]]:
        """How many pods of each release each app's Service sends requests to: ready endpoints, by service and release."""
        pods = {p["metadata"]["name"]: p["metadata"].get("labels", {}) for p in self.pods}
        found: dict[str, dict[str, int]] = {}
        for one in self.slices:
            service = one["metadata"].get("labels", {}).get("kubernetes.io/service-name", "")
            for endpoint in one.get("endpoints") or []:
                labels = pods.get((endpoint.get("targetRef") or {}).get("name", ""), {})
                # "ready: unknown" counts as ready, says the API
                if labels.get(ROLE) == "app" and endpoint.get("conditions", {}).get("ready") is not False:
                    release = labels.get(RELEASE, "")
                    of = found.setdefault(service, {})
                    of[release] = of.get(release, 0) + 1
        return found

    def shares(self) -> dict[str, dict[str, float]]:
        """Return what share of new requests, in percent, each release gets, by service."""
        return {
            service: {r: round(100 * n / sum(of.values()), 1) for r, n in of.items()}
            for service, of in self.endpoints.items()
        }

    def receiving(self) -> set[str]:
        """Return every release that gets requests."""
        return {r for of in self.endpoints.values() for r in of}

    def live(self) -> str | None:
        """Return the release that gets the most requests; among equals the one that was verified.

        Where no pod is ready, the newest verified one that has a Deployment.
        """
        totals: dict[str, float] = {}
        for of in self.shares().values():
            for release, share in of.items():
                totals[release] = totals.get(release, 0) + share

        def rank(release: str) -> tuple[float, bool, float]:
            meta = self.releases.get(release, {})
            return totals.get(release, 0), bool(meta.get("verified")), -float(meta.get("activated_run") or 0)

        known = [r for r in totals if r in self.releases]
        if known:
            return max(known, key=rank)
        there = {d["metadata"]["labels"].get(RELEASE) for d in self.deployments()}
        verified = [m for m in self.releases.values() if m.get("verified") and m["id"] in there]
        return str(max(verified, key=lambda m: m["activated_run"])["id"]) if verified else None

    @property
    def first(self) -> bool:
        """Whether nothing was ever live here; in an outage it was."""
        return self.live() is None and not any(m.get("verified") for m in self.releases.values())

    def least(self, deployment: Object) -> int | None:
        """Return how many pods what scales a Deployment keeps at least; None where nothing scales it."""
        name = deployment["metadata"]["name"]
        scalers = (s["spec"] for s in self.objects.get("HorizontalPodAutoscaler", ()))
        return next((int(s.get("minReplicas", 1)) for s in scalers if s["scaleTargetRef"]["name"] == name), None)

    def is_whole(self, release: str) -> bool:
        """Tell whether a release gets every request of every routed service, and all its pods are ready."""
        meta = self.releases.get(release)
        if not meta:
            return False
        for name, service in meta["services"].items():
            found = self.deployments(name, release)
            if len(found) != 1:
                return False
            least = self.least(found[0])
            if not (complete(found[0]) if least is None else enough(found[0], least)):
                return False
            if service["routed"] and self.shares().get(name, {}).get(release) != 100.0:
                return False
        return True

    def rollback_candidates(self) -> list[str]:
        """Return the verified releases that were deployed before the live one, newest first."""
        live = self.live()
        before = self.releases.get(live or "", {}).get("activated_run", float("inf"))
        known = {
            r: m["activated_run"] for r, m in self.releases.items() if m.get("verified") and m.get("activated_run")
        }
        return sorted((r for r in known if r != live and known[r] < before), key=lambda r: known[r], reverse=True)


def complete(deployment: Object) -> bool:
    """Tell whether a Deployment's pods are all new and available, as `kubectl rollout status` does."""
    spec, status = deployment["spec"], deployment.get("status", {})
    wanted = spec.get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 1)
        and status.get("updatedReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
    )


def enough(deployment: Object, least: int) -> bool:
    """Tell whether a Deployment that is scaled has enough pods, all of them new: more may be on their way."""
    status = deployment.get("status", {})
    return bool(
        status.get("updatedReplicas", 0) == status.get("replicas", 0) and status.get("availableReplicas", 0) >= least
    )


def ready(pod: Object) -> bool:
    """Tell whether a pod is ready."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", []))
