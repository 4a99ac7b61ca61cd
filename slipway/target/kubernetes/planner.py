"""The plan of a deploy or a rollback on a cluster: a pure function of settings, manifests and facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from slipway.plan.operation import Change, Operation, Phase, Plan
from slipway.target.kubernetes import manifests as making
from slipway.target.kubernetes import records
from slipway.target.kubernetes.kinds import Manifest
from slipway.target.kubernetes.manifests import RELEASE, SERVICE
from slipway.target.kubernetes.request import Release, Request

START, GATE, SWITCH, WORKERS = "Roll out", "Start and wait for health", "Switch", "Replace workers"
SERVICES = "Change Services"
_KEPT = ("verified", "activated_run", "activated_at", "schema")
_FELT_AT_ONCE = ("NetworkPolicy", "Service", "PodDisruptionBudget", "Ingress")
"""Kinds that pods which serve meet as soon as they are applied."""


def plan_deploy(request: Request, release: Release, changes: Sequence[Change] = ()) -> Plan:
    """Return the plan that brings a release live.

    Args:
        request: where.
        release: which.
        changes: what differs, as the API server itself tells it.
    """
    first = request.facts.first
    prepare = [Operation("apply", "apply what belongs to no release's pods", {"manifests": _base(request, release)})]
    if request.overlay and request.facts.state.get("accessories") is None and request.overlay.accessories:
        made = making.accessory_manifests(request.overlay, request.values)
        digest = making.accessory_digest(request.overlay, request.values)
        names = (
            ", ".join(m["metadata"]["name"] for m in made if m["kind"] == "StatefulSet") or "what they are reached by"
        )
        prepare.append(Operation("accessories", f"start {names}", {"manifests": made, "digest": digest}))
    prepare.append(_record(request, release))
    phases = [_phase(request, "Prepare the cluster", *prepare)]
    if request.migrate:
        phases.append(_phase(request, "Migrate", request.migrate))
    phases += _jobs(request, release)
    phases += _replace(request, release)
    phases += _proof(request, release)
    return _plan("deploy", request, release, changes, phases, first)


def plan_rollback(request: Request, release: Release, changes: Sequence[Change] = ()) -> Plan:
    """Return the plan that goes back to a release that is recorded."""
    base = Operation("apply", "apply what belongs to no release's pods", {"manifests": _base(request, release)})
    phases = [_phase(request, "Prepare the cluster", base), *_replace(request, release), *_proof(request, release)]
    return _plan("rollback", request, release, changes, phases, False)


def plan_migrate(request: Request, release: Release) -> Plan:
    """Return the plan that runs a version's migrations and deploys nothing.

    Its settings and secrets are there first, and what a job needs besides where there is none yet; nothing that serves is touched.
    """
    assert request.migrate  # noqa: S101 - the caller looked
    found = [
        m for m in _secret(request, release)
        if m["kind"] in ("ConfigMap", "Secret")
        or (m["kind"] in ("ServiceAccount", "NetworkPolicy") and not request.facts.named(m["kind"], m["metadata"]["name"]))
    ]  # fmt: skip
    settings = Operation("apply", "apply its settings", {"manifests": found})
    phases = (_phase(request, "Prepare the cluster", settings), _phase(request, "Migrate", request.migrate))
    return Plan("migrate", request.values.env.name, request.stack, release.id, request.facts.live(), (), phases)


def _jobs(request: Request, release: Release) -> list[Phase]:
    """Return what runs once, before the release's pods start: its jobs, one after the other."""
    there = {m["metadata"]["name"]: m for m in _secret(request, release) if m["kind"] == "Job"}
    names = [job.name for job in request.values.stack.of_role("job")]
    found = [Operation("job", f"run {name}", {"manifest": there[name]}) for name in names]
    return [_phase(request, "Run jobs", *found)] if found else []


def _plan(
    verb: str, request: Request, release: Release, changes: Sequence[Change], phases: Sequence[Phase], first: bool
) -> Plan:
    before = request.facts.live()
    recorded = records.manifests_of(request.facts, before) if before else None
    way_back: tuple[Phase, ...] = ()
    if recorded is not None and before != release.id:
        meta = request.facts.releases[str(before)]
        old = Release(str(before), str(meta["version"]), meta["images"], recorded, meta)
        at_once = [
            Operation(
                "apply", "put back what belongs to no release's pods", {"manifests": _base(request, old, back=True)}
            )
        ]
        if new := _only(release, old, _FELT_AT_ONCE):
            at_once.append(_remove(new))
        way_back = (
            _phase(request, "Put back what was", *at_once),
            *_replace(request, old, back=True),
            _phase(request, "Remove what failed", _remove(_only(release, old))),
        )
    undo = way_back
    if first:
        undo = (_phase(request, "Remove what failed", _remove(_only(release, None))),)
    if recorded is not None and before == release.id:
        undo = ()
    return Plan(
        verb, request.values.env.name, request.stack, release.id, before, tuple(changes), tuple(phases), undo, way_back
    )


