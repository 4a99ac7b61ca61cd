"""A dump back into a Postgres server: beside the database that is there, compared, then swapped by name in one transaction.

So an interruption leaves the old database or the new one, never half of one. Tables that are kept alone, and databases of servers
where nobody may make another one, are written in one transaction instead.
"""

# ruff: noqa: S608 - names are quoted here, or by the server
from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..failure import OperationFailed
from . import compare, keep, postgres
from .postgres import Conversation, Server
from .restic import Repository
from .sqlwords import literal, name

NEW, OLD = "__slipway_new", "__slipway_old"
"""What the names of databases end with that a restore makes; a killed one may leave them, the next removes them."""

_ADMIN = "template1"
_QUICKER = "-c synchronous_commit=off -c maintenance_work_mem=128MB -c statement_timeout=0 -c lock_timeout=0"

# sh has no pipefail: whether restic read all of it is noted beside.
DUMP = '{ %(restic)s dump --no-lock "$1" "$2" 2> /tmp/read || : > /tmp/failed; }'
READ_ALL = "if [ -e /tmp/failed ]; then cat /tmp/read >&2; exit 71; fi"
_ROWS = "slipway rows"
_LOAD = """%(password)sdump() { %(dump)s; }
id=$1; file=$2; later=$3; shift 3
into() { pg_restore --exit-on-error --no-password --dbname="$PGDATABASE" "$@"; }
dump "$id" "$file" | into --section=pre-data --section=data "$@" || { code=$?; %(all)s; exit $code; }
%(all)s
echo 'slipway rows'
[ -z "$later" ] || dump "$id" "$file" | into --section=post-data "$@"
"""
"""The second time pg_restore needs the beginning only, and leaves restic alone with the rest."""


def beside(kept: keep.Kept, ending: str) -> str:
    """Return the name of a database that a restore makes beside the kept one."""
    room = 63 - len(ending)
    return kept.database.encode()[:room].decode(errors="ignore") + ending


@contextlib.contextmanager
def administrator(repository: Repository, where: Server) -> Iterator[Conversation]:
    """Open a conversation with the server, beside all of its databases. Raises OperationFailed where it does not answer."""
    with postgres.talk(repository, dataclasses.replace(where, database=_ADMIN)) as talking:
        talking.ask("SET lock_timeout = 0")
        yield talking


def may_swap(talking: Conversation) -> bool:
    """Tell whether who restores may make databases and rename them."""
    return talking.ask("SELECT rolsuper OR rolcreatedb FROM pg_catalog.pg_roles WHERE rolname = current_user") == "t"


def refuse(talking: Conversation, kept: keep.Kept, part: Mapping[str, Any]) -> None:
    """Raise OperationFailed where this server can't take this dump: it is older, or lacks an extension."""
    here = int(talking.ask("SHOW server_version_num"))
    if here // 10000 < part["server_num"] // 10000:
        seen = f"{kept.service} is Postgres {here // 10000}, the backup is of {part['server']}"
        what = "an older server can't take the backup of a newer one"
        raise OperationFailed(what, seen, service=kept.service, bad_input=True)
    known = set(
        json.loads(talking.ask("SELECT coalesce(json_agg(name), '[]') FROM pg_catalog.pg_available_extensions"))
    )
    lacking = sorted(set(part["extensions"]) - known)
    if lacking:
        what = f"{kept.service} lacks extensions that the backup needs"
        raise OperationFailed(what, ", ".join(lacking), service=kept.service, bad_input=True)


def load(
    repository: Repository,
    kept: keep.Kept,
    part: Mapping[str, Any],
    where: Server,
    into: str,
    progress: Callable[[str], None],
) -> list[str]:
    """Make the database `into` of a dump, anew; return what is not as the manifest says.

    Args:
        repository: the dump's.
        kept: whose.
        part: what the manifest says of the dump.
        where: the server.
        into: the database; one of that name is removed first.
        progress: told how far it is.

    Raises:
        OperationFailed: the server can't take it, the dump can't be read, or a statement failed: nothing is left of it.
    """
    target = dataclasses.replace(where, database=into)
    try:
        with administrator(repository, where) as talking:
            refuse(talking, kept, part)
            _make_roles(talking, part)
            _make(talking, kept, into)
            if kept.tables:
                talking.connect(into)
                make_what_tables_need(talking, part)
                talking.connect(_ADMIN)
            return _fill(repository, kept, part, target, talking, progress)
    except OperationFailed as error:
        if not error.bad_input:
            with contextlib.suppress(OperationFailed), administrator(repository, where) as talking:
                drop(talking, into)
        raise


def drop(talking: Conversation, database: str) -> None:
    """Remove a database, whoever is connected to it."""
    talking.ask(f"DROP DATABASE IF EXISTS {name(database)} WITH (FORCE)")


