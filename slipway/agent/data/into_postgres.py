"""A dump back into a Postgres server: beside the database that is there, compared, then swapped by name in one transaction.

So an interruption leaves the old database or the new one, never half of one. Tables that are kept alone, and databases of servers
where nobody may make another one, are written in one transaction instead.
"""

# ruff: noqa: S608 - names are quoted here, or by the server
from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..failure import OperationFailed
from . import compare, keep, postgres
from .postgres import Conversation, Server
from .restic import Repository

NEW, OLD = "__slipway_new", "__slipway_old"
"""What the names of databases end with that a restore makes; a killed one may leave them, the next removes them."""

_ADMIN = "template1"
_SWAP_WITHIN = 20.0
"""Seconds that clients which come back again and again get to be kept out for long enough."""
_QUICKER = "-c synchronous_commit=off -c maintenance_work_mem=128MB -c statement_timeout=0 -c lock_timeout=0"

# sh has no pipefail: whether restic read all of it is noted beside.
_DUMP = '{ %(restic)s dump --no-lock "$1" "$2" 2> /tmp/read || : > /tmp/failed; }'
_READ_ALL = "if [ -e /tmp/failed ]; then cat /tmp/read >&2; exit 71; fi"
_UNREADABLE = 71


def beside(kept: keep.Kept, ending: str) -> str:
    """Return the name of a database that a restore makes beside the kept one."""
    room = 63 - len(ending)
    return kept.database.encode()[:room].decode(errors="ignore") + ending


