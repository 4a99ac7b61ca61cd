"""Migrations on a cluster: SQL by psql in the database's own pod, Alembic and a stack's own tool as Jobs in the new image."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from slipway.agent import psql, schema
from slipway.data import migrations
from slipway.errors import BadInput, SlipwayError
from slipway.plan.operation import Operation
from slipway.settings.model import Stack
from slipway.target.kubernetes import jobs, kubectl
from slipway.target.kubernetes import manifests as making
from slipway.target.kubernetes.facts import Facts, ready
from slipway.target.kubernetes.kinds import POD, Manifest
from slipway.target.kubernetes.manifests import ROLE, SERVICE
from slipway.target.kubernetes.request import Release
from slipway.target.kubernetes.session import ClusterSession
from slipway.target.kubernetes.workplace import Place

Result = dict[str, Any]
Progress = Callable[[str], None]
_TRIES = 5
_LIST = 'cd "$0" && for f in *.sql versions/*.py; do if [ -e "$f" ]; then printf "%s " "$f"; base64 -w0 "$f"; echo; fi; done'
"""Prints the files of a folder, each as a line: its name, what it holds in base64."""


def operation(place: Place, release: Release, facts: Facts) -> Operation | None:
    """Return the operation that brings the database to what a release expects: what expands, or all, where nothing serves."""
    stack = place.stack
    if not stack.migrate:
        return None
    values = place.values(release.images)
    found = making.with_secrets(release.manifests, values, "app")
    owner = next(
        m for m in found if m["kind"] == "Deployment" and m["metadata"]["labels"][SERVICE] == stack.migrate.service
    )
    params: dict[str, Any] = {"release": release.id, "deployment": owner, "tool": stack.migrate.kind}
    if stack.migrate.kind == "command":
        params |= {"pending": list(stack.migrate.pending), "command": list(stack.migrate.command)}
        return Operation("migrate", "run waiting migrations", params)
    first = facts.first
    known = _known(stack, release) or _noted(facts, release.images[stack.migrate.service])
    params |= {"how": migrations.how(stack), "which": "all" if first else schema.EXPAND, "known": known}
    return Operation("migrate", "run waiting migrations" + ("" if first else " that expand"), params)


def refuse_without_database(place: Place) -> None:
    """Raise BadInput where migrations would be asked of a database that has no pod: somebody else's."""
    settings = place.stack.migrate
    if settings is None or settings.kind == "command":
        return
    pods = {m["metadata"]["name"] for m in place.overlay.accessories if m["kind"] == "StatefulSet"}
    if settings.database not in pods:
        raise BadInput(
            f"{settings.kind} migrations need the database in a pod here, and there is no StatefulSet {settings.database}",
            where=f"k8s/{place.stack.name}/overlays/{place.env.name}",
            todo=f"leave `migrate` out of compose/{place.stack.name}/compose.yaml and migrate by hand, or have it run by the"
            " stack's own tool (kind: command)",
        )  # fmt: skip


def _known(stack: Stack, release: Release) -> list[schema.Migration] | None:
    """Return a release's migrations where they are this tree's; None where its image has to be asked."""
    if not release.meta.get("migrations"):
        return None
    known = migrations.read(stack)
    return known if {m["file"].rpartition("/")[2] for m in known} == set(release.meta["migrations"]) else None


def _noted(facts: Facts, image: str) -> list[schema.Migration] | None:
    """Return the migrations of an image as a release before has noted them, without their SQL."""
    notes = (m.get("schema") or {} for m in facts.releases.values())
    found: list[schema.Migration] | None = next((n["known"] for n in notes if n.get("image") == image), None)
    return found


