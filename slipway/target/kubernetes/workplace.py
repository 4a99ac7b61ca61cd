"""Where a verb works on a cluster: environment, stack, secrets, the rendered overlay, a connection; and a run under the lease."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from slipway import report
from slipway.errors import BadInput, SlipwayError
from slipway.settings import checks, load, secrets
from slipway.settings.model import Environment, Stack, StackEntry
from slipway.target.kubernetes import kubectl
from slipway.target.kubernetes import lease as leases
from slipway.target.kubernetes.cluster import Cluster
from slipway.target.kubernetes.facts import Facts
from slipway.target.kubernetes.kinds import KINDS, Manifest
from slipway.target.kubernetes.manifests import Values
from slipway.target.kubernetes.overlay import Overlay, read
from slipway.target.kubernetes.session import ClusterSession, note, now
from slipway.target.kubernetes.sources import Sources
from slipway.target.kubernetes.transport import PATIENCE
from slipway.target.who import by, command


@dataclass(frozen=True)
class Place:
    """What every verb on a cluster works with."""

    env: Environment
    entry: StackEntry
    stack: Stack
    overlay: Overlay
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    registry_password: str | None = field(default=None, repr=False)
    cluster: Cluster | None = field(default=None, repr=False, compare=False)
    where_is: Callable[[Manifest], str] = field(default=lambda _: "", repr=False, compare=False)
    """Tells `file:line` of a manifest, "" where it stands in no file."""

    @property
    def namespace(self) -> str:
        """The stack's namespace in this environment."""
        return self.overlay.name

    @property
    def context(self) -> str:
        """What the cluster is called."""
        return kubectl.cluster_of(self.env).context

    @property
    def url(self) -> str:
        """The front door as a visitor opens it; without a domain, what the cluster calls it."""
        if self.entry.domain:
            return f"http://{self.entry.domain}"
        routed = next((s for s in self.stack.of_role("app") if s.route), None)
        return f"http://{routed.name}.{self.namespace}:{routed.route.port}" if routed and routed.route else ""

    def values(self, images: Mapping[str, str] | None = None) -> Values:
        """Return what manifests are filled with."""
        return Values(self.env, self.entry, self.stack, images or {}, self.secrets, self.registry_password)


def find(env: str, stack: str | None, *, with_secrets: bool = True) -> Place:
    """Return the place that an environment and a stack are.

    Raises:
        BadInput: settings or manifests are wrong, secrets are missing or can't be opened.
        SlipwayError: there is no kubectl.
    """
    found, entry, one = load.load(env, stack)
    cluster = Cluster(kubectl.cluster_of(found))
    try:
        cluster.start()  # it is there by the time that the manifests are
        with ThreadPoolExecutor(1) as pool:
            rendered = pool.submit(kubectl.render, one.name, found.name)
            values = {n: s.reveal() for n, s in secrets.read(found, one).items()} if with_secrets else {}
            password = secrets.registry_password(found) if with_secrets else None
            sources = Sources(checks.overlay(load.root(), one.name, found.name), load.root())
            overlay = read(rendered.result(), one, found.name, sources.of)
            refuse_shared(found, one, overlay)
    except BaseException:
        cluster.close()
        raise
    return Place(found, entry, one, overlay, values, password.reveal() if password else None, cluster, sources.of)


def refuse_shared(env: Environment, stack: Stack, overlay: Overlay) -> None:
    """Raise BadInput where another stack of the environment is in the same namespace: names and pods would be mistaken."""
    for other in (s.name for s in env.stacks if s.name != stack.name):
        if kubectl.namespace_of(other, env.name) == overlay.name:
            raise BadInput(
                f"the stacks {stack.name} and {other} are both in the namespace {overlay.name}",
                where=f"k8s/{stack.name}/overlays/{env.name}/kustomization.yaml", todo="give each a namespace of its own",
            )  # fmt: skip


@dataclass
class Run:
    """A run that has begun: it has the lease, and nothing changes under it.

    Args:
        place: where.
        session: what operations are done by.
        facts: what there is.
        fence: its number.
    """

    place: Place
    session: ClusterSession
    facts: Facts
    fence: int

    def look(self) -> Facts:
        """Look again."""
        self.facts = self.session.facts()
        return self.facts


