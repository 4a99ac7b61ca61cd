"""From what kustomize renders to what is applied: images, settings, secrets, labels and the release put in. Pure."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from slipway.settings.model import Environment, Service, Stack, StackEntry
from slipway.target.kubernetes.kinds import Manifest, in_order
from slipway.target.kubernetes.overlay import WITH_PODS, Overlay, owner, pod_of
from slipway.target.release import content_digest, keyed_digest

MOUNTED = "secrets"
"""What manifests call the Secret with the stack's secrets; the cluster has one for each set of values."""
PULL = "registry"
"""The Secret with the registry's credentials."""
STACK, SERVICE, ROLE, RELEASE = "slipway.stack", "slipway.service", "slipway.role", "slipway.release"
MANAGED = "app.kubernetes.io/managed-by"
LONGEST_JOB = 6 * 3600
"""Seconds that a job may take."""


@dataclass(frozen=True)
class Values:
    """What a stack's manifests are filled with.

    Args:
        env: the environment.
        entry: what it says of the stack.
        stack: the stack.
        images: reference by digest for each app and job service.
        secrets: values by name.
        registry_password: of the registry's user.
    """

    env: Environment
    entry: StackEntry
    stack: Stack
    images: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    registry_password: str | None = field(default=None, repr=False)


def app_manifests(overlay: Overlay, values: Values) -> list[Manifest]:
    """Return what a release is made of, but for its id and its secrets' values, so that the id can be made of it."""
    found = []
    for manifest in copy.deepcopy(list(overlay.apps)):
        service = _service(manifest, values.stack)
        _fill(manifest, service, values)
        if manifest["kind"] in ("Deployment", "Job"):
            pod_of(manifest)["containers"][0]["image"] = values.images[manifest["metadata"]["name"]]
        found.append(manifest)
    _replicas(found, values)
    return in_order([*found, *_settings(found, values)])


def accessory_manifests(overlay: Overlay, values: Values) -> list[Manifest]:
    """Return the accessories as they are applied, their secrets included."""
    found = copy.deepcopy(list(overlay.accessories))
    for manifest in found:
        _fill(manifest, _service(manifest, values.stack), values)
    return with_secrets(in_order([*found, *_settings(found, values)]), values, "accessory")


def accessory_digest(overlay: Overlay, values: Values) -> str:
    """Return a digest of the accessories and their secrets, which may be told."""
    names = {n for s in values.stack.of_role("accessory") for n in s.secrets}
    shown = {"manifests": [m for m in accessory_manifests(overlay, values) if m["kind"] != "Secret"]}
    return keyed_digest(shown, {n: values.secrets[n] for n in names if n in values.secrets})


def _service(manifest: Manifest, stack: Stack) -> Service | None:
    name = owner(manifest, stack)
    return stack.service(name) if name else None


def _fill(manifest: Manifest, service: Service | None, values: Values) -> None:
    """Put labels, settings' names and the domain into one manifest."""
    labels = {MANAGED: "slipway", STACK: values.stack.name}
    if service:
        labels |= {SERVICE: service.name, ROLE: service.role}
    manifest["metadata"]["labels"] = {**manifest["metadata"].get("labels", {}), **labels}
    if manifest["kind"] == "Ingress" and values.entry.domain:
        for rule in manifest["spec"].get("rules", []):
            rule["host"] = values.entry.domain
    template = manifest.get("spec", {}).get("template")
    if template and service:
        template["metadata"]["labels"] = {**template["metadata"].get("labels", {}), **labels}
        name = _settings_name(service)
        for source in (
            e["configMapRef"]
            for c in pod_of(manifest)["containers"]
            for e in c.get("envFrom", [])
            if "configMapRef" in e
        ):
            if source["name"] == f"{service.name}-settings":
                source["name"] = name
        if values.registry_password:
            pod_of(manifest)["imagePullSecrets"] = [{"name": PULL}]


def _environment(service: Service) -> dict[str, str]:
    return {k: str(v) for k, v in service.compose.get("environment", {}).items() if v is not None}


def _settings_name(service: Service) -> str:
    return f"{service.name}-settings-{content_digest(_environment(service))[:10]}"


def _settings(manifests: Sequence[Manifest], values: Values) -> list[Manifest]:
    """Return a ConfigMap with the settings of each service that has pods here; its name is made of what it holds."""
    found = []
    for manifest in manifests:
        service = _service(manifest, values.stack)
        if service and manifest["kind"] in WITH_PODS:
            labels = {k: manifest["metadata"]["labels"][k] for k in (MANAGED, STACK, SERVICE, ROLE)}
            metadata = {
                "name": _settings_name(service),
                "namespace": manifest["metadata"]["namespace"],
                "labels": labels,
            }
            found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": _environment(service)})
    return found


def _replicas(manifests: Sequence[Manifest], values: Values) -> None:
    """Put the environment's `replicas` in: where a HorizontalPodAutoscaler decides, they are the least that there are."""
    scaled = {m["spec"]["scaleTargetRef"]["name"]: m for m in manifests if m["kind"] == "HorizontalPodAutoscaler"}
    for manifest in (m for m in manifests if m["kind"] == "Deployment"):
        name = manifest["metadata"]["name"]
        if name in scaled:
            manifest["spec"].pop("replicas", None)
        if name in values.entry.replicas:
            count = values.entry.replicas[name]
            if name in scaled:
                spec = scaled[name]["spec"]
                spec |= {"minReplicas": count, "maxReplicas": max(count, spec["maxReplicas"])}
            else:
                manifest["spec"]["replicas"] = count


