"""The plan of a deploy or a rollback on a cluster: a pure function of settings, manifests and facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slipway.plan.operation import Change, Operation, Phase, Plan
from slipway.target.kubernetes import manifests as making
from slipway.target.kubernetes import records
from slipway.target.kubernetes.facts import Facts
from slipway.target.kubernetes.manifests import RELEASE, SERVICE, Manifest, Overlay, Values

START, GATE, SWITCH, WORKERS = "Roll out", "Start and wait for health", "Switch", "Replace workers"


@dataclass(frozen=True)
class Release:
    """A release to be.

    Args:
        id: of it.
        version: of it.
        images: by service.
        manifests: with its id in them, without secrets' values (see `slipway.target.kubernetes.manifests.released`).
        meta: what is recorded besides.
    """

    id: str
    version: str
    images: Mapping[str, str]
    manifests: Sequence[Manifest]
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """All that a plan is made from.

    Args:
        cluster: what the environment calls it: the context.
        facts: what there is.
        values: settings and secrets.
        overlay: what kustomize rendered; None for a rollback, which needs none.
        beside: blue-green.
        settle: seconds to watch.
        migrate: what runs the migrations; None where there are none.
        keep: releases that stay recorded.
        keep_warm: blue-green: the predecessor goes on running.
    """

    cluster: str
    facts: Facts
    values: Values
    overlay: Overlay | None = None
    beside: bool = False
    settle: float = 0.0
    migrate: Operation | None = None
    keep: int = 5

    @property
    def stack(self) -> str:
        """The stack's name."""
        return self.values.stack.name


def plan_deploy(request: Request, release: Release, changes: Sequence[Change] = ()) -> Plan:
    """Return the plan that brings a release live.

    Args:
        request: where.
        release: which.
        changes: what differs, as the API server itself tells it.
    """
    first = request.facts.live() is None
    prepare = [Operation("apply", "apply what belongs to no release's pods", {"manifests": _base(request, release)})]
    if request.overlay and request.facts.state.get("accessories") is None and request.overlay.accessories:
        made = making.accessory_manifests(request.overlay, request.values)
        digest = making.accessory_digest(request.overlay, request.values)
        names = (
            ", ".join(m["metadata"]["name"] for m in made if m["kind"] == "StatefulSet") or "what they are reached by"
        )
        prepare.append(Operation("accessories", f"start {names}", {"manifests": made, "digest": digest}))
    prepare.append(_record(release))
    phases = [_phase(request, "Prepare the cluster", *prepare)]
    if request.migrate:
        phases.append(_phase(request, "Migrate", request.migrate))
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

    Its settings and secrets are there first; nothing that serves is touched.
    """
    assert request.migrate  # noqa: S101 - the caller looked
    kinds = ("ConfigMap", "Secret", "ServiceAccount", "NetworkPolicy")
    found = [m for m in _secret(request, release) if m["kind"] in kinds]
    settings = Operation("apply", "apply its settings", {"manifests": found})
    phases = (_phase(request, "Prepare the cluster", settings), _phase(request, "Migrate", request.migrate))
    return Plan("migrate", request.values.env.name, request.stack, release.id, request.facts.live(), (), phases)


def _plan(
    verb: str, request: Request, release: Release, changes: Sequence[Change], phases: Sequence[Phase], first: bool
) -> Plan:
    before = request.facts.live()
    recorded = records.manifests_of(request.facts, before) if before else None
    way_back: tuple[Phase, ...] = ()
    if recorded is not None and before != release.id:
        meta = request.facts.releases[str(before)]
        old = Release(str(before), str(meta["version"]), meta["images"], recorded, meta)
        way_back = (
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


def _secret(request: Request, release: Release) -> list[Manifest]:
    return making.with_secrets(release.manifests, request.values, "app")


def _base(request: Request, release: Release) -> list[Manifest]:
    """Return what can be there before the release's pods are: all but those, and but Services that choose among releases."""
    there = {s["metadata"]["name"] for s in request.facts.objects.get("Service", ())}
    found = []
    for manifest in _secret(request, release):
        if manifest["kind"] in ("Deployment", "HorizontalPodAutoscaler"):
            continue
        if _chooses(manifest) and manifest["metadata"]["name"] in there:
            continue
        if manifest["kind"] == "Service" and not _chooses(manifest) and _chosen_now(request, manifest):
            continue  # from blue-green to rolling: it lets go of the old release once the new pods are there
        found.append(manifest)
    return found


