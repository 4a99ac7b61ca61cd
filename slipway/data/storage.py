"""`storage.review` and `storage.clean`: what uses the disk of the host with the data, and old rows of tables that a stack names."""

from __future__ import annotations

from typing import Any

from slipway import report
from slipway.data import backup
from slipway.errors import BadInput
from slipway.plan.operation import Operation
from slipway.settings.units import duration, parse_duration
from slipway.target.compose.workplace import Workplace
from slipway.target.who import by, command

_MOST = 8


def review(env: str, stack: str | None) -> dict[str, Any]:
    """Return what uses the disk (see `slipway.agent.data.storage`). Errors as `backup.on_host`'s."""
    place = backup.find(env, stack, secrets=False)
    with backup.on_host(place) as session, report.step("Look at the disk") as step:
        told = session.perform(place.stack.name, [Operation("storage.review", "begin")], progress=step.say)[0]
    if not isinstance(place, Workplace):
        from slipway.target.kubernetes.data import storage as cluster

        again = backup.find(env, stack, secrets=False)
        assert not isinstance(again, Workplace)  # noqa: S101 - it is on a cluster
        told = {"free": None, "size": None, "images": [], "volumes": cluster.volumes(again), "build_cache": 0, **told}
    cleaned = [c.model_dump() for c in place.stack.clean]
    return {"env": env, "stack": place.stack.name, "host": backup.name_of(place), "clean": cleaned, **told}


def text(told: dict[str, Any]) -> str:
    """Return a review as people read it: the largest of each kind, and what could go."""
    size = backup.size
    free = (
        f"{size(told['free'])} free of {size(told['size'])}" if told["free"] is not None else "what its namespace has"
    )
    lines = [f"{told['host']}: {free}"]
    if told["backups"] and told["backups"]["bytes"] is not None:
        lines.append(f"  backups  {size(told['backups']['bytes'])} in {told['backups']['repository']}")
    for kind, key in (("images", "images"), ("volumes", "volumes"), ("tables", "tables")):
        found = told[key]
        total = sum(max(0, f["bytes"]) for f in found)
        lines.append(f"  {kind}: {size(total)} in {len(found)}")
        for one in sorted(found, key=lambda f: -f["bytes"])[:_MOST]:
            words = f"{one['service']} {one['table']}, {one['rows']} rows" if key == "tables" else one["name"]
            lines.append(f"    {size(max(0, one['bytes'])):>10}  {words}" + ("  (unused)" if one.get("unused") else ""))
    lines.append("What could go")
    could = [
        f"image {i['name']}, {size(i['bytes'])}: no container is made of it" for i in told["images"] if i["unused"]
    ]
    could += [
        f"volume {v['name']}, {size(max(0, v['bytes']))}: no container has it" for v in told["volumes"] if v["unused"]
    ]
    could += [
        f"old rows of {c['table']}: inv storage.clean --env {told['env']} --plan counts them" for c in told["clean"]
    ]
    return "\n".join([*lines, *(f"  {c}" for c in could or ["nothing"])])


def clean(env: str, stack: str | None, older_than: str, *, plan_only: bool, yes: bool) -> list[dict[str, Any]]:
    """Delete old rows of the tables that the stack names; return table and rows of each.

    Args:
        env: environment.
        stack: stack.
        older_than: a duration, `90d`.
        plan_only: count them.
        yes: whoever types has agreed to deleting.

    Raises:
        BadInput: no table is named, that is no duration, or nobody agreed.
        LeaseHeld: a backup or a restore is at work.
        SlipwayError: a statement failed: that table is as it was.
    """
    place = backup.find(env, stack, secrets=False)
    where = f"compose/{place.stack.name}/compose.yaml"
    if not place.stack.clean:
        raise BadInput(
            f"{place.stack.name} names no table to clean", where=where, todo="name them: `clean:`, docs/data.md"
        )
    try:
        seconds = parse_duration(older_than)
    except ValueError as error:
        raise BadInput(f"--older-than {older_than[:40]} {error}") from error
    if not (plan_only or yes):
        names = ", ".join(c.table for c in place.stack.clean)
        raise BadInput(
            f"this deletes the rows of {names} that are older than {duration(seconds)}",
            todo="--plan counts them, --yes deletes them",
        )
    only = next((k.service for k in place.stack.kept if k.kind == "postgres"), "")
    tables = [{"service": c.service or only, "table": c.table, "column": c.column} for c in place.stack.clean]
    params = {"by": by(), "command": command(), "tables": tables, "older_than": seconds, "plan": plan_only}
    with backup.on_host(place) as session, report.step("Count old rows" if plan_only else "Delete old rows") as step:
        told = session.perform(place.stack.name, [Operation("storage.clean", "begin", params)], progress=step.say)[0]
    return list(told["tables"])
