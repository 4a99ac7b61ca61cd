"""A Postgres database: its dump, and what the dump should hold, counted in the dump's own transaction snapshot.

Two containers of the server's own image share its network: in one psql holds a transaction whose snapshot pg_dump, beside restic
in the other, takes its data from. So the sums are of exactly the rows that were dumped, and they are made meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .. import engine
from ..failure import OperationFailed
from ..state import StackHome
from . import keep, own, pod
from .container import PASSWORD, Job
from .questions import ABOUT_SQL, LOCKED_FOR, OBJECTS_SQL, SETTINGS, SUM_SQL, TABLES_SQL
from .restic import Repository, Watch, host
from .sqlwords import name

READ_PASSWORD = (
    f"secret=${{{pod.WHERE_IT_OPENS}:-{PASSWORD}}}\n"
    'if [ -e "$secret" ]; then PGPASSWORD="$(cat "$secret")"; export PGPASSWORD; fi\n'
)
_MARK = "slipway-end"


@dataclass(frozen=True)
class Server:
    """Where a database is: `network` (and a `second` one) and `image` are those of containers that speak with it."""

    network: str
    image: str
    host: str
    port: str
    database: str
    user: str
    password: str = ""
    second: str = ""

    @property
    def variables(self) -> dict[str, str]:
        """What tells libpq where the database is. No secret."""
        named = {"PGHOST": self.host, "PGPORT": self.port, "PGUSER": self.user, "PGDATABASE": self.database}
        return {**named, "PGCONNECT_TIMEOUT": "10", "PGAPPNAME": "slipway"}

    @property
    def mounts(self) -> tuple[str, ...]:
        """The file with the password, where one is needed."""
        return (f"{self.password}:{PASSWORD}:ro",) if self.password else ()

    def job(self, repository: Repository, name: str) -> Job:
        """Return a container that speaks with it."""
        where = {"network": self.network, "second": self.second}
        return repository.job(name, image=self.image, mounts=self.mounts, variables=self.variables, **where)


def accessory(home: StackHome, service: str) -> dict[str, Any]:
    """Return the running container of an accessory (an inspection). Raises OperationFailed where it does not run."""
    if pod.NAME:
        return pod.container(service)
    found = engine.containers(slipway_stack=home.stack, slipway_service=service, slipway_role="accessory")
    for container in found:
        if container["State"]["Running"] and not container["State"].get("Restarting"):
            return container
    seen = found[0]["State"]["Status"] if found else "it has no container"
    raise OperationFailed(f"{service} does not run", seen, service=service)


def server(home: StackHome, kept: keep.Kept) -> Server:
    """Return where a kept database is. Raises OperationFailed where its container does not run."""
    if pod.NAME:
        address, port = (kept.host, str(kept.port or 5432)) if kept.host else pod.where(kept.service)
        secret = str(pod.GIVEN / f"database-{kept.password}") if kept.password else ""
        image = kept.image or str(pod.container(kept.service)["Image"])
        return Server("", image, address, port, kept.database, kept.user, secret)
    path = home.accessories / "secrets" / kept.password if kept.password else None
    password = str(path) if path and path.exists() else ""
    if kept.host:
        own = keep.folder(home) / "secrets" / f"database-{kept.password}"
        return Server(
            "bridge", kept.image, kept.host, str(kept.port or 5432), kept.database, kept.user, str(own) if kept.password else ""
        )  # fmt: skip
    container = accessory(home, kept.service)
    network = f"container:{container['Id']}"
    return Server(network, container["Image"], "127.0.0.1", "5432", kept.database, kept.user, password)


class Conversation:
    """psql that answers questions one by one, in one session of the server. Use `talk`."""

    def __init__(self, process: Any) -> None:
        self._process = process
        self._errors: list[str] = []
        threading.Thread(target=self._hear, daemon=True).start()
        self._settle()

    def _settle(self) -> None:
        self.ask("SELECT " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in SETTINGS.items()))

    def connect(self, database: str) -> None:
        """Go on with another database of the same server. Raises OperationFailed where that is not possible."""
        value = database.replace("\\", "\\\\").replace("'", "\\'")
        told = name(f"dbname='{value}'")  # psql takes a name's quotes around it, whatever is in it
        self._say(f"\\connect -reuse-previous=on {told}\n")
        self._settle()

    def _hear(self) -> None:
        for line in self._process.stderr:
            self._errors = [*self._errors[-20:], line]

    def ask(self, sql: str) -> str:
        """Return what one statement answers, which has to be one line. Raises OperationFailed where it fails."""
        self._errors = []
        self._say(f"{sql};\n\\echo {_MARK} :ERROR\n")
        lines: list[str] = []
        for line in self._process.stdout:
            if line.startswith(_MARK):
                if line.split()[1] == "true":
                    self._process.poll()
                    raise OperationFailed("the database refused a statement", "".join(self._errors).strip() or sql)
                return "".join(lines).strip()
            lines.append(line)
        raise self._gone()

    def _say(self, text: str) -> None:
        try:
            self._process.stdin.write(text)
            self._process.stdin.flush()
        except OSError as error:
            raise self._gone() from error

    def _gone(self) -> OperationFailed:
        with contextlib.suppress(Exception):
            self._process.wait(10)
        return OperationFailed("the database does not answer", "".join(self._errors).strip())


@contextlib.contextmanager
def talk(repository: Repository, where: Server) -> Iterator[Conversation]:
    """Open a conversation with a database. Raises OperationFailed where it does not answer."""
    job = where.job(repository, "sums")
    script = READ_PASSWORD + "exec psql --no-psqlrc --quiet --no-align --tuples-only --no-password"
    with engine.child(job.argv(script, ()), container=job.container) as process:
        try:
            yield Conversation(process)
        finally:
            with contextlib.suppress(OSError):
                process.stdin.close()
            with contextlib.suppress(Exception):
                process.wait(20)


def counted(talking: Conversation, tables: list[str]) -> dict[str, list[Any]]:
    """Return rows and sum of each table, within the transaction that is open. A table that can't be summed has None."""
    found = {}
    for table in tables:
        talking.ask("SAVEPOINT one")
        try:
            found[table] = json.loads(talking.ask(SUM_SQL.format(table=table)))
        except OperationFailed:  # a row that is too long as text, for one
            talking.ask("ROLLBACK TO one")
            found[table] = [int(talking.ask(f"SELECT count(*) FROM ONLY {table}")), None]  # noqa: S608 - quoted by the server
    return found