def _phase(request: Request, title: str, *operations: Operation, switched: bool = False) -> Phase:
    return Phase(title, {request.cluster: tuple(operations)}, switched=switched)


def _secret(request: Request, release: Release, *, back: bool = False) -> list[Manifest]:
    """Return a release's manifests with its Secrets; on the way back with that which its pods read now, whatever the vault says."""
    mounted = (
        sorted(n for n in request.facts.mounted(release.id) if n.startswith(making.secret_name("app"))) if back else []
    )
    return making.with_secrets(release.manifests, request.values, "app", mounted[0] if mounted else None)


def _base(request: Request, release: Release, *, back: bool = False) -> list[Manifest]:
    """Return what can be there before the release's pods are: all but those, and but Services that wait for them."""
    return [
        m for m in _secret(request, release, back=back)
        if m["kind"] not in ("Deployment", "HorizontalPodAutoscaler", "Job") and not (_owner(m) and _turns(request, m))
    ]  # fmt: skip


def _turns(request: Request, manifest: Manifest) -> bool:
    """Tell whether a manifest is a Service that is there and would be another one: that waits for the release's pods."""
    name = manifest["metadata"]["name"]
    if manifest["kind"] != "Service" or not request.facts.named("Service", name):
        return False
    live = request.facts.live()
    recorded = (records.manifests_of(request.facts, live) if live else None) or []
    before = next((m for m in recorded if m["kind"] == "Service" and m["metadata"]["name"] == name), None)
    return _chooses(manifest) or _chosen_now(request, manifest) or (before is not None and before != manifest)


def _chooses(manifest: Manifest) -> bool:
    """Tell whether a manifest is a Service that sends requests to one release alone."""
    return manifest["kind"] == "Service" and RELEASE in manifest["spec"].get("selector", {})


def _chosen_now(request: Request, manifest: Manifest) -> bool:
    found = request.facts.named("Service", manifest["metadata"]["name"])
    return bool(found and RELEASE in found["spec"].get("selector", {}))


def _record(request: Request, release: Release) -> Operation:
    """Return the operation that notes a release; one that was verified before stays so, also if it fails now."""
    known = request.facts.releases.get(release.id, {})
    kept = {k: known[k] for k in _KEPT if k in known} if known.get("verified") else {}
    params = {"meta": {**release.meta, **kept}, "manifests": list(release.manifests)}
    return Operation("record", f"note release {release.id}", params)


def _replace(request: Request, release: Release, *, back: bool = False) -> list[Phase]:
    """Return the phases that replace pods, by the stack's own phases, less critical services first."""
    manifests = _secret(request, release, back=back)
    services = release.meta["services"]
    within = {name: float(s["start_within"]) for name, s in services.items()}
    numbers = sorted({s["phase"] for s in services.values()})
    many = len(numbers) > 1
    phases: list[Phase] = []
    for number in numbers:
        mine = {name for name, s in services.items() if s["phase"] == number}
        own = [m for m in manifests if _owner(m) in mine and m["kind"] in ("Deployment", "HorizontalPodAutoscaler")]
        doors = [m for m in manifests if _owner(m) in mine and (_chooses(m) or _turns(request, m))]
        chosen = [d for d in doors if _chooses(d)]
        beside = [m for m in own if any(_owner(d) == _owner(m) for d in chosen)]
        rest = [m for m in own if m not in beside]
        words = f" (phase {number})" if many else ""
        if beside:
            phases.append(_phase(request, f"{GATE}{words}", _rollout(request, beside, release, within), switched=back))
        if rest and not beside:
            phases.append(_phase(request, f"{START}{words}", _rollout(request, rest, release, within), switched=True))
        if chosen:
            phases.append(
                _phase(request, f"{SWITCH}{words}", _send("switch", chosen, release=release.id), switched=True)
            )
        if rest and beside:
            phases.append(_phase(request, f"{WORKERS}{words}", _rollout(request, rest, release, within), switched=True))
        if len(doors) > len(chosen):
            others = _send("apply", [d for d in doors if d not in chosen])
            phases.append(_phase(request, f"{SERVICES}{words}", others, switched=True))
    return phases


