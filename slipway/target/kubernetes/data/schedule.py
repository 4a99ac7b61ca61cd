"""Backups and drills by the cluster itself, with nobody's machine up: CronJobs, made by each deploy as the settings say then."""

from __future__ import annotations

from slipway import report
from slipway.data import document
from slipway.errors import BadInput
from slipway.settings import secrets
from slipway.settings.model import Environment
from slipway.target.compose import parcel
from slipway.target.kubernetes.applying import applied
from slipway.target.kubernetes.cluster import Cluster
from slipway.target.kubernetes.data import calendar, drill, drill_pod, pods, setup, tools
from slipway.target.kubernetes.facts import RECORD, Facts
from slipway.target.kubernetes.kinds import KINDS
from slipway.target.kubernetes.manifests import STACK
from slipway.target.kubernetes.workplace import Place


def refuse(place: Place) -> None:
    """Raise BadInput where what the environment says of backups has no meaning on a cluster."""
    if document.keeps(place.env, place.stack):
        tools.refuse(place.env, place.stack)
        secrets.backup_secrets(place.env)
        _times(place.env)


def _times(env: Environment) -> dict[str, str]:
    """Return when what is done, in cron's words."""
    assert env.backup  # noqa: S101 - the caller looked
    times = {"backup": ("schedule", env.backup.schedule), "drill": ("drill", env.backup.drill)}
    return {task: calendar.cron(text, f"envs/{env.name}.yml, backup.{key}") for task, (key, text) in times.items()}


def apply(cluster: Cluster, place: Place, facts: Facts) -> None:
    """Make the cluster back the stack up by itself, as the settings say now; or no more, where nothing is kept any more.

    Raises:
        BadInput: the settings have no meaning here.
    """
    if not document.keeps(place.env, place.stack):
        _remove(cluster, place, facts, "backup", "drill")
        return
    found, times = setup.of(place, facts), _times(place.env)
    setup.ensure(cluster, found)
    made = pods.cron_job(
        place.namespace, place.stack.name, "backup", times["backup"], found.spec(["timer", "backup"])
    )  # fmt: skip
    applied(cluster, made)
    try:
        drill.refuse_old(cluster)
        pod = drill.spec(found, facts, "timer")
        applied(cluster, drill_pod.cron_job(place.namespace, place.stack.name, times["drill"], pod))
    except BadInput as error:  # the backups are worth more than their proof
        report.say(f"! no drills are made: {error.what} ({error.seen})")
        _remove(cluster, place, facts, "drill")
    _forget_agents(cluster, place)


def _remove(cluster: Cluster, place: Place, facts: Facts, *tasks: str) -> None:
    for name in (f"slipway-{task}" for task in tasks):
        if facts.named("CronJob", name):
            cluster.delete(KINDS["CronJob"].path(place.namespace, name))


def _forget_agents(cluster: Cluster, place: Place) -> None:
    """Remove agents of before: pods that run one have it mounted."""
    stack = place.stack.name
    now = pods.agent_name(stack, parcel.archive())
    for found in cluster.items(KINDS["ConfigMap"], place.namespace, **{RECORD: "agent", STACK: stack}):
        if found["metadata"]["name"] != now:
            cluster.delete(KINDS["ConfigMap"].path(place.namespace, found["metadata"]["name"]))
