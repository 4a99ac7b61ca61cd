"""The stack `books` and its data, as tests make them, past Slipway."""

from __future__ import annotations

import json
from typing import Any

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


def wreck(site: Site) -> None:
    """Do to the data what nobody should: rows and a table go, keys go, files go, change and come."""
    sql(
        site,
        'DELETE FROM book WHERE id > 7; DROP TABLE "Odd".nothing; SELECT lo_unlink(oid) FROM pg_largeobject_metadata',
    )
    site.on("docker", "exec", "books-accessories-queue-1", "redis-cli", "flushall")
    volume = "$(docker volume inspect --format '{{.Mountpoint}}' slipway-books-papers)"
    site.on("sh", "-euc", f"cd {volume}; rm -r deep; echo two > one; echo new > new")


def forge(site: Site, change: str) -> None:
    """Give the newest backup another manifest: `change` is Python that changes `parts`, by (service, kind)."""
    code = f"""
import json, sys
sys.path.insert(0, "/var/lib/slipway/agent/current.pyz")
from slipway.agent.data import lock, restore, snapshots
from slipway.agent.state import StackHome
with lock.alone(StackHome("books"), lock.Who("forge", "test", "test"), 60, print) as repository:
    chosen = restore.choose(repository, "latest")
    manifest = repository.manifest(chosen)
    parts = {{(p["service"], p["kind"]): p for p in manifest["parts"]}}
    {change}
    tags = {{k: str(manifest[k]) for k in ("env", "stack", "run", "seq", "scope", "release")}}
    words = snapshots.tagged(**tags, kind="manifest", parts=str(len(parts)))
    repository.store(words, "/manifest.json", json.dumps(manifest))
    repository.forget([chosen.manifest], prune=False)
"""
    site.on("runuser", "-u", "deploy", "--", "python3", "-c", code)


def snapshot_rows(site: Site) -> str:
    """Return count and sum of the books."""
    return sql(site, "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM book t")