def run(session: ClusterSession, progress: Progress, **params: Any) -> Result:
    """Run what waits. See `operation` for the parameters.

    Raises:
        BadInput: files and database do not go together.
        SlipwayError: one failed; the database is as it was before that one.
    """
    deployment = params["deployment"]
    if params["tool"] == "command":
        return _own_tool(session, progress, deployment, params)
    how, which = params["how"], params["which"]
    known = params["known"] if params["known"] is not None else _of_image(session, progress, deployment, how)
    database = Database(session, how["database"])
    state = database.state()
    due = _due(how["tool"], known, state, which)
    if how["tool"] == "sql" and any("sql" not in m for m in due):
        known = _of_image(session, progress, deployment, how)
        due = _due(how["tool"], known, state, which)
    if due:
        database.ask(psql.TABLE)
        if how["tool"] == "sql":
            _sql(database, progress, due, how, params["release"])
        else:
            _alembic(session, progress, deployment, due, how)
        state = database.state()
    noted = {row["id"] for row in state["rows"]}
    unnoted = [m for m in known if m["id"] in schema.had(how["tool"], known, state) - noted]
    if unnoted:
        database.ask(psql.TABLE)
        database.ask("BEGIN;\n" + "".join(psql.record(m, params["release"]) for m in unnoted) + "COMMIT;\n")
    if due:
        last = f"(SELECT id FROM {schema.TABLE} ORDER BY applied_at DESC, id DESC LIMIT 1)"  # noqa: S608 - a constant
        database.ask(f"UPDATE {schema.TABLE} SET shape = ({psql.SHAPE}) WHERE id = {last};")  # noqa: S608 - constants
    left = _due(how["tool"], known, state, which)
    if left:
        raise SlipwayError(
            "the migrations ran, but the database has not had all of them", seen="\n".join(m["file"] for m in left)
        )
    brief = [{k: v for k, v in m.items() if k != "sql"} for m in known]
    waits = [m["file"] for m in schema.waiting(how["tool"], known, state)]
    return {"ran": [m["file"] for m in due], "waits": waits, "known": brief}


def _due(tool: str, known: Sequence[schema.Migration], state: Mapping[str, Any], which: str) -> list[schema.Migration]:
    problems = schema.objections(tool, known, state)
    waits = schema.waiting(tool, known, state)
    problems += schema.behind(tool, waits) if which == schema.EXPAND else []
    if problems:
        raise BadInput("the migrations of this version do not go with the database", seen="\n".join(problems))
    return schema.due(tool, waits, which)


class Database:
    """The Postgres that an accessory of the stack is, asked by the psql of its own pod: no password leaves it."""

    def __init__(self, session: ClusterSession, service: str) -> None:
        self.session, self.service = session, service
        pods = session.cluster.items(POD, session.namespace, **{SERVICE: service, ROLE: "accessory"})
        self.pod = next((p["metadata"]["name"] for p in pods if ready(p)), "")
        if not self.pod:
            raise SlipwayError(f"the database {service} does not run", where=f"service {service}")

    def ask(self, text: str, options: str = "", first: Sequence[str] = ()) -> str:
        """Have psql do a text; return what it printed.

        Raises:
            psql.Failed: Postgres refused a statement.
        """
        words = [word for sql in first for word in ("-c", sql)]
        argv = ["exec", "--namespace", self.session.namespace, "--stdin", self.pod, "--container", self.service, "--"]
        argv += ["env", f"PGOPTIONS={options}", "PGAPPNAME=slipway", *psql.PSQL, *words, "-f", "-"]
        done = kubectl.call(self.session.cluster.settings, argv, stdin=text, timeout=24 * 3600.0)
        if done.code != 0:
            raise psql.Failed(done.err or done.out)
        return done.out

    def state(self) -> dict[str, Any]:
        """Return what the database says of its migrations."""
        try:
            return psql.read_state(self.ask(psql.STATE))
        except (psql.Failed, ValueError) as error:
            raise SlipwayError(
                "the database can't be asked for its version", where=self.pod, seen=str(error)
            ) from error


def _sql(
    database: Database, progress: Progress, due: Sequence[schema.Migration], how: Mapping[str, Any], release: str
) -> None:
    options = _options(how)
    for number, migration in enumerate(due, 1):
        progress(f"{migration['file']} ({number} of {len(due)})")

        def once(migration: schema.Migration = migration) -> None:
            whole = migration["transaction"]
            text = (psql.in_transaction if whole else psql.outside_transaction)(migration, release)
            lock = f"SELECT pg_advisory_xact_lock({psql.LOCK})"
            database.ask(text, options if whole else "", ["BEGIN", lock] if whole else [])

        try:
            _patiently(once, how, progress)
        except psql.Failed as error:
            undone = " and was undone" if migration["transaction"] else ""
            seen = "\n".join(part for part in (error.what, error.detail, error.statement) if part)
            where = f"{migration['file']}:{error.line}" if error.line else migration["file"]
            raise SlipwayError(
                f"the migration {where} failed{undone}", where=f"service {database.service}", seen=seen
            ) from error


