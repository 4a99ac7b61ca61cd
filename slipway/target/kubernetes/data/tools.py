"""The containers that a pod of a stack's data needs: one of each kept service's own image, and what they find where. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from slipway.errors import BadInput
from slipway.settings.keeping import Backup, Kept
from slipway.settings.model import Environment, Stack
from slipway.target.kubernetes.kinds import Manifest
from slipway.target.kubernetes.overlay import pod_of

RESTIC = "restic"
NOBODY = 65534
_PORTS = {"postgres": 5432, "redis": 6379}


@dataclass(frozen=True)
class Tool:
    """A container with the tools for one kept service.

    Args:
        name: the service's.
        image: its image.
        user: who it runs as.
        group: and of which group.
        claims: PersistentVolumeClaim by the path at which the service has it, where the work needs its files.
        groups: what the service's volumes belong to.
        address: of the service: host and port; None where it has none.
    """

    name: str
    image: str
    user: int = NOBODY
    group: int = NOBODY
    claims: dict[str, str] = field(default_factory=dict)
    groups: tuple[int, ...] = ()
    address: tuple[str, int] | None = None


def refuse(env: Environment, stack: Stack) -> Backup:
    """Return the environment's backups. Raise BadInput where what it says of them has no meaning on a cluster."""
    backup = env.backup
    assert backup  # noqa: S101 - the caller looked
    commands = sorted({k.service for k in stack.kept if k.before or k.after})
    if commands:
        raise BadInput(
            f"commands before and after a backup do not run on a cluster: {', '.join(commands)}",
            where=f"compose/{stack.name}/compose.yaml", todo="leave `before` and `after` out, or keep the environment on hosts",
        )  # fmt: skip
    return backup


def of(stack: Stack, backup: Backup, manifests: Sequence[Manifest]) -> list[Tool]:
    """Return the containers that a stack's kept data need, restic's own first.

    Args:
        stack: the stack.
        backup: what the environment says of backups.
        manifests: the accessories', and those of the release that serves, with its images; a service that has none there
            is left out: nothing of it is deployed.
    """
    return [Tool(RESTIC, backup.image), *_services(stack, manifests)]


def _services(stack: Stack, manifests: Sequence[Manifest]) -> Iterator[Tool]:
    for name in dict.fromkeys(k.service for k in stack.kept):
        kept = [k for k in stack.kept if k.service == name]
        outside = next((k for k in kept if k.host), None)
        if outside:
            yield Tool(name, str(outside.image))
            continue
        workload = next(
            (m for m in manifests if m["kind"] in ("Deployment", "StatefulSet") and _service(m) == name), None
        )
        address = _address(name, kept, manifests)
        if workload is not None:
            yield _of_workload(name, workload, kept, address)
        elif address and (image := stack.service(name).image):  # somebody else's, behind a Service of that name
            yield Tool(name, image, address=address)


def _service(manifest: Manifest) -> str:
    labels = manifest["metadata"].get("labels", {})
    return str(labels.get("slipway.service") or manifest["metadata"]["name"])


def _address(name: str, kept: Sequence[Kept], manifests: Sequence[Manifest]) -> tuple[str, int] | None:
    kind = next((k.kind for k in kept if k.kind in _PORTS), None)
    door = next((m for m in manifests if m["kind"] == "Service" and m["metadata"]["name"] == name), None)
    if kind is None or door is None:
        return None
    ports = door["spec"].get("ports") or [{"port": _PORTS[kind]}]
    return name, int(ports[0]["port"])


def _of_workload(name: str, workload: Manifest, kept: Sequence[Kept], address: tuple[str, int] | None) -> Tool:
    pod = pod_of(workload)
    (container,) = pod["containers"]
    shared, own = pod.get("securityContext") or {}, container.get("securityContext") or {}
    said = {**shared, **own}
    mounts = _claims(workload, pod, container)
    wanted = {path: claim for path, claim in mounts.items() if _needed(path, kept)}
    group = shared.get("fsGroup")
    user = int(said.get("runAsUser") or NOBODY)
    return Tool(
        name, container["image"], user, int(said.get("runAsGroup") or user), wanted,
        (int(group),) if group and wanted else (), address,
    )  # fmt: skip


def _claims(workload: Manifest, pod: Manifest, container: Manifest) -> dict[str, str]:
    """Return PersistentVolumeClaim by path: of a StatefulSet, its first pod's."""
    name = workload["metadata"]["name"]
    made = {
        t["metadata"]["name"]: f"{t['metadata']['name']}-{name}-0"
        for t in workload["spec"].get("volumeClaimTemplates", [])
    }
    named = {
        v["name"]: v["persistentVolumeClaim"]["claimName"]
        for v in pod.get("volumes", [])
        if v.get("persistentVolumeClaim")
    }
    known = {**named, **made}
    mounts = container.get("volumeMounts", [])
    return {m["mountPath"].rstrip("/"): known[m["name"]] for m in mounts if m["name"] in known and not m.get("subPath")}


def _needed(path: str, kept: Sequence[Kept]) -> bool:
    """Tell whether a volume's files are read or written: of Postgres nobody touches them."""
    kinds = {k.kind for k in kept}
    files = [p for k in kept if k.kind == "files" for p in k.paths]
    return "redis" in kinds or any(f"{p}/".startswith(f"{path}/") or f"{path}/".startswith(f"{p}/") for p in files)


def targets(stack: Stack, tools: Sequence[Tool]) -> dict[str, list[dict[str, str]]]:
    """Return where kept files go, by service: `path`, `volume` (a claim), `mount` of each path that is in one."""
    found: dict[str, list[dict[str, str]]] = {}
    by_name = {t.name: t for t in tools}
    for kept in (k for k in stack.kept if k.kind == "files" and k.service in by_name):
        claims = by_name[kept.service].claims
        for path in kept.paths:
            of = [m for m in claims if f"{path}/".startswith(f"{m}/")]
            if of:
                mount = max(of, key=len)
                found.setdefault(kept.service, []).append({"path": path, "volume": claims[mount], "mount": mount})
    return found


def about(stack: Stack, tools: Sequence[Tool], release: str) -> dict[str, Any]:
    """Return what a pod is told of itself (see `slipway.agent.data.pod.about`)."""
    services = {
        t.name: {
            "host": t.address[0] if t.address else "",
            "port": t.address[1] if t.address else 0,
            "mounts": [{"path": path, "volume": claim} for path, claim in sorted(t.claims.items())],
        }
        for t in tools
    }
    volumes = {claim: t.name for t in tools for claim in t.claims.values()}
    return {
        "stack": stack.name, "release": release, "tools": {t.name: t.image for t in tools},
        "volumes": volumes, "services": services,
    }  # fmt: skip
