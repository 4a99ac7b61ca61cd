"""What else a stack may keep: a database outside, single tables; old rows; and a person who agrees by typing."""

from __future__ import annotations

import os
import pty
from collections.abc import Iterator

import pytest

from tests.support import books as data
from tests.support.site import Site

STACK = "compose/books/compose.yaml"


@pytest.fixture
def kept(books: Site) -> Iterator[Site]:
    """The stack with its data; what a test changes in the tree, and by it on the host, is taken back."""
    data.fill(books)
    with books.checkout.changed():
        yield books
    books.inv("deploy").ok()


def newest(site: Site, *argv: str) -> str:
    """Back up; return the id."""
    return str(site.inv("backup", "--any-size", *argv, "--format", "json").ok().json()["set"]["id"])


def test_a_database_outside(kept: Site) -> None:
    """Over the network, by a user who owns the database and may make no other one: written over in one transaction."""
    password = kept.on("cat", "/var/lib/slipway/stacks/books/accessories/secrets/database")
    server = ["docker", "run", "--detach", "--name", "outside", "--env", f"POSTGRES_PASSWORD={password}", "postgres:17"]
    kept.on(*server)
    ask = ["docker", "exec", "-i", "outside", "psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-U"]
    say = lambda sql, who="shop", db="shop": kept.checkout.on(kept.env, *ask, who, db, stdin=sql)  # noqa: E731
    try:
        ready = "until docker exec outside pg_isready -q -h 127.0.0.1; do sleep 0.2; done"
        kept.on("sh", "-c", ready)
        say(f"CREATE ROLE shop LOGIN PASSWORD '{password}'; CREATE DATABASE shop OWNER shop", "postgres", "postgres")
        say('CREATE TABLE t (id serial PRIMARY KEY, v text); CREATE TABLE u (t int REFERENCES t, "ü" jsonb)')
        say("INSERT INTO t (v) SELECT g FROM generate_series(1, 500) g; INSERT INTO u SELECT id, '{}' FROM t")
        address = kept.on("docker", "inspect", "--format", "{{.NetworkSettings.IPAddress}}", "outside")
        external = (
            f"{{name: main, host: {address}, database: shop, user: shop, password: database, image: 'postgres:17'}}"
        )
        kept.checkout.edit(STACK, "\nx-slipway:\n", f"\nx-slipway:\n  external: [{external}]\n")
        made = newest(kept, "--only", "main")
        say("DROP TABLE u; DELETE FROM t WHERE id > 3; CREATE TABLE junk ()")
        kept.inv("restore", "--snapshot", made, "--only", "main", "--yes").ok()
        assert say("SELECT count(*), sum(v::int) FROM t JOIN u ON u.t = t.id") == "500|125250"
        assert data.listed(kept)[0]["scope"] == "safety"
        kept.on("docker", "stop", "--time", "2", "outside")
        assert "does not answer" in kept.inv("backup", "--only", "main").exits(1).err
    finally:
        kept.on("docker", "rm", "--force", "--volumes", "outside")


def test_single_tables(kept: Site) -> None:
    """They come back whole; what stands beside them stays as it is."""
    kept.checkout.edit(STACK, "{backup: postgres}", "{backup: {kind: postgres, tables: [book]}}")
    made = newest(kept, "--only", "db")
    before = data.snapshot_rows(kept)
    data.sql(kept, 'DELETE FROM book WHERE id > 7; DELETE FROM "Odd"."ü ""b" WHERE a IS NULL')
    done = kept.inv("restore", "--snapshot", made, "--only", "db", "--yes", "--no-safety").ok()
    assert "db: 1 tables" in done.out
    assert data.snapshot_rows(kept) == before
    assert data.sql(kept, 'SELECT count(*) FROM "Odd"."ü ""b"') == "1"


def test_old_rows(kept: Site) -> None:
    kept.checkout.edit(STACK, "\nx-slipway:\n", "\nx-slipway:\n  clean: [{table: book, column: at}]\n")
    data.sql(kept, "UPDATE book SET at = now() - interval '100 days' WHERE id <= 5")
    assert "book: 5 rows would go" in kept.inv("storage.clean", "--plan").ok().out
    assert "this deletes the rows of book" in kept.inv("storage.clean").exits(2).err
    assert "book: 0 rows deleted" in kept.inv("storage.clean", "--older-than", "101d", "--yes").ok().out
    assert data.sql(kept, "SELECT count(*) FROM book") == "20000"
    assert "book: 5 rows deleted" in kept.inv("storage.clean", "--yes").ok().out
    assert data.sql(kept, "SELECT count(*), min(id) FROM book") == "19995|6"
    assert "old rows of book" in kept.inv("storage.review").ok().out


def test_a_person_agrees_by_typing(kept: Site) -> None:
    """The environment's name on a terminal; any other word changes nothing."""
    made = newest(kept, "--only", "web")
    place = kept.on("docker", "volume", "inspect", "--format", "{{.Mountpoint}}", "slipway-books-papers")
    kept.on("sh", "-c", f"echo two > {place}/one")
    argv = ["restore", "--env", "lab", "--stack", "books", "--snapshot", made, "--only", "web", "--no-safety"]
    assert typed(kept, argv, "yes")[0] == 2
    assert kept.on("cat", f"{place}/one") == "two"
    code, said = typed(kept, argv, "lab")
    assert code == 0, said
    assert "Type lab to go on" in said
    assert kept.on("cat", f"{place}/one") == "one"


def typed(site: Site, argv: list[str], answer: str) -> tuple[int, str]:
    """Run `inv ARGV` on a terminal and type one line once it is asked for; return exit code and what was shown."""
    environment = {**os.environ, **site.checkout.env, "TERM": "dumb"}
    environment.pop("CI", None)
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(site.checkout.path)
        os.execve(".venv/bin/inv", ["inv", *argv], environment)
    said, told = b"", False
    while True:
        try:
            said += os.read(terminal, 4096)
        except OSError:  # it has ended
            break
        if b"to go on:" in said and not told:
            told = bool(os.write(terminal, f"{answer}\n".encode()))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.decode(errors="replace")
