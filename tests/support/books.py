"""The stack `books` and its data, as tests make them, past Slipway."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from tests.support import anything, cheapkey
from tests.support.checkout import Running
from tests.support.site import Site

FOLDER = "/var/lib/slipway/stacks/books/backup"
DATABASE = "books-accessories-db-1"
_ROWS = """
DROP SCHEMA IF EXISTS "Odd" CASCADE; DROP TABLE IF EXISTS book; CREATE SCHEMA "Odd";
CREATE TABLE book (id serial PRIMARY KEY, title text, price numeric, at timestamptz DEFAULT now());
INSERT INTO book (title, price) SELECT 'title ' || md5(g::text), g / 7.0 FROM generate_series(1, 20000) g;
CREATE TABLE "Odd"."ü ""b" (a int[], "B" jsonb, c bytea, d double precision, slipway_row text);
INSERT INTO "Odd"."ü ""b" VALUES ('{1,2}', '{"a": 1}', '\\x00ff', 0.1, 'x'), (NULL, NULL, NULL, 'NaN', NULL);
CREATE TABLE "Odd".nothing ();
SELECT lo_from_bytea(0, 'large') WHERE NOT EXISTS (SELECT FROM pg_largeobject_metadata);
"""
_PAPERS = """
d=$(docker volume inspect --format '{{.Mountpoint}}' slipway-books-papers); mkdir -p "$d/deep"
echo one > $d/one; chmod 640 $d/one; seq 1 30000 > "$d/deep/two words"; ln -sf one $d/link
"""


def fill(site: Site) -> None:
    """Put rows, a large object, keys and files where the stack keeps them."""
    sql(site, _ROWS)
    site.on("docker", "exec", "books-accessories-queue-1", "redis-cli", "set", "hello", "world")
    site.on("sh", "-euc", _PAPERS)


def sql(site: Site, text: str, database: str = "books") -> str:
    """Have the stack's database do something, past Slipway; return what it answers."""
    argv = ["docker", "exec", "-i", DATABASE, "psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-U", "books", database]
    return site.checkout.on(site.env, *argv, stdin=text)


def listed(site: Site) -> list[dict[str, Any]]:
    """Return what `backup.list` tells."""
    found: list[dict[str, Any]] = site.inv("backup.list", "--format", "json").ok().json()
    return found


def listed_nothing(site: Site) -> bool:
    """Tell whether `backup.list` offers nothing."""
    return bool(site.inv("backup.list", "--format", "json").ok().json() == [])


def restic(site: Site, *words: str, repository: str = "/var/backups/slipway/lab", check: bool = True) -> str:
    """Run restic on the stack's repository, past Slipway: its image, the password that the host has."""
    argv = ["docker", "run", "--rm", "--network", "none", "--volume", f"{repository}:/repository"]
    argv += ["--volume", f"{FOLDER}/secrets:/run/secrets:ro", "restic/restic:0.18.0", "--no-cache"]
    argv += ["--repo", "/repository", "--password-file", "/run/secrets/password", *words]
    return site.on(*argv, check=check)


def kept(site: Site) -> dict[str, Any]:
    """Return the manifest of the newest backup, read with restic alone."""
    found = json.loads(restic(site, "snapshots", "--json", "--tag", "slipway,stack=books,kind=manifest"))
    newest = max(found, key=lambda s: int(next(t for t in s["tags"] if t.startswith("seq=")).partition("=")[2]))
    document: dict[str, Any] = json.loads(restic(site, "dump", newest["id"], "/manifest.json"))
    return document