def released(
    manifests: Sequence[Manifest], release: str, version: str, stack: Stack, *, beside: bool
) -> list[Manifest]:
    """Return a release's manifests with its id in them.

    Args:
        manifests: see `app_manifests`.
        release: its id.
        version: its version.
        stack: the stack.
        beside: blue-green: routed services get a Deployment of their own for each release, and its Service names the release.
    """
    found = copy.deepcopy(list(manifests))
    routed = {s.name for s in stack.of_role("app") if s.route} if beside else set()
    for manifest in found:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if kind in ("Deployment", "Job"):
            _of_release(manifest, release, version)
        if kind == "Job":  # to its end or failure, and not again by itself
            manifest["spec"] |= {
                "backoffLimit": 0,
                "activeDeadlineSeconds": LONGEST_JOB,
                "ttlSecondsAfterFinished": 3600,
            }
            pod_of(manifest)["restartPolicy"] = "Never"
        if name in routed and kind == "Deployment":
            manifest["metadata"]["name"] = beside_name(name, release)
            manifest["spec"]["selector"]["matchLabels"][RELEASE] = release
            for spread in pod_of(manifest).get("topologySpreadConstraints", []):
                spread["labelSelector"]["matchLabels"][RELEASE] = release
        if kind == "HorizontalPodAutoscaler" and manifest["spec"]["scaleTargetRef"]["name"] in routed:
            target = manifest["spec"]["scaleTargetRef"]
            target["name"] = beside_name(target["name"], release)
            manifest["metadata"]["name"] = beside_name(name, release)
            manifest["metadata"]["labels"][RELEASE] = release
        if name in routed and kind == "Service":
            manifest["spec"]["selector"][RELEASE] = release
    return found


def beside_name(service: str, release: str) -> str:
    """Return the name of a Deployment that belongs to one release: with the digest at the id's end."""
    return f"{service}-{release.rpartition('-')[2]}"


def _of_release(manifest: Manifest, release: str, version: str) -> None:
    manifest["metadata"]["labels"][RELEASE] = release
    template = manifest["spec"]["template"]
    template["metadata"]["labels"][RELEASE] = release
    for container in template["spec"]["containers"]:
        own = [e for e in container.get("env", []) if e["name"] not in ("SLIPWAY_RELEASE", "SLIPWAY_VERSION")]
        ours = {"SLIPWAY_RELEASE": release, "SLIPWAY_VERSION": version}
        container["env"] = [*own, *({"name": k, "value": v} for k, v in ours.items())]


def secret_name(role: str, digest: str = "") -> str:
    """Return the name of the Secret of a role with these values; without a digest, how all such names begin."""
    return f"{MOUNTED}-{role}-{digest}"


def mounted_keys(manifests: Sequence[Manifest]) -> set[str]:
    """Return the secrets that pods name as those they mount."""
    return {
        item["key"]
        for m in manifests
        for v in m.get("spec", {}).get("template", {}).get("spec", {}).get("volumes", [])
        if v.get("secret", {}).get("secretName") == MOUNTED
        for item in v["secret"].get("items", [])
    }


def with_secrets(manifests: Sequence[Manifest], values: Values, role: str, there: str | None = None) -> list[Manifest]:
    """Return manifests with the Secrets that their pods read, named by what they hold.

    Args:
        manifests: which read the Secret `secrets`.
        values: with the secrets' values.
        role: `app` or `accessory`: a deploy changes no accessory, so they have a Secret of their own.
        there: the Secret that they read, which is there; None: it is made of the values.
    """
    found = copy.deepcopy(list(manifests))
    roles = {"accessory"} if role == "accessory" else {"app", "job"}
    used = {n: values.secrets[n] for s in values.stack.services if s.role in roles for n in s.secrets}
    name = there or secret_name(role, keyed_digest({}, used)[:10])
    for manifest in found:
        for volume in manifest.get("spec", {}).get("template", {}).get("spec", {}).get("volumes", []):
            if volume.get("secret", {}).get("secretName") == MOUNTED:
                volume["secret"]["secretName"] = name
    space = next((m["metadata"]["namespace"] for m in found), "")
    labels = {MANAGED: "slipway", STACK: values.stack.name, ROLE: role}
    metadata = {"name": name, "namespace": space, "labels": labels}
    made: list[Manifest] = []
    if used and not there:
        data = {k: base64.b64encode(v.encode()).decode() for k, v in used.items()}
        made.append({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data})
    if values.registry_password:
        made.append(_pull_secret(values, space))
    return in_order([*found, *made])


def _pull_secret(values: Values, space: str) -> Manifest:
    registry = values.env.registry
    assert registry  # noqa: S101 - validated
    pair = f"{registry.username}:{values.registry_password}"
    host = registry.seen_by_hosts.partition("/")[0]
    text = json.dumps({"auths": {host: {"auth": base64.b64encode(pair.encode()).decode()}}})
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": PULL, "namespace": space, "labels": {MANAGED: "slipway", STACK: values.stack.name}},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(text.encode()).decode()},
    }
