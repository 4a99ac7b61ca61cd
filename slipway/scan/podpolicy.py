"""Our policy on Kubernetes manifests: what the "restricted" Pod Security Standard asks, limits, probes, and pinned images.

A file of an overlay is a patch: what it says is judged, what it leaves out is its base's to say.
Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from slipway.scan.finding import Finding, Level
from slipway.settings import yamlfile
from slipway.settings.imagename import parse
from slipway.settings.problems import Problems

_WORKLOADS = ("Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob")
_SERVING = ("Deployment", "StatefulSet", "DaemonSet")
At = tuple[str | int, ...]
Said = tuple[At, Level, str, str]


def scan(root: Path, name: str) -> list[Finding]:
    """Return what is against the policy in the manifests of the file `name` (a path below `root`)."""
    text = (root / name).read_text(encoding="utf-8", errors="replace")
    patch = "overlays" in Path(name).parts
    found = []
    for document in _documents(text):
        problems = Problems()
        file = yamlfile.parse(document.encode(), name, problems)
        found += [Finding(name, p.line, "manifest", p.message, "error", "policy") for p in problems.found]
        for path, level, rule, words in _judge(file.data, patch):
            found.append(Finding(name, file.line(path), rule, words, level, "policy"))
    return found


def _documents(text: str) -> Iterator[str]:
    """Yield the documents of a file, each on its own lines: what stands before it is empty lines."""
    lines = text.splitlines()
    starts = [0, *(n + 1 for n, line in enumerate(lines) if re.match(r"---(\s|$)", line)), len(lines) + 1]
    for start, end in itertools.pairwise(starts):
        part = lines[start : end - 1]
        if any(line.strip() and not line.lstrip().startswith("#") for line in part):
            yield "\n" * start + "\n".join(part) + "\n"


def _judge(manifest: Mapping[str, Any], patch: bool) -> Iterator[Said]:
    kind = manifest.get("kind")
    if kind == "Secret" and (manifest.get("data") or manifest.get("stringData")):
        key = "data" if manifest.get("data") else "stringData"
        yield (key,), "error", "plain-secret", "a secret in the repository: Slipway makes it from the vault"
    if kind not in _WORKLOADS:
        return
    at = _pod(str(kind))
    pod = _below(manifest, at)
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key) is True:
            yield (*at, key), "error", "host-namespace", f"{key} shows the pod the host's own"
    for index, volume in enumerate(_mappings(pod.get("volumes"))):
        if volume.get("hostPath"):
            yield (*at, "volumes", index, "hostPath"), "error", "host-path", "a folder of the host's"
    if not patch and pod.get("automountServiceAccountToken") is not False:
        words = "the pod can talk to the cluster: `automountServiceAccountToken: false` where it need not"
        yield at, "warning", "service-account-token", words
    for group in ("initContainers", "containers"):
        for index, container in enumerate(_mappings(pod.get(group))):
            path = (*at, group, index)
            yield from _container(container, pod, path, patch)
            if group == "containers" and kind in _SERVING and not patch:
                yield from _probes(container, path)


def _pod(kind: str) -> At:
    """Return where a workload has its pod's spec."""
    if kind == "Pod":
        return ("spec",)
    return (*(("spec", "jobTemplate") if kind == "CronJob" else ()), "spec", "template", "spec")


def _container(container: Mapping[str, Any], pod: Mapping[str, Any], at: At, patch: bool) -> Iterator[Said]:
    name = container.get("name", "a container")
    own, shared = _mapping(container.get("securityContext")), _mapping(pod.get("securityContext"))
    image = container.get("image")
    if isinstance(image, str) and not parse(image).digest and parse(image).tag == "latest":
        yield (*at, "image"), "error", "image-latest", f"{name}: {image} is another image tomorrow"
    here = (*at, "securityContext")
    if own.get("privileged") is True:
        yield (*here, "privileged"), "error", "privileged", f"{name} owns its host"
    if patch:
        return
    wanted: list[tuple[bool, Level, str, str]] = [
        ({**shared, **own}.get("runAsNonRoot") is True, "error", "root-user", "`runAsNonRoot: true`"),
        (own.get("allowPrivilegeEscalation") is False, "error", "new-privileges", "`allowPrivilegeEscalation: false`"),
        (own.get("readOnlyRootFilesystem") is True, "warning", "writable-root", "`readOnlyRootFilesystem: true`"),
        ("ALL" in (_mapping(own.get("capabilities")).get("drop") or []), "error", "capabilities", "`capabilities: {drop: [ALL]}`"),
        (bool({**shared, **own}.get("seccompProfile")), "warning", "seccomp", "`seccompProfile: {type: RuntimeDefault}`"),
    ]  # fmt: skip
    for there, level, rule, words in wanted:
        if not there:
            yield here, level, rule, f"{name}: its securityContext should say {words}"
    limits = _mapping(_mapping(container.get("resources")).get("limits"))
    if not limits.get("memory"):
        yield (*at, "resources"), "error", "memory-limit", f"{name}: `resources: {{limits: {{memory: …}}}}` is missing"


def _probes(container: Mapping[str, Any], at: At) -> Iterator[Said]:
    for probe in ("livenessProbe", "readinessProbe"):
        if not container.get(probe):
            yield at, "warning", "probe", f"{container.get('name', 'a container')}: there is no {probe}"


def _below(value: Any, path: At) -> Mapping[str, Any]:
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return _mapping(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
