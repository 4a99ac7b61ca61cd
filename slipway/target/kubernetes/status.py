"""`status` and `release.list` on a cluster: the same documents as of hosts. Hosts are nodes, services pods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipway.errors import SlipwayError
from slipway.target.kubernetes import explain, lease, workplace
from slipway.target.kubernetes.cluster import Cluster
from slipway.target.kubernetes.data import noted
from slipway.target.kubernetes.facts import Facts, Object, ready
from slipway.target.kubernetes.manifests import RELEASE, SERVICE
from slipway.target.kubernetes.transport import Away
from slipway.target.kubernetes.workplace import Place

_OF_RELEASE = ("id", "version", "images", "activated_at", "by", "verified")
_GOOD = 500


def status(env: str, stack: str | None) -> dict[str, Any]:
    """Return the status document of a stack on a cluster (see `slipway.watch.status.status`). No secret is read for it.

    Raises:
        BadInput: settings are wrong, or there is no way to the cluster.
    """
    place = workplace.find(env, stack, with_secrets=False)
    try:
        with workplace.connected(place) as session:
            facts = session.facts()
            problems = _problems(facts, session.cluster, place)
    except Away as error:
        return _document(
            place,
            Facts(),
            [f"the cluster {place.context} can't be reached: {' '.join(error.seen.split())}"],
            reason=error,
        )
    return _document(place, facts, problems)


def _problems(facts: Facts, cluster: Cluster, place: Place) -> list[str]:
    live = facts.live()
    if live is None:
        return [f"{place.context}: nothing is deployed"]
    found = [] if facts.is_whole(live) else [f"{place.context}: release {live} is not whole, or shares traffic"]
    for pod in facts.pods:
        labels = pod["metadata"].get("labels", {})
        if (
            labels.get(SERVICE)
            and labels.get(SERVICE) != "job"
            and "deletionTimestamp" not in pod["metadata"]
            and not ready(pod)
        ):
            why = explain.trouble(pod)
            found.append(f"{pod['metadata']['name']} is not ready" + (f": {why.words}" if why else ""))
    meta = facts.releases.get(live, {"router": {"routes": []}, "services": {}})
    for route in meta["router"]["routes"]:
        found += _door(facts, cluster, place, route, meta["services"][route["service"]].get("ready"))
    return found


def _door(facts: Facts, cluster: Cluster, place: Place, route: Mapping[str, Any], ready_path: str | None) -> list[str]:
    """Ask a routed service through its Service, by way of the API server."""
    name = str(route["service"])
    service = facts.named("Service", name)
    if service is None:
        return [f"there is no Service {name}"]
    port = service["spec"]["ports"][0]
    path = ready_path or route["live"] or route["path"]
    code, body = cluster.visit(place.namespace, name, str(port.get("name") or port["port"]), path)
    well = code == 200 if ready_path or route["live"] else 0 < code < _GOOD
    return [] if well else [f"service {name}{path} answers {code or 'nothing'}: {' '.join(body.split())[:300]}"]


def _document(place: Place, facts: Facts, problems: list[str], reason: SlipwayError | None = None) -> dict[str, Any]:
    live = facts.live()
    run, holder = facts.unfinished, lease.holder_of(facts.lease)
    goes_on = bool(run and holder and run.get("fence") == holder.get("fence"))
    return {
        "env": place.env.name,
        "stack": place.stack.name,
        "healthy": bool(live) and not problems,
        "release": _release(live, facts.releases.get(live, {})) if live else None,
        "hosts": _hosts(facts, place, reason),
        "lease": holder,
        "frozen": lease.frozen_by(facts.lease),
        "backup": noted.state(place.env, place.stack, facts) or {"last": None, "age_s": None},
        "in_progress": run if goes_on else None,
        "unfinished": None if goes_on else run,
        "problems": problems,
        "url": place.url,
    }


def _release(live: str, recorded: Mapping[str, Any]) -> dict[str, Any]:
    known = {key: recorded.get(key) for key in _OF_RELEASE}
    digests = {service: image.partition("@")[2] for service, image in (known["images"] or {}).items()}
    return {**known, "id": live, "images": digests, "verified": bool(known["verified"])}


def _hosts(facts: Facts, place: Place, reason: SlipwayError | None) -> list[dict[str, Any]]:
    if reason:
        return [{"name": place.context, "reachable": False, "reason": reason.what, "services": []}]
    nodes: dict[str, list[dict[str, Any]]] = {}
    shares = facts.shares()
    for pod in facts.pods:
        labels = pod["metadata"].get("labels", {})
        if labels.get(SERVICE):
            nodes.setdefault(pod["spec"].get("nodeName") or "(no node)", []).append(_pod(pod, labels, shares))
    return [
        {"name": name, "reachable": True, "services": sorted(found, key=lambda s: s["container"])}
        for name, found in sorted(nodes.items())
    ]


def _pod(pod: Object, labels: Mapping[str, str], shares: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    containers = pod.get("status", {}).get("containerStatuses", [])
    ending = "deletionTimestamp" in pod["metadata"]
    service, release = labels[SERVICE], labels.get(RELEASE)
    return {
        "service": service,
        "release": release or None,
        "state": "terminating" if ending else str(pod.get("status", {}).get("phase", "")).lower(),
        "health": "healthy"
        if ready(pod)
        else "starting"
        if containers and not containers[0].get("restartCount")
        else "unhealthy",
        "image": pod["spec"]["containers"][0]["image"],
        "container": pod["metadata"]["name"],
        "traffic": shares.get(service, {}).get(release or "") if not ending else None,
    }


def releases(env: str, stack: str | None) -> list[dict[str, Any]]:
    """Return the ledger's entries, newest first, each with where its release is now: live, warm, kept or gone."""
    place = workplace.find(env, stack, with_secrets=False)
    with workplace.connected(place) as session:
        facts = session.facts()
    live = facts.live()
    return [
        {"outcome": "interrupted", **entry, "state": _state(entry.get("release"), live, facts)}
        for entry in reversed(noted.ledger(facts, place.stack.name))
    ]


def _state(release: str | None, live: str | None, facts: Facts) -> str:
    if release is None:
        return ""
    if release == live:
        return "live"
    if facts.deployments(release=release):
        return "warm"
    return "kept" if release in facts.releases else "gone"