def objects(talking: Conversation) -> list[Any]:
    """Return how many large objects there are, and their sum, within the transaction that is open."""
    talking.ask("SAVEPOINT one")
    try:
        return list(json.loads(talking.ask(OBJECTS_SQL)))
    except OperationFailed:
        talking.ask("ROLLBACK TO one")
        return [int(talking.ask("SELECT count(*) FROM pg_catalog.pg_largeobject_metadata")), None]


def dump(repository: Repository, kept: keep.Kept, tags: str, progress: Callable[[int], None]) -> dict[str, Any]:
    """Store a dump; return its part of the manifest.

    Args:
        repository: where.
        kept: what.
        tags: of the snapshot.
        progress: told the bytes that were read so far.

    Raises:
        OperationFailed: the database does not answer, or is empty; the dump failed; it can't be read back.
    """
    where = server(repository.home, kept)
    with talk(repository, where) as talking, ThreadPoolExecutor(1) as pool:
        talking.ask("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        exported = talking.ask("SELECT pg_export_snapshot()")
        about = json.loads(talking.ask(ABOUT_SQL)) | {"own": own.of(talking, kept.database)}
        wanted = {t if "." in t else f"public.{t}" for t in kept.tables}
        tables = [t for t in json.loads(talking.ask(TABLES_SQL)) if not wanted or t.replace('"', "") in wanted]
        missing = sorted(wanted - {t.replace('"', "") for t in tables})
        if missing or not tables:
            what = f"{kept.service}: there is no table {', '.join(missing)}" if missing else f"{kept.service} is empty"
            raise OperationFailed(what, f"database {kept.database} has {len(tables)} tables", service=kept.service)
        named = tables if kept.tables else []
        dumping = pool.submit(_dump, repository, kept, where, exported, named, tags, progress)
        sums = counted(talking, tables)
        large = objects(talking) if not kept.tables else [0, None]
        summary, listed = dumping.result()
    _refuse_other(kept, tables, listed)
    return {
        **about,
        "snapshot": summary["snapshot_id"],
        "bytes": summary["total_bytes_processed"],
        "added": summary["data_added_packed"],
        "file": kept.file,
        "database": kept.database,
        "user": kept.user,
        "image": where.image,
        "tables": sums,
        "large_objects": large,
    }


def _dump(
    repository: Repository,
    kept: keep.Kept,
    where: Server,
    exported: str,
    tables: list[str],
    tags: str,
    progress: Callable[[int], None],
) -> tuple[dict[str, Any], list[str]]:
    """Dump into the repository, and read the list of what is in the dump back from there."""
    job = where.job(repository, "dump")
    words = ["pg_dump", "--format=custom", "--compress=0", "--no-password", f"--snapshot={exported}"]
    words += [f"--lock-wait-timeout={LOCKED_FOR}", *(f"--table={t}" for t in tables)]
    script = (
        f'{READ_PASSWORD}tags=$1; file=$2; host=$3; shift 3\n{job.restic} backup --json --retry-lock 2m --host "$host"'
        ' --tag "$tags" --stdin-filename "$file" --stdin-from-command -- "$@" || exit $?\n'
        f'echo; {job.restic} dump --no-lock --tag "$tags" latest "$file" 2> /tmp/read | pg_restore --list'
        " || { code=$?; cat /tmp/read >&2; exit $code; }\n"
    )
    listed: list[str] = []
    watch = Watch(progress, listed.append)
    done = job.do(script, tags, kept.file, host(repository.document)[1], *words, line=watch)
    what = (
        f"the dump of {kept.service} failed" if not watch.summary else f"the dump of {kept.service} can't be read back"
    )
    repository.check(what, watch.with_errors(done))
    return watch.ended(done), listed


def _refuse_other(kept: keep.Kept, tables: list[str], listed: list[str]) -> None:
    """Raise OperationFailed where the dump does not hold the data of as many tables as the database has."""
    held = sum(" TABLE DATA " in line for line in listed)
    if held < len(tables):
        seen = f"{held} tables with data in the dump, {len(tables)} in the database"
        raise OperationFailed(f"the dump of {kept.service} is not whole", seen, service=kept.service)