def literal(text: str) -> str:
    """Return a text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"


def name(text: str) -> str:
    """Return a name as SQL has it."""
    return '"' + text.replace('"', '""') + '"'


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
    with administrator(repository, where) as talking:
        refuse(talking, kept, part)
        _make_roles(talking, part)
        _make(talking, kept, into)
        if kept.tables:
            _make_what_tables_need(repository, target, part)
        try:
            _fill(repository, kept, part, target, talking, progress)
            return _finish(repository, kept, part, target)
        except OperationFailed:
            with contextlib.suppress(OperationFailed):
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


def _make_what_tables_need(repository: Repository, target: Server, part: Mapping[str, Any]) -> None:
    """Make what a dump of single tables leaves out: their schemas, and the extensions with their types."""
    with postgres.talk(repository, target) as talking:
        for table in part["tables"]:
            schema = table.partition('"."')[0] + '"' if table.startswith('"') else table.partition(".")[0]
            talking.ask(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        for extension in part["extensions"]:
            talking.ask(f"CREATE EXTENSION IF NOT EXISTS {name(extension)} CASCADE")


def _restore(
    repository: Repository, part: Mapping[str, Any], target: Server, what: str, *words: str, rows: bool = True
) -> None:
    """Restore sections of a dump. Without rows pg_restore needs its beginning only, and leaves restic alone with the rest."""
    all_read = _READ_ALL if rows else ":"
    job = target.job(repository, "load")
    job = dataclasses.replace(job, variables={**job.variables, "PGOPTIONS": _QUICKER})
    dump = _DUMP % {"restic": job.restic}
    script = (
        f'{postgres._READ_PASSWORD}dump() {{ {dump[1:-1]} }}\nfile=$1; id=$2; shift 2; db="$PGDATABASE"\n'
        'dump "$id" "$file" | pg_restore --exit-on-error --no-password --dbname="$db" "$@"'
        f" || {{ code=$?; {all_read}; exit $code; }}\n"
        f"{all_read}\n"
    )
    repository.check(what, job.do(script, str(part["file"]), str(part["snapshot"]), *words))


def _fill(
    repository: Repository,
    kept: keep.Kept,
    part: Mapping[str, Any],
    target: Server,
    talking: Conversation,
    progress: Callable[[str], None],
) -> None:
    """Make what the dump begins with, and its rows; tell how large the database is meanwhile."""
    what = f"the dump of {kept.service} could not be restored"
    words = ["--section=pre-data", "--section=data", *owned(talking)]
    begun = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        filling = pool.submit(_restore, repository, part, target, what, *words)
        while not filling.done():
            with contextlib.suppress(OperationFailed):
                size = int(talking.ask(f"SELECT pg_catalog.pg_database_size({literal(target.database)})"))
                progress(f"{kept.service} {size / 1e6:.0f} MB ({time.monotonic() - begun:.0f} s)")
            for _ in range(10):
                if not filling.done():
                    time.sleep(0.1)
        filling.result()


def owned(talking: Conversation) -> list[str]:
    """Return the words for pg_restore that leave owners out, where who restores may not give anything away."""
    is_super = talking.ask("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user")
    return [] if is_super == "t" else ["--no-owner", "--no-acl"]


def _finish(repository: Repository, kept: keep.Kept, part: Mapping[str, Any], target: Server) -> list[str]:
    """Make indexes and constraints, and compare meanwhile."""
    what = f"the indexes and constraints of {kept.service} could not be made"
    with ThreadPoolExecutor(2) as pool, postgres.talk(repository, target) as talking:
        talking.ask("SET lock_timeout = 0")
        found = compare.missing(talking, part)
        owners = owned(talking)
        # Constraints may refer to tables that are not kept.
        making = (
            None
            if kept.tables
            else pool.submit(_restore, repository, part, target, what, "--section=post-data", *owners, rows=False)
        )
        if not found:
            found = compare.tables(talking, part, list(part["tables"]))
        if making:
            making.result()
        found += compare.rest(talking, part, whole=not kept.tables)
        talking.ask("ANALYZE")
    return found


def swap(repository: Repository, kept: keep.Kept, where: Server) -> None:
    """Give the database that was loaded beside the kept one's name, in one transaction; then remove the old one.

    Raises:
        OperationFailed: clients did not leave, or there is nothing loaded: the old one is in place.
    """
    new, old = beside(kept, NEW), beside(kept, OLD)
    with administrator(repository, where) as talking:
        if not exists(talking, new):
            raise OperationFailed(f"nothing was loaded for {kept.service}", new, service=kept.service)
        drop(talking, old)
        if exists(talking, kept.database):
            _copy_settings(talking, kept.database, new)
        _rename(talking, kept.database, new, old)
        drop(talking, old)


def _rename(talking: Conversation, main: str, new: str, old: str) -> None:
    until = time.monotonic() + _SWAP_WITHIN
    there = exists(talking, main)
    while True:
        names = f"{literal(main)}, {literal(new)}"
        talking.ask(
            "SELECT count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity"
            f" WHERE datname IN ({names}) AND pid <> pg_catalog.pg_backend_pid()"
        )
        try:
            talking.ask("BEGIN")
            if there:
                talking.ask(f"ALTER DATABASE {name(main)} RENAME TO {name(old)}")
            talking.ask(f"ALTER DATABASE {name(new)} RENAME TO {name(main)}")
            talking.ask("COMMIT")
            return
        except OperationFailed:
            talking.ask("ROLLBACK")
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


_LISTS = ("search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries")
"""Settings whose value is a list, which stays as the server keeps it."""


def _copy_settings(talking: Conversation, main: str, new: str) -> None:
    """Give the new database the settings that were made for the old one (`ALTER DATABASE ... SET`, for roles as well)."""
    rows = json.loads(
        talking.ask(
            "SELECT coalesce(json_agg(json_build_array(r.rolname, s.setconfig)), '[]') FROM pg_catalog.pg_db_role_setting s"
            " JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole"
            f" WHERE d.datname = {literal(main)}"
        )
    )
    for role, settings in rows:
        who = f"ROLE {name(role)} IN DATABASE {name(new)}" if role else f"DATABASE {name(new)}"
        for key, _, value in (s.partition("=") for s in settings):
            talking.ask(f"ALTER {who} SET {key} TO {value if key in _LISTS and value else literal(value)}")


def replace(repository: Repository, kept: keep.Kept, part: Mapping[str, Any], where: Server) -> None:
    """Write a dump over what is there, in one transaction of the database itself.

    Raises:
        OperationFailed: it failed: everything is as it was.
    """
    with postgres.talk(repository, where) as talking:
        here = set(json.loads(talking.ask(postgres.TABLES_SQL)))
        is_super = not owned(talking)
    if kept.tables and not set(part["tables"]) & here:
        _make_what_tables_need(repository, where, part)
        begin, words = "", "--no-owner --no-acl" if not is_super else ""
    elif kept.tables:
        off = "SET session_replication_role = replica;" if is_super else ""
        begin = off + "".join(f"DELETE FROM ONLY {table};" for table in part["tables"])
        words = "--data-only"
    else:
        begin, words = "", "--clean --if-exists" + ("" if is_super else " --no-owner --no-acl")
    job = where.job(repository, "replace")
    dump = _DUMP % {"restic": job.restic}
    script = (
        f"{postgres._READ_PASSWORD}dump() {{ {dump[1:-1]} }}\n"
        f'{{ printf "%s\\n" "BEGIN;" "$3"; dump "$1" "$2" | pg_restore {words} --file=- || : > /tmp/failed\n'
        '[ -e /tmp/failed ] || echo "COMMIT;"; } | psql --no-psqlrc --quiet --no-password -v ON_ERROR_STOP=1 >&2\n'
        f"{_READ_ALL}\n"
    )
    what = f"{kept.service} could not be restored; it is as it was"
    repository.check(what, job.do(script, str(part["snapshot"]), str(part["file"]), begin))
    with postgres.talk(repository, where) as talking:
        found = compare.tables(talking, part, list(part["tables"]))
    if found:
        raise OperationFailed(f"{kept.service} is not as it was backed up", "\n".join(found), service=kept.service)