@contextlib.contextmanager
def connected(place: Place) -> Iterator[ClusterSession]:
    """Connect to the cluster. Raises as `Cluster.__enter__`."""
    with place.cluster or Cluster(kubectl.cluster_of(place.env)) as cluster:
        yield ClusterSession(cluster, place.namespace, place.stack.name)


@contextlib.contextmanager
def begun(place: Place, verb: str, *, rights: bool = True) -> Iterator[Run]:
    """Hold the stack's lease while a verb runs; the namespace keeps its journal. The namespace is made where it is missing.

    Raises:
        LeaseHeld: somebody else has it, or froze deploys.
        BadInput: rights are missing, or the namespace is being removed.
    """
    with connected(place) as session:
        cluster = session.cluster
        if rights:
            refuse_without_rights(cluster, place.namespace)
        space = cluster.find(f"/api/v1/namespaces/{place.namespace}")
        if space and space["status"].get("phase") == "Terminating":
            raise BadInput(
                f"the namespace {place.namespace} is being removed", where=place.context,
                todo="wait until it is gone (kubectl get namespace), then deploy again",
            )  # fmt: skip
        labels = place.overlay.namespace["metadata"].get("labels", {})
        if space is None or not labels.items() <= space["metadata"].get("labels", {}).items():
            report.current().touched = True
            cluster.apply(place.overlay.namespace)
        holder = {"by": by(), "command": command(), "machine": os.uname().nodename}
        with leases.held(
            cluster, place.namespace, place.stack.name, holder, env=place.env.name, say=report.say
        ) as lease:
            session.lease = lease
            cluster.patience = PATIENCE
            facts = session.facts()
            words = {"env": place.env.name, "verb": verb, "by": by(), "at": now(), "fence": lease.fence}
            run, outcome = Run(place, session, facts, lease.fence), "interrupted"
            note(session, run=words)
            try:
                yield run
                outcome = "done"
            except SlipwayError as error:
                outcome = f"failed: {error.what}"
                raise
            finally:
                with contextlib.suppress(SlipwayError):
                    lease.check()
                    note(session, run={**words, "ended": now(), "outcome": outcome})


_RIGHTS = (
    *(
        (verb, kind) for kind in KINDS if kind not in ("ResourceQuota", "LimitRange")
        for verb in ("get", "list", "create", "patch", "delete")
    ),
    *((verb, kind) for kind in ("Pod", "EndpointSlice", "Event") for verb in ("get", "list")),
    *((verb, "Lease") for verb in ("get", "create", "update", "patch")),
    ("get", "Pod/log"), ("create", "Pod/exec"), ("patch", "Deployment/scale"),
    *((verb, "Service/proxy") for verb in ("get", "create")),
)  # fmt: skip
"""What a deploy does in a namespace."""
_GROUPS = {
    "Lease": ("coordination.k8s.io", "leases"),
    "Pod": ("", "pods"),
    "EndpointSlice": ("discovery.k8s.io", "endpointslices"),
    "Event": ("", "events"),
}


def refuse_without_rights(cluster: Cluster, namespace: str) -> None:
    """Raise BadInput where this user lacks a right that a deploy needs: verb and resource are named."""
    wanted = sorted(dict.fromkeys(_RIGHTS))

    def may(right: tuple[str, str]) -> bool:
        kind, _, sub = right[1].partition("/")
        group, plural = _GROUPS.get(kind) or (KINDS[kind].api.rpartition("/")[0], KINDS[kind].plural)
        attributes = {
            "namespace": namespace,
            "verb": right[0],
            "group": group,
            "resource": plural,
            **({"subresource": sub} if sub else {}),
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        told = cluster.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        return bool(told["status"].get("allowed"))

    if _may_all(cluster, namespace):
        return
    with ThreadPoolExecutor(8) as pool:
        missing = [right for right, allowed in zip(wanted, pool.map(may, wanted), strict=True) if not allowed]
    if missing:
        words = ", ".join(f"{verb} {kind.lower()}" for verb, kind in missing)
        raise BadInput(
            f"rights are missing in the namespace {namespace}", where=cluster.settings.context, seen=words,
            todo=f"have them given to you; kubectl auth can-i --list --namespace {namespace} shows yours",
        )  # fmt: skip


def _may_all(cluster: Cluster, namespace: str) -> bool:
    """Ask once for everything: most who deploy are administrators of their namespace."""
    attributes = {"namespace": namespace, "verb": "*", "group": "*", "resource": "*"}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    told = cluster.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    return bool(told["status"].get("allowed"))
