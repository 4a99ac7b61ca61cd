"""Migrations on a real Postgres: expand and contract, locks, failures, edits; runners that are killed, or meet."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support import stacks
from tests.support.checkout import Checkout
from tests.support.site import SLACK, Site, eventually, seconds_of

FOLDER = "compose/library/web/migrations"
READ = "/database?sql=SELECT+count(*)+FROM+books"


class Library(Site):
    """The stack `library`: its database, past Slipway, and its folder of migrations."""

    def sql(self, sql: str, check: bool = True) -> str:
        argv = ("docker", "exec", "library-accessories-database-1", "psql", "-U", "postgres", "-Atc", sql)
        return self.on(*argv, check=check)

    def had(self) -> list[str]:
        """Return what the database says that it has had, oldest first."""
        return self.sql("SELECT id FROM slipway_migrations ORDER BY applied_at, id").split()

    def columns(self) -> set[str]:
        return set(self.sql("SELECT column_name FROM information_schema.columns WHERE table_name = 'books'").split())

    def add(self, name: str, sql: str, kind: str = "expand") -> str:
        """Write the next migration; return its id."""
        last = max(int(p.name.partition("_")[0]) for p in (self.checkout.path / FOLDER).glob("*.sql"))
        made = f"{last + 1:03d}_{name}"
        self.checkout.write(f"{FOLDER}/{made}.sql", f"-- {name}\n-- slipway: {kind}\n{sql}\n")
        return made

    def drop(self, made: str) -> None:
        (self.checkout.path / FOLDER / f"{made}.sql").unlink()


@pytest.fixture(scope="module")
def library(archive: Checkout) -> Iterator[Library]:
    """`library`, deployed; its tree stays as the tests leave it, as its database does."""
    site = Library(archive, "lab", "library", 8396)
    with archive.changed():
        site.deploy().ok()
        yield site


def test_expand_then_contract(library: Library) -> None:
    first = library.live()
    pages = library.add("pages", "ALTER TABLE books ADD COLUMN pages int;")
    writer = library.add("no_writer", "ALTER TABLE books DROP COLUMN writer;", "contract")
    plan = library.inv("migrate", "--plan").ok().out
    assert re.search(rf"{pages}\.sql \(expand\)\n.*\n.*\n +ALTER TABLE books ADD COLUMN pages int;", plan), (
        "with its SQL"
    )
    assert f"{writer}.sql (contract): left for inv migrate --contract" in plan
    assert "pages" not in library.columns()
    too_early = library.inv("migrate", "--contract").exits(2)
    assert f"{writer} would take away what a release needs" in too_early.err
    assert f"{first} serves" in too_early.err

    with library.visitor(READ, pause=0.15) as visitor:
        library.deploy().ok()
        second = library.live()
        assert {"pages", "writer"} < library.columns(), "a deploy adds, and takes nothing away"
        warm = library.inv("migrate", "--contract").exits(2)
        assert f"{first} still runs" in warm.err
        (waits,) = [
            m for m in library.inv("migrate.status", "--format", "json").ok().json()["migrations"] if m["id"] == writer
        ]
        assert (waits["state"], waits["needed_by"]) == ("waits", [first])

        stacks.behave(library.checkout, "third", stack="library")
        library.deploy().ok()
        eventually(lambda: first not in library.running(), within=30)
        shown = library.inv("migrate", "--contract", "--plan").ok().out
        assert "DROP COLUMN writer" in shown
        library.inv("migrate", "--contract").ok()
    visitor.happy()
    assert "writer" not in library.columns()
    assert library.had()[-2:] == [pages, writer]

    past = library.inv("rollback", "--to", first).exits(2)
    assert f"release {first} can't be gone back to" in past.err
    assert writer in past.err
    again = library.deploy("--version", first.rpartition("-")[0]).exits(2)
    assert f"{writer}: the database has had that contracting migration" in again.err
    library.inv("rollback").ok()
    assert library.live() == second, "it was made with the migration"


def test_a_failing_statement_is_named_and_nothing_of_its_file_stays(library: Library) -> None:
    live, before = library.live(), library.had()
    bad = library.add(
        "shelves", "CREATE TABLE shelves (id int);\n\nALTER TABLE books\n    ADD COLUMN shelf int REFERENCES shelvs;"
    )
    with library.visitor(READ, pause=0.15) as visitor:
        failed = library.deploy().exits(1)
    visitor.happy()
    library.drop(bad)
    assert f"the migration {bad}.sql:5 failed and was undone" in failed.err
    assert 'relation "shelvs" does not exist' in failed.err
    assert "ADD COLUMN shelf int REFERENCES shelvs" in failed.err
    assert f"release {live}" in failed.err
    assert (library.live(), library.had()) == (live, before)
    assert library.sql("SELECT to_regclass('shelves') IS NULL") == "t"


def test_a_lock_that_is_kept(library: Library) -> None:
    """The migration gives up in time, again and again, while readers go on; once the lock is gone it runs."""
    mine = library.add("notes", "ALTER TABLE books ADD COLUMN notes text;")
    keep = "BEGIN; LOCK TABLE books IN ACCESS SHARE MODE; SELECT pg_sleep({}) /* keeps */; COMMIT"

    def kept_for(seconds: float) -> threading.Thread:
        thread = threading.Thread(target=library.sql, args=[keep.format(seconds), False], daemon=True)
        thread.start()
        asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%keeps */%' AND pid <> pg_backend_pid()"
        eventually(lambda: library.sql(asked) == "1", within=10)
        return thread

    with library.visitor(READ, pause=0.15) as visitor:
        keeper = kept_for(60)
        failed = library.inv("migrate").exits(1)
        library.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%keeps */%' AND pid <> pg_backend_pid()"
        )
        keeper.join(10)
        assert f"the migration {mine}.sql:3 failed and was undone" in failed.err
        assert "canceling statement due to lock timeout" in failed.err
        assert "tried 5 times" in failed.err
        assert seconds_of(failed, "Migrate") < 7 * SLACK, "5 times 0.3 s, and 4.5 s of pauses"
        assert mine not in library.had()
        keeper = kept_for(6)
        library.inv("migrate").ok()
        keeper.join(10)
    visitor.happy()
    assert mine in library.had()


def test_an_index_beside_readers_and_writers(library: Library) -> None:
    """What an interrupted one left is removed; it is outside of a transaction, and noted."""
    library.sql("CREATE INDEX books_title ON books (title)")
    library.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'books_title'::regclass")
    made = library.add(
        "titles", "CREATE INDEX CONCURRENTLY IF NOT EXISTS books_title ON books (title);", "expand, no-transaction"
    )
    library.inv("migrate").ok()
    assert library.sql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'books_title'::regclass") == "t"
    assert made in library.had()


def test_an_edited_file(library: Library) -> None:
    file = f"{FOLDER}/001_books.sql"
    text = library.checkout.read(file)
    library.checkout.write(file, text + "-- better words\n")
    for refused in (library.inv("migrate", "--plan").exits(2), library.deploy().exits(2)):
        assert "001_books.sql: was edited after it had been run" in refused.err
    status = library.inv("migrate.status", "--format", "json").exits(1).json()
    assert [m["id"] for m in status["migrations"] if m["state"] == "edited"] == ["001_books"]
    library.checkout.write(file, text)
    library.inv("migrate.status").ok()


def test_two_runners(library: Library) -> None:
    """Of one environment: the lease. From elsewhere, on the same database: an advisory lock."""
    made = library.add("slowly", "SELECT pg_sleep(3);")
    first = library.start("migrate")
    eventually(
        lambda: library.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3)%'") == "2", within=30
    )
    library.inv("migrate").exits(3)
    first.result().ok()
    assert library.had().count(made) == 1

    other = library.add("after", "SELECT 1;")
    lock = "SELECT pg_advisory_lock(7305811241); SELECT pg_sleep(5);"
    threading.Thread(target=library.sql, args=[lock, False], daemon=True).start()
    eventually(lambda: library.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") != "0", within=10)
    begun = time.monotonic()
    second = library.start("migrate")
    time.sleep(2.5)
    assert other not in library.had(), "it waits"
    second.result().ok()
    assert time.monotonic() - begun > 3
    assert other in library.had()


def test_killed_while_it_migrates(library: Library) -> None:
    """Each file is done and noted, or neither; the next run goes on; nothing of the killed ones stays connected."""
    seed = random.randrange(1_000_000)
    instants = random.Random(seed)
    names = [f"kill_{n}" for n in range(6)]
    made = [
        library.add(n, f"CREATE TABLE {n} (id int);\nSELECT pg_sleep(1.5);\nINSERT INTO {n} VALUES (1);") for n in names
    ]
    busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'slipway/%'"
    for _ in range(3):
        deployer = library.start("migrate")
        eventually(lambda: library.sql(busy) != "0", within=30, every=0.05)
        time.sleep(instants.uniform(0, 0.8))
        deployer.kill()
        done = set(library.had())
        there = {n for n in names if library.sql(f"SELECT to_regclass('{n}') IS NOT NULL") == "t"}
        # What was in hand may end between the two looks.
        assert len({n for n, m in zip(names, made, strict=True) if m in done} ^ there) <= 1, seed
        assert len(done & set(made)) < len(made), f"seed {seed}: it was not killed while it ran"
    library.inv("migrate").ok()
    assert set(made) <= set(library.had()), seed
    assert [library.sql(f"SELECT count(*) FROM {n}") for n in names] == ["1"] * 6, seed
    eventually(lambda: library.sql(busy) == "0", within=5)


def test_the_suite_looks_at_the_database(library: Library) -> None:
    """Each finding is made by hand, and found; what nobody migrated may stand beside it."""
    one, two, three = library.had()[:3]
    noted = "UPDATE slipway_migrations SET {} WHERE id = '{}'"
    library.sql("CREATE TABLE by_hand (id int)")
    library.sql("ALTER TABLE books RENAME COLUMN pages TO leaves")
    library.sql(
        noted.format("id = 'x'", one)
        + "; "
        + noted.format("checksum = ''", two)
        + "; "
        + noted.format("id = 'y', kind = 'contract'", three)
    )
    found = library.inv("verify", "--step", "migrate").exits(1).err
    library.sql("ALTER TABLE books RENAME COLUMN leaves TO pages")
    assert f"it lacks {one}" in found
    assert f"edited after they had been run: {two}" in found
    assert "contracted by y" in found
    assert "it has no longer: column public.books.pages integer" in found
    assert "by_hand" not in found