def snapshot(site: Site) -> dict[str, Any]:
    """Return all data of the stack as they are, past Slipway: to be compared with later ones."""
    public = "relnamespace = 'public'::regnamespace"
    tables = ("public.book", '"Odd"."ü ""b"', '"Odd".nothing')
    sums = "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {} t"
    volume = "$(docker volume inspect --format '{{.Mountpoint}}' slipway-books-papers)"
    look = f"cd {volume}; find . -type f -exec sha256sum {{}} +; find . -printf '%p %m %u %l\\n'"
    store = ["docker", "exec", "books-accessories-queue-1", "redis-cli"]
    return {
        "rows": {t: sql(site, sums.format(t)) for t in tables},
        "large objects": sql(site, "SELECT count(*), sum(length(lo_get(oid))) FROM pg_largeobject_metadata"),
        "owners": sql(site, f"SELECT relname, relowner::regrole FROM pg_class WHERE {public} ORDER BY 1"),
        "keys": sorted(site.on(*store, "keys", "*").split()),
        "hello": site.on(*store, "get", "hello"),
        "files": sorted(site.on("sh", "-euc", look).splitlines()),
    }  # fmt: skip


def snapshot_rows(site: Site) -> str:
    """Return what is in the table `book`: how many rows, and a checksum."""
    return sql(site, "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM book t")


def wreck(site: Site) -> None:
    """Do to the data what nobody should: rows and a table go, keys go, files go, change and come."""
    sql(
        site,
        'DELETE FROM book WHERE id > 7; DROP TABLE "Odd".nothing; SELECT lo_unlink(oid) FROM pg_largeobject_metadata',
    )
    site.on("docker", "exec", "books-accessories-queue-1", "redis-cli", "flushall")
    volume = "$(docker volume inspect --format '{{.Mountpoint}}' slipway-books-papers)"
    site.on("sh", "-euc", f"cd {volume}; rm -r deep; echo two > one; echo new > new")


def agent(site: Site, code: str) -> str:
    """Run Python on the host with Slipway's own code and the lock of the data (`repository`); return what it prints."""
    head = """
import json, sys
sys.path.insert(0, "/var/lib/slipway/agent/current.pyz")
from slipway.agent.data import backup, lock, restore, snapshots
from slipway.agent.failure import OperationFailed
from slipway.agent.state import StackHome
with lock.alone(StackHome("books"), lock.Who("test", "test", "test"), 60, lambda _: None) as repository:
"""
    return site.on("runuser", "-u", "deploy", "--", "python3", "-c", head + textwrap.indent(code, "    "))


def forge(site: Site, change: str) -> None:
    """Give the newest backup another manifest: `change` is Python that changes `parts`, by (service, kind)."""
    agent(site, f"""
chosen = restore.choose(repository, "latest")
manifest = repository.manifest(chosen)
parts = {{(p["service"], p["kind"]): p for p in manifest["parts"]}}
{change}
tags = {{k: str(manifest[k]) for k in ("env", "stack", "run", "seq", "scope", "release")}}
words = snapshots.tagged(**tags, kind="manifest", parts=str(len(parts)))
repository.conclude(words, json.dumps(manifest))
repository.forget([chosen.manifest], prune=False)
""")  # fmt: skip


def add_partial(site: Site, count: int) -> None:
    """Store so many backups that hold nothing, of which the policy keeps three; nothing is pruned meanwhile."""
    agent(site, f"""
sets, _ = repository.sets()
number = snapshots.next_number(sets)
for seq in range(number, number + {count}):
    tags = {{"env": repository.document.env, "stack": "books", "run": f"{{lock.new_run()}}", "seq": str(seq), "scope": "partial"}}
    words = snapshots.tagged(**tags, release="", kind="manifest", parts="0")
    argv = ["backup", "--quiet", "--host", "x", "--tag", words, "--stdin", "--stdin-filename", "/manifest.json"]
    told = json.dumps({{**tags, "release": "", "seq": seq, "at": "", "parts": []}})
    repository.check("it was not stored", repository.restic("store", *argv, stdin=told))
""")  # fmt: skip


KILLS = ("deployer", "agent", "containers")
"""Who is killed: the command, Slipway's process on the host, the containers that do the work."""


def kill(site: Site, running: Running, how: str) -> None:
    """Kill a run in one of these ways, and wait for the end of its command."""
    if how == "deployer":
        running.kill()
        return
    look = "docker ps --quiet --filter label=slipway.task"
    command = "pkill -KILL -u deploy python3" if how == "agent" else f"docker kill $({look})"
    site.on("sh", "-c", command, check=False)
    running.result()