def _send(kind: str, doors: Sequence[Manifest], **params: Any) -> Operation:
    names = ", ".join(d["metadata"]["name"] for d in doors)
    return Operation(kind, f"send requests for {names} to it", {"manifests": list(doors), **params})


def _owner(manifest: Manifest) -> str | None:
    found: str | None = manifest["metadata"].get("labels", {}).get(SERVICE)
    return found


def _rollout(
    request: Request, manifests: Sequence[Manifest], release: Release, within: Mapping[str, float]
) -> Operation:
    names = ", ".join(m["metadata"]["name"] for m in manifests if m["kind"] == "Deployment")
    least: dict[str, int] = {}
    for scaler in (m for m in manifests if m["kind"] == "HorizontalPodAutoscaler"):
        name, service = scaler["spec"]["scaleTargetRef"]["name"], str(_owner(scaler))
        now = [d["spec"].get("replicas", 1) for d in request.facts.deployments(service)]
        least[name] = min(max([scaler["spec"].get("minReplicas", 1), *now]), scaler["spec"]["maxReplicas"])
    params = {"manifests": list(manifests), "release": release.id, "within": dict(within), "least": least}
    return Operation("rollout", f"replace the pods of {names}", params)


def _proof(request: Request, release: Release) -> list[Phase]:
    found = []
    tests = release.meta["smoke"]
    if tests:
        ports = {
            m["metadata"]["name"]: str(m["spec"]["ports"][0].get("name") or m["spec"]["ports"][0]["port"])
            for m in release.manifests
            if m["kind"] == "Service"
        }
        params = {"tests": list(tests), "routes": release.meta["router"]["routes"], "ports": ports}
        words = f"{len(tests)} requests through the Services"
        found.append(_phase(request, "Smoke tests", Operation("smoke", words, params), switched=True))
    if request.settle:
        params = {"release": release.id, "seconds": request.settle}
        title = f"Watch for {request.settle:g} s"
        found.append(_phase(request, title, Operation("settle", "it must stay as healthy", params), switched=True))
    return [*found, Phase("Verify", verify="deploy", switched=True)]


def kept(request: Request, release: Release, warm: str | None) -> list[list[str]]:
    """Return the objects, by kind and name, that stay after a deploy: the release's, and those of a predecessor that stays warm."""
    objects = {(m["kind"], m["metadata"]["name"]) for m in _secret(request, release) if m["kind"] != "Job"}
    old = (records.manifests_of(request.facts, warm) or []) if warm else []
    objects |= {(m["kind"], m["metadata"]["name"]) for m in _beside_only(old)}
    named = {s["metadata"]["name"] for s in request.facts.objects.get("Secret", ())}
    objects |= {("Secret", name) for name in (request.facts.mounted(warm) if warm else set()) & named}
    return sorted([kind, name] for kind, name in objects)


def _beside_only(manifests: Iterable[Manifest]) -> list[Manifest]:
    """Return what a release of blue-green has for itself, and the settings that its pods read."""
    return [
        m for m in manifests
        if m["kind"] == "ConfigMap" or (m["kind"] in ("Deployment", "HorizontalPodAutoscaler") and _for_itself(m))
    ]  # fmt: skip


def _for_itself(manifest: Manifest) -> bool:
    if manifest["kind"] == "HorizontalPodAutoscaler":
        return RELEASE in manifest["metadata"]["labels"]
    return RELEASE in manifest["spec"]["selector"]["matchLabels"]


def _only(
    release: Release, old: Release | None, kinds: Sequence[str] = ("Deployment", "HorizontalPodAutoscaler")
) -> list[list[str]]:
    """Return what one release has and another one has not, of some kinds: Deployments and what scales them."""
    theirs = {(m["kind"], m["metadata"]["name"]) for m in (old.manifests if old else ())}
    mine = [(m["kind"], m["metadata"]["name"]) for m in release.manifests if m["kind"] in kinds]
    return [[kind, name] for kind, name in mine if (kind, name) not in theirs]


def _remove(objects: Sequence[Sequence[str]]) -> Operation:
    return Operation(
        "remove", "remove " + (", ".join(f"{k.lower()} {n}" for k, n in objects) or "nothing"), {"objects": objects}
    )