def _options(how: Mapping[str, Any]) -> str:
    limits = {key: int(how[key] * 1000) for key in ("lock_timeout", "statement_timeout")}
    return " ".join(f"-c {key}={value}" for key, value in limits.items())


def _patiently(once: Callable[[], None], how: Mapping[str, Any], progress: Progress) -> None:
    for attempt in range(1, _TRIES + 1):
        try:
            once()
            return
        except psql.Failed as error:
            if not error.locked_out or attempt == _TRIES:
                raise
        pause = how["lock_timeout"] * 2 ** (attempt - 1)
        progress(f"somebody else keeps the lock, again in {pause:.0f} s ({attempt + 1} of {_TRIES})")
        time.sleep(pause)


def _alembic(
    session: ClusterSession,
    progress: Progress,
    deployment: Manifest,
    due: Sequence[schema.Migration],
    how: Mapping[str, Any],
) -> None:
    names = ", ".join(m["file"].rpartition("/")[2] for m in due)
    progress(names)
    env = {"PGOPTIONS": _options(how), "PGAPPNAME": "slipway"}
    made = jobs.job(deployment, "slipway-migrate", [*how["command"], "upgrade", due[-1]["id"]], env=env)
    jobs.run(session.cluster, made, progress, session.check, f"a migration failed ({names})")


def _of_image(
    session: ClusterSession, progress: Progress, deployment: Manifest, how: Mapping[str, Any]
) -> list[schema.Migration]:
    """Return the migrations that an image has: its folder, printed by a Job."""
    progress("reading the image's migrations")
    made = jobs.job(deployment, "slipway-migrations", ["sh", "-c", _LIST, how["folder"]], instead=True)
    text = jobs.run(session.cluster, made, progress, session.check, "the image's migrations can't be read")
    lines = (line.rpartition(" ") for line in text.splitlines())
    files = {name: base64.b64decode(body).decode(errors="replace") for name, _, body in lines}
    known, problems = schema.read(how["tool"], files)
    if problems:
        raise BadInput("the migrations of this version are not in order", seen="\n".join(problems))
    return known


def status(place: Place, session: ClusterSession) -> dict[str, Any]:
    """Return what the database has had and which of this tree's migrations wait; the same document as of hosts."""
    settings = migrations.required(place.stack)
    tree, live, why = migrations.read(place.stack), session.facts().live(), ""
    try:
        state = Database(session, str(settings.database)).state()
    except SlipwayError as error:
        state, why = {"rows": [], "alembic": None}, f"{error.what} {error.seen}".strip()
    applied = schema.had(settings.kind, tree, state)
    rows = {row["id"]: row for row in state["rows"]}
    mine = {m["id"] for m in tree}
    listed = [_one(m, m["id"] in applied, rows.get(m["id"]), settings.kind) for m in tree]
    listed += [
        {**_told(row), "id": i, "file": None, "kind": row["kind"], "state": "not in this tree"}
        for i, row in rows.items() if i not in mine
    ]  # fmt: skip
    return {
        "env": place.env.name, "stack": place.stack.name, "kind": settings.kind, "live": live, "revision": state["alembic"],
        "database": why or "answers", "migrations": listed,
        "well": not why and not any(m["state"] == "edited" for m in listed),
    }  # fmt: skip


def _one(migration: schema.Migration, applied: bool, row: Mapping[str, Any] | None, tool: str) -> dict[str, Any]:
    edited = tool == "sql" and row is not None and row["checksum"] != migration["checksum"]
    state = "edited" if edited else "applied" if applied else "waits"
    return {**_told(row), "id": migration["id"], "file": migration["file"], "kind": migration["kind"], "state": state}


def _told(row: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"at": row["at"] if row else None, "release": row["release"] if row else None, "needed_by": []}


def _own_tool(session: ClusterSession, progress: Progress, deployment: Manifest, params: Mapping[str, Any]) -> Result:
    """Run the stack's own command, where its `pending` prints something."""
    waits = ["?"]
    if params["pending"]:
        asked = jobs.job(deployment, "slipway-pending", params["pending"])
        said = jobs.run(session.cluster, asked, progress, session.check, "the waiting migrations can't be told")
        waits = said.split("\n") if said else []
    if waits:
        made = jobs.job(deployment, "slipway-migrate", params["command"])
        jobs.run(session.cluster, made, progress, session.check, "a migration failed")
    return {"ran": waits, "waits": []}
