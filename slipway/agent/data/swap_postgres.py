"""What was loaded beside a database, in its place: names are swapped in one transaction, or the dump is written over it in one.

So an interruption leaves the old database or the new one, never half of one.
"""

# ruff: noqa: S608 - names are quoted here, or by the server
from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from ..failure import OperationFailed
from . import compare, keep, own, postgres
from .into_postgres import DUMP, NEW, OLD, READ_ALL, administrator, beside, drop, exists, make_what_tables_need, owned
from .postgres import Conversation, Server
from .questions import TABLES_SQL
from .restic import Repository
from .sqlwords import literal, name

_SWAP_WITHIN = 20.0
"""Seconds that clients which come back again and again get to be kept out for long enough."""


def swap(repository: Repository, kept: keep.Kept, part: Mapping[str, Any], where: Server) -> None:
    """Give the database that was loaded beside the kept one's name, in one transaction; then remove the old one.

    Grants on the database, its connection limit and its settings stay; where it has none, it gets those of the backup.

    Raises:
        OperationFailed: clients did not leave, or there is nothing loaded: the old one is in place.
    """
    new, old = beside(kept, NEW), beside(kept, OLD)
    with administrator(repository, where) as talking:
        if not exists(talking, new):
            raise OperationFailed(f"nothing was loaded for {kept.service}", new, service=kept.service)
        drop(talking, old)
        has = own.of(talking, kept.database)
        own.give(talking, new, part.get("own", own.NOTHING) if has == own.NOTHING else has)
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


def replace(repository: Repository, kept: keep.Kept, part: Mapping[str, Any], where: Server) -> None:
    """Write a dump over what is there, in one transaction of the database itself.

    Raises:
        OperationFailed: it failed: everything is as it was.
    """
    with postgres.talk(repository, where) as talking:
        here = set(json.loads(talking.ask(TABLES_SQL)))
        is_super = not owned(talking)
        if kept.tables and not set(part["tables"]) & here:
            make_what_tables_need(talking, part)
    if kept.tables and not set(part["tables"]) & here:
        begin, words = "", "--no-owner --no-acl" if not is_super else ""
    elif kept.tables:
        off = "SET session_replication_role = replica;" if is_super else ""
        begin = off + "".join(f"DELETE FROM ONLY {table};" for table in part["tables"])
        words = "--data-only"
    else:
        begin, words = "", "--clean --if-exists" + ("" if is_super else " --no-owner --no-acl")
    job = where.job(repository, "replace")
    dump = DUMP % {"restic": job.restic}
    script = (
        f"{postgres.READ_PASSWORD}dump() {{ {dump}; }}\n"
        f'{{ printf "%s\\n" "BEGIN;" "$3"; dump "$1" "$2" | pg_restore {words} --file=- || : > /tmp/failed\n'
        '[ -e /tmp/failed ] || echo "COMMIT;"; } | psql --no-psqlrc --quiet --no-password -v ON_ERROR_STOP=1 >&2\n'
        f"{READ_ALL}\n"
    )
    what = f"{kept.service} could not be restored; it is as it was"
    repository.check(what, job.do(script, str(part["snapshot"]), str(part["file"]), begin))
    with postgres.talk(repository, where) as talking:
        found = compare.tables(talking, part, list(part["tables"]))
    if found:
        raise OperationFailed(f"{kept.service} is not as it was backed up", "\n".join(found), service=kept.service)