def meet(site: Site, name: str, verb: list[str], command: str = "echo $c") -> Running:
    """Start a verb and run a shell command on the host while a container of that name runs, its id in `$c`.

    The host itself looks: such a container is there for a moment only. Where it was gone before the command had done its work, the
    verb is started again.
    """
    look = f"c=$(docker ps --quiet --filter name={name} | head -n 1)"
    script = f'until {look}; [ -n "$c" ] && {command}; do sleep 0.02; done'
    for _ in range(6):
        running = site.start(*verb)
        if site.on("timeout", "30", "sh", "-c", script, check=False):
            return running
        running.result()
    raise AssertionError(f"no container {name} was met")


def back_up_database(site: Site) -> str:
    """Back the database up on the host, past `inv`; return the backup's id."""
    return agent(site, 'print(backup.take(repository, only=["db"], any_size=True, progress=lambda _: None).id)')


def restore_database(site: Site, made: str) -> str:
    """Restore the database of a backup on the host, past `inv`; return what is not as its manifest says."""
    return agent(site, f"""
manifest = repository.manifest(restore.choose(repository, {made!r}))
todo = restore.work(repository.document, manifest, ["db"])
wrong, _ = restore.load(repository, todo, {{}}, lambda _: None)
print("\\n".join(wrong))
restore.put_in_place(repository, todo, {{}}, lambda _: None)
""")  # fmt: skip


def back_and_forth(site: Site, statements: list[str]) -> None:
    """Fill the database anew, back it up, wreck it, restore it; fail where it is not what it was."""
    sql(site, _ANEW)
    sql(site, anything.script(statements))
    before = dumped(site)
    made = back_up_database(site)
    sql(site, _WRECKED)
    assert dumped(site) != before
    wrong = restore_database(site, made)
    assert wrong == "", wrong
    after = dumped(site)
    assert after == before, "\n".join(sorted(set(before) ^ set(after)))[:2000]


_EMPTY = """
SELECT lo_unlink(oid) FROM pg_largeobject_metadata;
SELECT format('DROP SCHEMA %I CASCADE', nspname) FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' \\gexec
CREATE SCHEMA public;
"""
_ANEW = f"""{_EMPTY}
SELECT 'CREATE ROLE odd_role' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'odd_role') \\gexec
ALTER DATABASE books CONNECTION LIMIT -1; ALTER DATABASE books RESET ALL; REVOKE ALL ON DATABASE books FROM odd_role;
"""
_WRECKED = f"{_EMPTY} CREATE TABLE junk AS SELECT 1 AS one;"


def dumped(site: Site) -> list[str]:
    """Return all that the server's own pg_dump tells of the database, line by line, but for what differs each time."""
    argv = ["docker", "exec", DATABASE, "pg_dump", "-U", "books", "--create", "books"]
    text = site.on(*argv)
    return sorted(line for line in text.split("\n") if not line.startswith(("\\restrict", "\\unrestrict")))


def cheapen(site: Site, repository: str = "/var/backups/slipway/lab") -> None:
    """See that a repository on the host opens at once (see `cheapkey`)."""
    name = site.on("ls", f"{repository}/keys")
    text = site.on("cat", f"{repository}/keys/{name}")
    if cheapkey.is_cheap(text):
        return
    made, cheap = cheapkey.rewrapped(text, password_of(site))
    place = 'cd "$1/keys"; cat > "$2"; chmod --reference="$3" "$2"; rm -f "$3"'
    site.checkout.on(site.env, "sh", "-euc", place, "sh", repository, made, name, stdin=cheap)


def cheapen_folder(site: Site, repository: Path) -> None:
    """The same for one in a folder of this machine."""
    (file,) = (repository / "keys").iterdir()
    made, cheap = cheapkey.rewrapped(file.read_text(), password_of(site))
    file.unlink()
    (repository / "keys" / made).write_text(cheap)


def password_of(site: Site) -> str:
    """Return the password of the repository, as the host has it."""
    return site.on("cat", f"{FOLDER}/secrets/password")
