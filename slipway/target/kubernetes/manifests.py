"""From what kustomize renders to what is applied: images, settings, secrets, labels and the release put in. Pure."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slipway.errors import BadInput
from slipway.settings.model import Environment, Service, Stack, StackEntry
from slipway.settings.problems import listed
from slipway.target.kubernetes.kinds import KINDS, in_order
from slipway.target.release import content_digest, keyed_digest

Manifest = dict[str, Any]

MOUNTED = "secrets"
"""What manifests call the Secret with the stack's secrets; the cluster has one for each set of values."""
PULL = "registry"
"""The Secret with the registry's credentials."""
STACK, SERVICE, ROLE, RELEASE = "slipway.stack", "slipway.service", "slipway.role", "slipway.release"
MANAGED = "app.kubernetes.io/managed-by"


@dataclass(frozen=True)
class Overlay:
    """What an overlay renders to.

    Args:
        namespace: the Namespace.
        apps: of services that each release replaces, and what belongs to no service.
        accessories: of services that keep data.
    """

    namespace: Manifest
    apps: tuple[Manifest, ...]
    accessories: tuple[Manifest, ...]

    @property
    def name(self) -> str:
        """The namespace's name."""
        return str(self.namespace["metadata"]["name"])


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


def read(documents: Sequence[Manifest], stack: Stack, env: str) -> Overlay:
    """Return what kustomize rendered as an overlay.

    Raises:
        BadInput: it is none that can be released: all its problems.
    """
    problems = list(_problems(documents, stack))
    if problems:
        where = f"k8s/{stack.name}/overlays/{env}"
        raise BadInput("the manifests can't be released", where=where, seen="\n".join(problems), todo="correct them")
    namespace = next(d for d in documents if d["kind"] == "Namespace")
    keep = {s.name for s in stack.of_role("accessory")}
    rest = [d for d in documents if d["kind"] != "Namespace"]
    data = [d for d in rest if owner(d, stack) in keep]
    return Overlay(namespace, tuple(in_order([d for d in rest if d not in data])), tuple(in_order(data)))


def owner(manifest: Manifest, stack: Stack) -> str | None:
    """Return the service that a manifest is of, by its name: `api`, `api-internal`; None where it is nobody's alone."""
    name = manifest["metadata"]["name"]
    mine = [s.name for s in stack.services if name == s.name or name.startswith(f"{s.name}-")]
    return max(mine, key=len, default=None)


def _problems(documents: Sequence[Manifest], stack: Stack) -> Iterator[str]:
    spaces = [d for d in documents if d["kind"] == "Namespace"]
    if len(spaces) != 1:
        yield f"there should be one Namespace, not {len(spaces)}"
        return
    space = spaces[0]["metadata"]["name"]
    services = {s.name: s for s in stack.services}
    for one in documents:
        name = f"{one['kind']} {one['metadata']['name']}"
        if one["kind"] != "Namespace" and one["kind"] not in KINDS:
            yield f"{name}: of this kind Slipway applies none; it knows {listed(KINDS)}"
        elif one["kind"] != "Namespace" and one["metadata"].get("namespace") != space:
            yield f"{name}: is not in the namespace {space} (kustomization.yaml: `namespace: {space}`)"
        if one["kind"] == "Secret":
            yield f"{name}: a secret in the repository: Slipway makes them from the vault"
        yield from (f"{name}: {words}" for words in _unhandled(one))
        if one["kind"] in ("Deployment", "StatefulSet"):
            found = services.get(one["metadata"]["name"])
            if found is None:
                yield f"{name}: the stack file has no service of that name"
            elif found.role == ("app" if one["kind"] == "StatefulSet" else "accessory"):
                yield f"{name}: an {found.role} is a {'Deployment' if found.role == 'app' else 'StatefulSet'}"
    there = {d["metadata"]["name"] for d in documents if d["kind"] in ("Deployment", "StatefulSet")}
    reached = {d["metadata"]["name"] for d in documents if d["kind"] == "Service"}
    for service in stack.services:
        if service.role == "app" and service.name not in there:
            yield f"there is no Deployment {service.name}, a service of the stack file"
        if service.role == "accessory" and service.name not in there | reached:
            yield f"there is neither a StatefulSet nor a Service {service.name}, an accessory of the stack file"
        if service.route and service.name not in reached:
            yield f"there is no Service {service.name}, which the stack file has a route for"


def _unhandled(manifest: Manifest) -> Iterator[str]:
    """Yield what would not get its image, settings or credentials."""
    if manifest["kind"] in ("Job", "CronJob"):
        yield "jobs do not run on a cluster yet: leave it out"
    if manifest["kind"] not in ("Deployment", "StatefulSet"):
        return
    pod = _pod(manifest)
    if len(pod["containers"]) != 1:
        names = ", ".join(str(c["name"]) for c in pod["containers"])
        yield f"a pod has one container, not {len(pod['containers'])} ({names}): make the others services of their own"
    if pod.get("initContainers"):
        yield "initContainers are not started from a release's image yet: leave them out"
    if pod.get("imagePullSecrets"):
        yield "imagePullSecrets of its own: the environment's `registry` says how pods pull"


def app_manifests(overlay: Overlay, values: Values) -> list[Manifest]:
    """Return what a release is made of, but for its id and its secrets' values, so that the id can be made of it."""
    found = []
    for manifest in copy.deepcopy(list(overlay.apps)):
        service = _service(manifest, values.stack)
        _fill(manifest, service, values)
        if manifest["kind"] == "Deployment":
            _pod(manifest)["containers"][0]["image"] = values.images[manifest["metadata"]["name"]]
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
            e["configMapRef"] for c in _pod(manifest)["containers"] for e in c.get("envFrom", []) if "configMapRef" in e
        ):
            if source["name"] == f"{service.name}-settings":
                source["name"] = name
        if values.registry_password:
            _pod(manifest)["imagePullSecrets"] = [{"name": PULL}]


def _pod(manifest: Manifest) -> Manifest:
    pod: Manifest = manifest["spec"]["template"]["spec"]
    return pod


def _environment(service: Service) -> dict[str, str]:
    return {k: str(v) for k, v in service.compose.get("environment", {}).items() if v is not None}


def _settings_name(service: Service) -> str:
    return f"{service.name}-settings-{content_digest(_environment(service))[:10]}"


def _settings(manifests: Sequence[Manifest], values: Values) -> list[Manifest]:
    """Return a ConfigMap with the settings of each service that has pods here; its name is made of what it holds."""
    found = []
    for manifest in manifests:
        service = _service(manifest, values.stack)
        if service and manifest["kind"] in ("Deployment", "StatefulSet"):
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
        if kind == "Deployment":
            _of_release(manifest, release, version)
        if name in routed and kind == "Deployment":
            manifest["metadata"]["name"] = beside_name(name, release)
            manifest["spec"]["selector"]["matchLabels"][RELEASE] = release
            for spread in _pod(manifest).get("topologySpreadConstraints", []):
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