def exists(talking: Conversation, database: str) -> bool:
    """Tell whether there is a database of that name."""
    return talking.ask(f"SELECT count(*) FROM pg_catalog.pg_database WHERE datname = {literal(database)}") == "1"


def _make_roles(talking: Conversation, part: Mapping[str, Any]) -> None:
    """Make the roles that own things in the dump, where the server lacks them; nobody can log in as these."""
    here = set(json.loads(talking.ask("SELECT json_agg(rolname) FROM pg_catalog.pg_roles")))
    for role in part["roles"]:
        if role not in here:
            talking.ask(f"CREATE ROLE {name(role)} NOLOGIN")


def _make(talking: Conversation, kept: keep.Kept, into: str) -> None:
    """Make an empty database like the kept one."""
    told = talking.ask(
        "SELECT to_json(d)::jsonb || json_build_object('encoding', pg_encoding_to_char(encoding), 'owner',"
        f" pg_get_userbyid(datdba))::jsonb FROM pg_catalog.pg_database d WHERE datname = {literal(kept.database)}"
    )
    drop(talking, into)
    like = json.loads(told) if told else {"owner": kept.user}
    words = f"CREATE DATABASE {name(into)} TEMPLATE template0 OWNER {name(like['owner'])}"
    for key, column in (("ENCODING", "encoding"), ("LC_COLLATE", "datcollate"), ("LC_CTYPE", "datctype")):
        words += f" {key} {literal(like[column])}" if like.get(column) else ""
    locale = like.get("datlocale") or like.get("daticulocale")  # the column's name since 17, and before
    if locale and like.get("datlocprovider") in ("i", "b"):
        kind = "ICU_LOCALE" if like["datlocprovider"] == "i" else "BUILTIN_LOCALE"
        words += f" LOCALE_PROVIDER {'icu' if kind == 'ICU_LOCALE' else 'builtin'} {kind} {literal(locale)}"
    talking.ask(words)


def make_what_tables_need(talking: Conversation, part: Mapping[str, Any]) -> None:
    """Make what a dump of single tables leaves out: their schemas, and the extensions with their types."""
    for table in part["tables"]:
        schema = table.partition('"."')[0] + '"' if table.startswith('"') else table.partition(".")[0]
        talking.ask(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    for extension in part["extensions"]:
        talking.ask(f"CREATE EXTENSION IF NOT EXISTS {name(extension)} CASCADE")


def _restore(
    repository: Repository,
    part: Mapping[str, Any],
    target: Server,
    what: str,
    words: Sequence[str],
    *,
    later: bool,
    rows_are_in: Callable[[], None],
) -> None:
    """Restore a dump: what it begins with, and the rows; then (`later`) indexes and constraints: its beginning will do."""
    job = target.job(repository, "load")
    job = dataclasses.replace(job, variables={**job.variables, "PGOPTIONS": _QUICKER})
    done = job.do(
        _LOAD % {"dump": DUMP % {"restic": job.restic}, "all": READ_ALL, "password": postgres.READ_PASSWORD},
        str(part["snapshot"]), str(part["file"]), "later" if later else "", *words,
        line=lambda line: rows_are_in() if line.startswith(_ROWS) else None,
    )  # fmt: skip
    repository.check(what, done)


def _fill(
    repository: Repository,
    kept: keep.Kept,
    part: Mapping[str, Any],
    target: Server,
    talking: Conversation,
    progress: Callable[[str], None],
) -> list[str]:
    """Restore the dump, telling how large it is by now; compare once the rows are in, while indexes are made. Return findings."""
    what = f"the dump of {kept.service} could not be restored"
    begun, rows = time.monotonic(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        # Constraints may refer to tables that are not kept.
        filling = pool.submit(
            _restore, repository, part, target, what, owned(talking), later=not kept.tables, rows_are_in=rows.set
        )
        filling.add_done_callback(lambda _: rows.set())
        while not rows.wait(1.0):
            with contextlib.suppress(OperationFailed):
                size = int(talking.ask(f"SELECT pg_catalog.pg_database_size({literal(target.database)})"))
                progress(f"{kept.service} {size / 1e6:.0f} MB ({time.monotonic() - begun:.0f} s)")
        if filling.done():
            filling.result()
        progress(f"{kept.service}: comparing")
        talking.connect(target.database)
        talking.ask("SET lock_timeout = 0")
        found = compare.missing(talking, part)
        if not found:
            found = compare.tables(talking, part, list(part["tables"]))
        filling.result()
    found += compare.rest(talking, part, whole=not kept.tables)
    talking.ask("ANALYZE")
    return found


def owned(talking: Conversation) -> list[str]:
    """Return the words for pg_restore that leave owners out, where who restores may not give anything away."""
    is_super = talking.ask("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user")
    return [] if is_super == "t" else ["--no-owner", "--no-acl"]
