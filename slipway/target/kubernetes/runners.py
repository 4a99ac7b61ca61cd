"""Running migrations on a cluster: SQL in the database's own pod, Alembic and a stack's own tool as Jobs in the release's image."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from slipway.agent import contracted, psql, schema
from slipway.errors import BadInput, SlipwayError
from slipway.target.kubernetes import jobs
from slipway.target.kubernetes.database import Database, options_of, run_sql
from slipway.target.kubernetes.kinds import Manifest
from slipway.target.kubernetes.session import ClusterSession, note

Result = dict[str, Any]
Progress = Callable[[str], None]
_LIST = 'cd "$0" && for f in *.sql versions/*.py; do if [ -e "$f" ]; then printf "%s " "$f"; base64 -w0 "$f"; echo; fi; done'
"""Prints the files of a folder, each as a line: its name, what it holds in base64."""


def run(session: ClusterSession, progress: Progress, **params: Any) -> Result:
    """Run what waits. See `slipway.target.kubernetes.schema.operation` for the parameters.

    Raises:
        BadInput: files and database do not go together.
        SlipwayError: one failed; the database is as it was before that one.
    """
    deployment = params["deployment"]
    if params["tool"] == "command":
        return _own_tool(session, progress, deployment, params)
    how, which, noted = params["how"], params["which"], set(params["contracted"])
    known = params["known"] if params["known"] is not None else of_image(session, progress, deployment, how)
    database = Database(session, how["database"])
    state = database.first_state()
    due = _due(how["tool"], known, state, which, noted)
    if how["tool"] == "sql" and any("sql" not in m for m in due):
        known = of_image(session, progress, deployment, how)
        due = _due(how["tool"], known, state, which, noted)
    if due:
        _back_up(session, progress, params)
        coming = {m["id"] for m in due if m["kind"] == schema.CONTRACT}
        if coming - noted:  # before they run: killed in between, a rollback past them is refused all the same
            noted |= coming
            note(session, schema={"contracted": sorted(noted)})
        database.ask(psql.TABLE)
        if how["tool"] == "sql":
            run_sql(database, progress, due, how, params["release"])
        else:
            _alembic(session, progress, deployment, due, how)
        state = database.state()
    if _note(database, how["tool"], known, state, params["release"], bool(due)):
        state = database.state()
    left = _due(how["tool"], known, state, which, noted)
    if left:
        raise SlipwayError(
            "the migrations ran, but the database has not had all of them", seen="\n".join(m["file"] for m in left)
        )
    had = contracted.had(how["tool"], known, state, noted)
    if had != noted or had != set(params["contracted"]):
        note(session, schema={"contracted": sorted(had)})
    brief = [{k: v for k, v in m.items() if k != "sql"} for m in known]
    waits = [m["file"] for m in schema.waiting(how["tool"], known, state)]
    return {"ran": [m["file"] for m in due], "waits": waits, "known": brief}


def _back_up(session: ClusterSession, progress: Progress, params: Mapping[str, Any]) -> None:
    if params.get("backup"):
        from slipway.target.kubernetes.data import before

        before.make(session, progress, params["backup"])


def _due(
    tool: str, known: Sequence[schema.Migration], state: Mapping[str, Any], which: str, noted: set[str]
) -> list[schema.Migration]:
    unsure = contracted.unsure(tool, known, state, noted)
    if unsure:
        what, seen = contracted.refusal(unsure)
        raise BadInput(what, seen=seen)
    due, problems = contracted.chosen(tool, known, state, which, noted)
    if problems:
        raise BadInput("the migrations of this version do not go with the database", seen="\n".join(problems))
    return due


def _note(
    database: Database, tool: str, known: Sequence[schema.Migration], state: Mapping[str, Any], release: str, ran: bool
) -> bool:
    """Note in the database what it has had, and its shape. Return whether anything was written."""
    noted = {row["id"] for row in state["rows"]}
    missing = [m for m in known if m["id"] in schema.had(tool, known, state) - noted]
    if missing:
        database.ask(psql.TABLE)
        database.ask("BEGIN;\n" + "".join(psql.record(m, release) for m in missing) + "COMMIT;\n")
    if ran:
        last = f"(SELECT id FROM {schema.TABLE} ORDER BY applied_at DESC, id DESC LIMIT 1)"  # noqa: S608 - a constant
        database.ask(f"UPDATE {schema.TABLE} SET shape = ({psql.SHAPE}) WHERE id = {last};")  # noqa: S608 - constants
    return bool(missing or ran)


def _alembic(
    session: ClusterSession,
    progress: Progress,
    deployment: Manifest,
    due: Sequence[schema.Migration],
    how: Mapping[str, Any],
) -> None:
    names = ", ".join(m["file"].rpartition("/")[2] for m in due)
    progress(names)
    env = {"PGOPTIONS": options_of(how), "PGAPPNAME": "slipway"}
    made = jobs.job(deployment, "slipway-migrate", [*how["command"], "upgrade", due[-1]["id"]], env=env)
    jobs.run(session.cluster, made, progress, session.check, f"a migration failed ({names})")


def of_image(
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


def _own_tool(session: ClusterSession, progress: Progress, deployment: Manifest, params: Mapping[str, Any]) -> Result:
    """Run the stack's own command, where its `pending` prints something."""
    waits = ["?"]
    if params["pending"]:
        asked = jobs.job(deployment, "slipway-pending", params["pending"])
        said = jobs.run(session.cluster, asked, progress, session.check, "the waiting migrations can't be told")
        waits = said.split("\n") if said else []
    if waits:
        _back_up(session, progress, params)
        made = jobs.job(deployment, "slipway-migrate", params["command"])
        jobs.run(session.cluster, made, progress, session.check, "a migration failed")
    return {"ran": waits, "waits": []}
