"""What a cluster is told of backups: all that its CronJobs need, with nobody's machine up. Deploys apply it, and each verb."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.data import document
from slipway.errors import BadInput
from slipway.settings import load, secrets
from slipway.settings.model import Environment, Stack
from slipway.target.compose import parcel
from slipway.target.kubernetes import kubectl, records
from slipway.target.kubernetes.applying import applied
from slipway.target.kubernetes.cluster import MANAGER, Cluster
from slipway.target.kubernetes.data import drill_pod, network, pods, tools
from slipway.target.kubernetes.data.tools import Tool
from slipway.target.kubernetes.facts import Facts
from slipway.target.kubernetes.kinds import KINDS, Kind, Manifest
from slipway.target.kubernetes.transport import ApiError
from slipway.target.kubernetes.workplace import Place


@dataclass(frozen=True)
class Setup:
    """What pods of a stack's data are made of, at this moment.

    Args:
        place: environment and stack.
        tools: the containers beside the agent.
        release: the one that serves; "" where none does.
        given: the files that pods are given; None where no secret was read: they have what a deploy gave them.
    """

    place: Place
    tools: Sequence[Tool]
    release: str
    given: Mapping[str, str] | None

    @property
    def runner(self) -> str:
        """The image that the agent runs in."""
        return kubectl.cluster_of(self.place.env).runner

    def spec(self, argv: Sequence[str], *, write: bool = False) -> Manifest:
        """Return the spec of a pod whose agent is told `argv` (see `pods.spec`)."""
        place = self.place
        agent = pods.agent_name(place.stack.name, parcel.archive())
        pull = bool(place.env.registry and place.env.registry.username)
        return pods.spec(
            place.env.name, place.stack.name, self.runner, agent, self.tools, argv, write=write, pull=pull
        )  # fmt: skip


def of(place: Place, facts: Facts) -> Setup:
    """Return the setup of a place as it is now.

    Raises:
        BadInput: the repository is a folder of a host's, or secrets are missing.
    """
    backup = tools.refuse(place.env, place.stack)
    live = facts.live() or ""
    recorded = records.manifests_of(facts, live) or [] if live else []
    found = tools.of(place.stack, backup, [*place.overlay.accessories, *recorded])
    given = None
    if place.secrets or place.stack.secrets == ():
        opened = {n: s.reveal() for n, s in secrets.backup_secrets(place.env).items()}
        apps = drill_pod.asked(place.stack, facts.releases.get(live, {}).get("services", {}))
        given = _given(place.env, place.stack, opened, place.secrets, found, live, apps)
    return Setup(place, found, live, given)


def _given(
    env: Environment, stack: Stack, opened: Mapping[str, str], values: Mapping[str, str], found: Sequence[Tool], live: str,
    apps: Sequence[Mapping[str, Any]],
) -> dict[str, str]:  # fmt: skip
    """Return the files that pods are given, by name."""
    told: Mapping[str, Any] = document.operation(env, stack, opened, values, configuration(env, stack)).params
    made = told["document"]
    files = {**told["secrets"], "repository": made["repository"]}
    files |= {f"copy-{n}": url for n, url in enumerate(made["copies"])}
    files |= {f"database-{k.password}": values[k.password] for k in stack.kept if k.password}
    return files | {
        "document.json": json.dumps(made, sort_keys=True),
        "files.json": json.dumps(told["configuration"], sort_keys=True),
        "pod.json": json.dumps(drill_pod.about(stack, found, live, apps), sort_keys=True),
    }


def configuration(env: Environment, stack: Stack) -> dict[str, str]:
    """Return the environment's own files, which are kept as well; the vault is encrypted, as it is."""
    root = load.root()
    folder = root / "k8s" / stack.name
    overlay = {str(p.relative_to(root)): p for p in sorted(folder.rglob("*.y*ml")) if _mine(p, folder, env.name)}
    files = {
        f"envs/{env.name}.yml": root / "envs" / f"{env.name}.yml",
        f"envs/{env.name}.vault.yml": secrets.vault_file(env),
        "envs/known_hosts": root / "envs" / "known_hosts",
        f"compose/{stack.name}/compose.yaml": Path(stack.folder) / "compose.yaml",
        **overlay,
    }
    return {name: path.read_text() for name, path in files.items() if path.exists()}


def _mine(path: Path, folder: Path, env: str) -> bool:
    """Tell whether a manifest is of this environment: no other one's overlay is."""
    parts = path.relative_to(folder).parts
    return parts[0] != "overlays" or parts[1] == env


def ensure(cluster: Cluster, setup: Setup) -> None:
    """Apply what pods of this stack's data need, but for their schedule.

    Raises:
        BadInput: it was never applied, and no secret was read.
    """
    namespace, stack = setup.place.namespace, setup.place.stack.name
    if setup.given is None:
        if cluster.find(KINDS["Secret"].path(namespace, pods.given_name(stack))) is None:
            raise BadInput(
                f"nothing is kept of {stack} on this cluster yet", where=namespace,
                todo=f"inv backup --env {setup.place.env.name} makes the first backup",
            )  # fmt: skip
    else:
        applied(cluster, pods.given(namespace, stack, setup.given))
    account, *roles = pods.rights(namespace, stack)
    everything = [*setup.place.overlay.apps, *setup.place.overlay.accessories]
    for manifest in (
        account,
        pods.agent_map(namespace, stack, parcel.archive()),
        *network.policies(namespace, stack, setup.tools, everything),
    ):
        applied(cluster, manifest)
    for kind, manifest in zip((pods.ROLE_KIND, pods.BINDING), roles, strict=True):
        _apply(cluster, kind, manifest)
    try:
        cluster.request(
            "POST", KINDS["ConfigMap"].path(namespace), pods.notes_map(namespace, stack), fieldManager=MANAGER
        )
    except ApiError as error:
        if error.code != 409:  # it is there
            raise


def _apply(cluster: Cluster, kind: Kind, manifest: Manifest) -> None:
    """Apply what a deploy without backups needs no right for."""
    metadata = manifest["metadata"]
    cluster.request(
        "PATCH", kind.path(metadata["namespace"], metadata["name"]), manifest, what=f"{kind.word} {metadata['name']}",
        kind="application/apply-patch+yaml", fieldManager=MANAGER, force="true", fieldValidation="Strict",
    )  # fmt: skip
