"""What uses the disk of a host, and old rows of the tables that a stack names."""
# ruff: noqa: S608 - names are quoted here, or by the server

from __future__ import annotations

import json
import os
from typing import Any

from .. import engine
from ..context import Context, Result, operation
from ..failure import OperationFailed
from ..state import HOME, StackHome, append_line, now
from . import keep, lock, pod, postgres
from .container import CACHE
from .lock import Who
from .restic import Repository
from .sqlwords import name

_SIZES_SQL = (
    "SELECT coalesce(json_agg(json_build_array(t, s, n) ORDER BY s DESC), '[]') FROM (SELECT format('%I.%I', n.nspname, c.relname)"
    " AS t, pg_total_relation_size(c.oid) AS s, greatest(c.reltuples, 0)::bigint AS n FROM pg_class c JOIN pg_namespace n ON"
    " n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <>"
    " 'information_schema' ORDER BY s DESC LIMIT 20) AS found"
)


@operation("storage.review")
def _review(context: Context, home: StackHome) -> Result:
    """Tell what uses the disk: images, volumes, logs, databases' tables, backups, and what of it nobody needs."""
    if pod.NAME:  # disks are the nodes', volumes the cluster's to tell
        return {"tables": _tables(context, home), "backups": _backups(home)}
    disk = os.statvfs(HOME)
    context.progress("asking the engine")
    used = engine.api("GET", "/system/df", timeout=300)
    containers = engine.containers()
    mounted = {m.get("Name") for c in containers for m in c["Mounts"]}
    images = _images(used.get("Images") or [], containers)
    volumes = [
        {
            "name": v["Name"],
            "bytes": (v.get("UsageData") or {}).get("Size", -1),
            "unused": v["Name"] not in mounted | {CACHE},
            "stack": (v.get("Labels") or {}).get("slipway.stack"),
        }
        for v in used.get("Volumes") or []
    ]
    return {
        "free": disk.f_bavail * disk.f_frsize,
        "size": disk.f_blocks * disk.f_frsize,
        "images": sorted(images, key=lambda i: -i["bytes"]),
        "volumes": sorted(volumes, key=lambda v: -v["bytes"]),
        "build_cache": sum(b.get("Size", 0) for b in used.get("BuildCache") or []),
        "tables": _tables(context, home),
        "backups": _backups(home),
    }


def _images(found: list[dict[str, Any]], containers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    in_use, needed = {c["Image"] for c in containers}, _needed()
    return [
        {
            "id": i["Id"],
            "name": _image_name(i),
            "bytes": i["Size"],
            "unused": i["Id"] not in in_use
            and not needed & {*(i.get("RepoTags") or []), *(i.get("RepoDigests") or [])},
        }
        for i in found
    ]


def unused_images() -> list[dict[str, Any]]:
    """Return the images of this host that no container, no kept release and no backup needs: `id`, `name`, `bytes`."""
    return [i for i in _images(engine.api("GET", "/images/json"), engine.containers()) if i["unused"]]


def _needed() -> set[str]:
    """Return the images that this host's stacks need, though nothing runs of them now: kept releases', restic's."""
    found: set[str] = set()
    for folder in (HOME / "stacks").glob("*"):
        home = StackHome(folder.name)
        document = keep.known(home)
        found |= {document.image} if document else set()
        found |= {image for r in home.known() for image in home.meta(r).get("images", {}).values()}
    return found


def _image_name(image: dict[str, Any]) -> str:
    names = [
        n for n in (*(image.get("RepoTags") or []), *(image.get("RepoDigests") or [])) if not n.startswith("<none>")
    ]
    return str(names[0]) if names else str(image["Id"])[7:19]


def _tables(context: Context, home: StackHome) -> list[dict[str, Any]]:
    document = keep.known(home)
    found = []
    for kept in document.kept if document else ():
        if kept.kind != "postgres":
            continue
        context.progress(f"asking {kept.service}")
        try:
            repository = Repository(home, lock.new_run())
            with postgres.talk(repository, postgres.server(home, kept)) as talking:
                sizes = json.loads(talking.ask(_SIZES_SQL))
            found += [{"service": kept.service, "table": t, "bytes": s, "rows": n} for t, s, n in sizes]
        except OperationFailed as error:
            found.append({"service": kept.service, "table": f"({error.what})", "bytes": 0, "rows": 0})
    return found


def _backups(home: StackHome) -> dict[str, Any] | None:
    document = keep.known(home)
    if not document:
        return None
    try:
        repository = Repository(home, lock.new_run())
        done = repository.check(
            "the repository can't be read",
            repository.restic("stats", "stats", "--json", "--mode", "raw-data", "--no-lock"),
        )
        return {"repository": document.repository, "bytes": json.loads(done.out)["total_size"]}
    except OperationFailed as error:
        return {"repository": document.repository, "bytes": None, "seen": error.what}


@operation("storage.clean")
def _clean(
    context: Context, home: StackHome, by: str, command: str, tables: list[Result], older_than: float, plan: bool
) -> Result:
    """Delete rows that are older than so many seconds, table by table, each in a transaction of its own; or count them."""
    done = []
    with lock.alone(home, Who("clean", by, command), 0.0, context.progress) as repository:
        kept = {k.service: k for k in repository.document.kept if k.kind == "postgres"}
        for one in tables:
            context.progress(f"{one['service']}: {one['table']}")
            if one["service"] not in kept:
                what = f"this host does not know a database {one['service'] or 'of the stack'}"
                seen = f"it was told of {', '.join(kept) or 'none'}; a deploy, or inv backup, tells it what the stack keeps now"
                raise OperationFailed(what, seen, service=one["service"], bad_input=True)
            with postgres.talk(repository, postgres.server(home, kept[one["service"]])) as talking:
                schema, _, table = one["table"].rpartition(".")
                where = f"{name(schema)}.{name(table)}" if schema else f"public.{name(table)}"
                old = f"{name(one['column'])} < now() - make_interval(secs => {float(older_than)})"
                if plan:
                    rows = int(talking.ask(f"SELECT count(*) FROM {where} WHERE {old}"))
                else:
                    gone = f"WITH gone AS (DELETE FROM {where} WHERE {old} RETURNING 1) SELECT count(*) FROM gone"
                    rows = int(talking.ask(gone))
                    talking.ask(f"VACUUM (ANALYZE) {where}")
            done.append({"service": one["service"], "table": one["table"], "rows": rows})
    if not plan:
        entry = {"verb": "storage.clean", "by": by, "outcome": "done", "older_than_s": older_than, "deleted": done}
        append_line(home.ledger, {"at": now(), **entry})
    return {"tables": done}