def _chooses(manifest: Manifest) -> bool:
    """Tell whether a manifest is a Service that sends requests to one release alone."""
    return manifest["kind"] == "Service" and RELEASE in manifest["spec"].get("selector", {})


def _chosen_now(request: Request, manifest: Manifest) -> bool:
    found = request.facts.named("Service", manifest["metadata"]["name"])
    return bool(found and RELEASE in found["spec"].get("selector", {}))


def _record(release: Release) -> Operation:
    params = {"meta": dict(release.meta), "manifests": list(release.manifests)}
    return Operation("record", f"note release {release.id}", params)


def _replace(request: Request, release: Release, *, back: bool = False) -> list[Phase]:
    """Return the phases that replace pods, by the stack's own phases, less critical services first."""
    manifests = _secret(request, release)
    services = release.meta["services"]
    within = {name: float(s["start_within"]) for name, s in services.items()}
    numbers = sorted({s["phase"] for s in services.values()})
    many = len(numbers) > 1
    phases: list[Phase] = []
    for number in numbers:
        mine = {name for name, s in services.items() if s["phase"] == number}
        own = [m for m in manifests if _owner(m) in mine and m["kind"] in ("Deployment", "HorizontalPodAutoscaler")]
        doors = [
            m
            for m in manifests
            if _owner(m) in mine and m["kind"] == "Service" and (_chooses(m) or _chosen_now(request, m))
        ]
        beside = [m for m in own if any(_owner(d) == _owner(m) and _chooses(d) for d in doors)]
        rest = [m for m in own if m not in beside]
        words = f" (phase {number})" if many else ""
        if beside:
            phases.append(_phase(request, f"{GATE}{words}", _rollout(request, beside, release, within), switched=back))
        if (rest and not (beside or doors)) or (rest and not beside):
            phases.append(_phase(request, f"{START}{words}", _rollout(request, rest, release, within), switched=True))
        if doors:
            names = ", ".join(d["metadata"]["name"] for d in doors)
            kind = "switch" if beside else "apply"
            params: dict[str, Any] = {"manifests": doors, **({"release": release.id} if beside else {})}
            phases.append(
                _phase(
                    request,
                    f"{SWITCH}{words}",
                    Operation(kind, f"send requests for {names} to it", params),
                    switched=True,
                )
            )
        if rest and beside:
            phases.append(_phase(request, f"{WORKERS}{words}", _rollout(request, rest, release, within), switched=True))
    return phases


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
    objects = {(m["kind"], m["metadata"]["name"]) for m in _secret(request, release)}
    old = (records.manifests_of(request.facts, warm) or []) if warm else []
    objects |= {(m["kind"], m["metadata"]["name"]) for m in _beside_only(old)}
    named = {s["metadata"]["name"] for s in request.facts.objects.get("Secret", ())}
    used = (
        {
            v["secret"]["secretName"]
            for d in request.facts.deployments(release=warm)
            for v in d["spec"]["template"]["spec"].get("volumes", [])
            if "secret" in v
        }
        if warm
        else set()
    )
    objects |= {("Secret", name) for name in used & named}
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


def _only(release: Release, old: Release | None) -> list[list[str]]:
    """Return the Deployments and what scales them that one release has and another one has not."""
    kinds = ("Deployment", "HorizontalPodAutoscaler")
    theirs = {(m["kind"], m["metadata"]["name"]) for m in (old.manifests if old else ())}
    mine = [(m["kind"], m["metadata"]["name"]) for m in release.manifests if m["kind"] in kinds]
    return [[kind, name] for kind, name in mine if (kind, name) not in theirs]


def _remove(objects: Sequence[Sequence[str]]) -> Operation:
    return Operation(
        "remove", "remove " + (", ".join(f"{k.lower()} {n}" for k, n in objects) or "nothing"), {"objects": objects}
    )
