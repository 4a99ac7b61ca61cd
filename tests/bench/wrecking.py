"""Runs on data that are killed at random instants, and databases as nobody would design them: for `inv bench data`.

Each row counts what went wrong, and says by which kill; 0 is what must be.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.bench.stage import say
from tests.bench.table import Row
from tests.support import anything, books
from tests.support.site import Site, eventually

REPOSITORY = "/var/backups/slipway/ours"


def _killed(
    site: Site, what: str, argv: tuple[str, ...], count: int, before: Callable[[], None], wrong_now: Callable[[], str]
) -> tuple[Row, list[Any]]:
    """Kill `inv ARGV` at random instants; `wrong_now` then says what is wrong, "" where nothing is, and makes all well again."""
    before()
    took = site.inv(*argv).ok().seconds
    wrong, instants = list[str](), list[Any]()
    for number in range(count):
        before()
        instant, how = random.uniform(0.3, took), books.KILLS[number % len(books.KILLS)]
        instants.append([how, round(instant, 2)])
        say(f"{what} {number + 1} of {count}: {how} after {instant:.1f} s of {took:.1f} s")
        running = site.start(*argv)
        time.sleep(instant)
        books.kill(site, running, how)
        found = wrong_now()
        wrong += [f"{how} at {instant:.1f} s: {found}"] if found else []
    if "no errors were found" not in books.restic(site, "check", repository=REPOSITORY, check=False):
        wrong.append("the repository is damaged")
    return Row(f"{what} killed, after which anything was wrong", len(wrong), "", 0, 0, f"of {count}; {wrong[:1] or ''}"), [
        instants, wrong,
    ]  # fmt: skip


def backups(site: Site, count: int, raw: dict[str, Any]) -> Row:
    """Kill backups; wrong is half a backup that is offered, or a next one that needs help."""

    def wrong() -> str:
        if any(len(s["parts"]) != 4 for s in books.listed(site)):
            return "half a backup is offered"
        after = site.inv("backup")
        return after.err if after.code else ""

    row, raw["killed backups"] = _killed(site, "backups", ("backup",), count, lambda: None, wrong)
    return row


def restores(site: Site, count: int, raw: dict[str, Any]) -> Row:
    """Kill restores; wrong is a database that is half the one and half the other, or a next restore that needs help."""
    site.inv("backup", "--any-size").ok()
    whole = books.snapshot(site)

    def wrong() -> str:
        half = books.sql(site, "SELECT count(*) FROM book") not in ("7", "20000")
        after = site.inv("restore", "--yes", "--no-safety")
        if after.code or books.snapshot(site) != whole:
            return after.err or "other data than before"
        return "half a table" if half else ""

    def before() -> None:
        books.sql(site, "DELETE FROM book WHERE id > 7")

    argv = ("restore", "--yes", "--no-safety")
    row, raw["killed restores"] = _killed(site, "restores", argv, count, before, wrong)
    return row


def prunes(site: Site, count: int, raw: dict[str, Any]) -> Row:
    """Kill prunings; wrong is a whole backup that went or is half, or a next pruning that needs help."""
    kept = {s["id"] for s in books.listed(site) if s["scope"] == "full"}

    def wrong() -> str:
        after = site.inv("backup.prune")
        found = books.listed(site)
        if {s["id"] for s in found if s["scope"] == "full"} != kept:
            return "a backup is gone that is kept"
        return (
            after.err
            if after.code
            else ""
            if sum(s["scope"] == "partial" for s in found) <= 3
            else "nothing was pruned"
        )

    row, raw["killed prunings"] = _killed(
        site, "prunings", ("backup.prune",), count, lambda: books.add_partial(site, 6), wrong
    )
    return row


def migrations(site: Site, count: int, raw: dict[str, Any]) -> Row:
    """Kill migrations of the stack `library`; wrong is a file that is half done, or a next run that needs help."""
    folder, made = "compose/library/web/migrations", list[str]()

    def ask(sql: str) -> str:
        argv = ("docker", "exec", "library-accessories-database-1", "psql", "-U", "postgres", "-Atc", sql)
        return site.on(*argv)

    def add() -> None:
        made.clear()
        last = max(int(p.name.partition("_")[0]) for p in (site.checkout.path / folder).glob("*.sql"))
        for number in range(last + 1, last + 4):
            made.append(f"{number:03d}_kill")
            text = f"CREATE TABLE kill_{number} (id int);\nSELECT pg_sleep(0.3);\nINSERT INTO kill_{number} VALUES (1);"
            site.checkout.write(f"{folder}/{number:03d}_kill.sql", f"-- kill\n-- slipway: expand\n{text}\n")

    def half() -> list[str]:
        noted = set(ask("SELECT id FROM slipway_migrations").split())
        return [m for m in made if (m in noted) != (ask(f"SELECT to_regclass('kill_{m[:3]}') IS NOT NULL") == "t")]

    def wrong() -> str:
        busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'slipway/%'"
        eventually(lambda: ask(busy) == "0", within=20)
        left = half()
        after = site.inv("migrate")
        rows = [ask(f"SELECT count(*) FROM kill_{m[:3]}") for m in made] if not after.code else []
        return after.err if after.code else f"half: {left}" if left else "" if rows == ["1"] * 3 else f"rows {rows}"

    row, raw["killed migrations"] = _killed(site, "migrations", ("migrate",), count, add, wrong)
    return row


def databases(site: Site, count: int, raw: dict[str, Any]) -> Row:
    """Back up, wreck and restore random databases; wrong is one that does not come back as it was."""
    chosen, wrong, tables = random.randrange(10**6), list[str](), list[int]()

    @seed(chosen)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(anything.databases())
    def comes_back(statements: list[str]) -> None:
        tables.append(sum(s.startswith("CREATE") and " TABLE " in s for s in statements))
        say(f"database {len(tables)}: {tables[-1]} tables")
        try:
            books.back_and_forth(site, statements)
        except AssertionError as error:
            wrong.append(f"{anything.script(statements)}\n{error}")

    comes_back()
    raw["random databases"] = {"seed": chosen, "tables": tables, "wrong": wrong}
    detail = f"of {len(tables)}, with {sum(tables)} tables; seed {chosen}"
    return Row("random databases that did not come back as they were", len(wrong), "", 0, 0, detail)


def fineasy(site: Site, raw: dict[str, Any]) -> Row:
    """Deploy the stack `fineasy`, back it up, drill, wreck its database and restore; count what went wrong."""
    found = Site(site.checkout, site.env, "fineasy", 8398)
    found.deploy().ok()
    ask = ["docker", "exec", "fineasy-accessories-postgres-1", "sh", "-c"]
    dump = 'pg_dump -U "$POSTGRES_USER" "$POSTGRES_DB" | grep -v restrict | sort | sha256sum'
    before = found.on(*ask, dump)
    made = found.inv("backup", "--format", "json").ok().json()["set"]
    drill = found.inv("backup.drill", "--format", "json").json()
    found.on(*ask, 'psql -qU "$POSTGRES_USER" "$POSTGRES_DB" -c "DROP SCHEMA public CASCADE" -c "CREATE SCHEMA public"')
    restored = found.inv("restore", "--yes", "--format", "json")
    wrong = [] if drill["verdict"] == "good" else list(drill["findings"])
    wrong += [] if restored.code == 0 else [restored.err]
    wrong += [] if found.on(*ask, dump) == before else ["the database is not what it was"]
    wrong += [] if found.status()["healthy"] else ["it does not serve"]
    seconds = restored.json()["seconds"] if restored.code == 0 else 0.0
    raw["fineasy"] = {"set": made, "drill": drill, "wrong": wrong, "restored": seconds}
    asked = ", ".join(drill.get("asked") or {})
    detail = f"drill {drill['rto_s']:.0f} s until {asked} could serve, restore {seconds:.0f} s; {wrong[:1] or ''}"
    return Row("fineasy: what a drill and a restore got wrong", len(wrong), "", 0, 0, detail)
