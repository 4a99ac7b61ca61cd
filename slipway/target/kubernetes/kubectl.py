"""kubectl: found, asked for its version, and had to render an overlay. It is the only program that this target needs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from slipway.errors import BadInput, SlipwayError
from slipway.process import Completed, run
from slipway.settings import checks, load
from slipway.settings.model import Environment, Kubernetes
from slipway.target.kubernetes.kinds import Manifest

OLDEST = (1, 27)
"""The first version whose server-side apply, `auth can-i` and kustomize do all that is asked of them here."""

SPDY = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"}
"""Over WebSockets `kubectl exec` (1.32) may lose what comes early: "Unknown stream id 1, discarding message"."""


def program() -> str:
    """Return kubectl's path. Raise SlipwayError where there is none."""
    found = shutil.which("kubectl")
    if not found:
        todo = "install kubectl 1.27 or later (Debian 13: apt-get install kubectl)"
        raise SlipwayError("kubectl is not installed", todo=todo)
    return found


def refuse_old() -> None:
    """Raise SlipwayError where kubectl is too old: asked where it failed, since a start costs a tenth of a second."""
    done = run([program(), "version", "--client", "--output", "json"])
    told = json.loads(done.out)["clientVersion"]
    found = (int(told["major"]), int(re.sub(r"\D.*", "", told["minor"])))
    if found < OLDEST:
        raise SlipwayError(f"kubectl {told['gitVersion']} is too old", todo="install kubectl 1.27 or later")


def flags(settings: Kubernetes) -> list[str]:
    """Return the flags that choose the cluster which an environment names, and no other."""
    file = ["--kubeconfig", str(Path(settings.kubeconfig).expanduser())] if settings.kubeconfig else []
    return [*file, "--context", settings.context]


def call(settings: Kubernetes, argv: Sequence[str], *, stdin: str | None = None, timeout: float = 60.0) -> Completed:
    """Run kubectl on the environment's cluster, and return what it left, whatever its exit code."""
    return run([program(), *flags(settings), *argv], env=SPDY, stdin=stdin, timeout=timeout, check=False)


def render(stack: str, env: str, *, at: Path | None = None) -> list[Manifest]:
    """Return the manifests of a stack's overlay, as kustomize renders them.

    Raises:
        BadInput: it does not render.
    """
    folder = checks.overlay(at or load.root(), stack, env)
    done = run([program(), "kustomize", folder], check=False)
    if done.code != 0:
        refuse_old()
        where = f"k8s/{stack}/overlays/{env}"
        seen = done.err.strip().replace(str(at or load.root()) + "/", "").removeprefix("error: ")
        raise BadInput("the overlay does not render", where=where, seen=seen, todo=f"kubectl kustomize {where}")
    return [d for d in yaml.load_all(done.out, Loader=_LOADER) if d]


def namespace_of(stack: str, env: str, *, at: Path | None = None) -> str | None:
    """Return the namespace that an overlay's kustomization names, None where it names none; nothing is rendered."""
    file = checks.overlay(at or load.root(), stack, env) / "kustomization.yaml"
    found = yaml.safe_load(file.read_text()) if file.is_file() else None
    return found.get("namespace") if isinstance(found, dict) else None


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def cluster_of(env: Environment) -> Kubernetes:
    """Return the cluster that an environment names. Raise BadInput where it is on hosts."""
    if env.kubernetes is None:
        raise BadInput(f"{env.name} is on hosts, not on a cluster", where=f"envs/{env.name}.yml")
    return env.kubernetes
