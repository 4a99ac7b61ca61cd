"""Backups of a real database, queue and files: what is kept, what is refused, and that nothing half is ever offered."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator

import pytest

from tests.support import books as data
from tests.support.site import Site, eventually

ENVIRONMENT = "envs/lab.yml"
WHERE = "repository: /var/backups/slipway/lab"


@pytest.fixture(scope="module")
def first(books: Site) -> dict[str, object]:
    """The first backup of the stack."""
    made = dict(books.inv("backup", "--format", "json").ok().json()["set"])
    data.cheapen(books)
    return made


@pytest.fixture
def kept(books: Site, first: dict[str, object]) -> Iterator[Site]:
    """The stack, backed up; what a test changes in the tree, and by it on the host, is taken back."""
    told = f"{data.FOLDER}/document.json", f"{data.FOLDER}/secrets", f"{data.FOLDER}/known.json"
    books.on("tar", "-cpPf", "/run/told.tar", *told)
    with books.checkout.changed():
        yield books
    books.on("tar", "-xpPf", "/run/told.tar")


def test_nothing_yet(books: Site) -> None:
    """The list says so, also on a host that does not even have what makes backups."""
    books.on("docker", "rmi", "restic/restic:0.18.0")
    assert data.listed(books) == []


def test_what_a_backup_holds(kept: Site, first: dict[str, object]) -> None:
    """Each kept thing is there, and the manifest says what the database and the files really held."""
    assert data.listed(kept)[0]["id"] == first["id"]
    parts = {(p["service"], p["kind"]): p for p in data.kept(kept)["parts"]}
    assert set(parts) == {("db", "postgres"), ("queue", "redis"), ("web", "files"), ("environment", "configuration")}
    database = parts["db", "postgres"]
    rows = {name: rows for name, (rows, _) in database["tables"].items()}
    assert rows == {"public.book": 20000, '"Odd"."ü ""b"': 2, '"Odd".nothing': 0}
    assert all(total is not None for _, total in database["tables"].values())
    assert database["large_objects"][0] == 1
    assert database["sequences"] == {"public.book_id_seq": 20000}
    assert parts["queue", "redis"]["keys"] == 1
    files = parts["web", "files"]["files"]
    summed = kept.on("sh", "-c", "sha256sum $(docker volume inspect -f '{{.Mountpoint}}' slipway-books-papers)/one")
    assert files["/papers/one"] == [4, 0o640, summed.split()[0]]
    assert "/papers/deep/two words" in files
    assert "/app/migrations/001_begin.sql" in files, "it is in the image"
    assert f"/configuration/{ENVIRONMENT}" in parts["environment", "configuration"]["files"]
    listed = data.restic(kept, "ls", str(database["snapshot"]))
    assert "/db.dump" in listed
    state = kept.status()["backup"]
    assert (state["set"], state["late"]) == (first["id"], False)
    assert 0 <= state["age_s"] < 600


def test_no_secret_shows(kept: Site) -> None:
    """The passwords are in files that their owner alone reads, and nowhere else."""
    password = kept.on("cat", f"{data.FOLDER}/secrets/password")
    assert kept.on("stat", "-c", "%a %U", f"{data.FOLDER}/secrets/password", f"{data.FOLDER}/document.json").split() == [
        "600", "deploy", "600", "deploy",
    ]  # fmt: skip
    running = kept.start("backup")
    shown = ""
    look = "docker inspect $(docker ps --quiet --filter label=slipway.task); cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
    while running.process.poll() is None and "pg_dump" not in shown:
        shown += kept.on("sh", "-c", look, check=False)
    done = running.result().ok()
    assert "RESTIC_PASSWORD_FILE" in shown
    assert password not in shown + done.text
    assert data.listed(kept)[0]["added"] < data.listed(kept)[-1]["added"], "what was there is not stored again"


@pytest.mark.parametrize(
    ("sql", "why"), [("", "db is empty"), ("CREATE TABLE t (a int)", "much smaller than the last one")]
)
def test_a_dump_that_nobody_would_believe(kept: Site, sql: str, why: str) -> None:
    before = data.listed(kept)
    data.sql(kept, "DROP DATABASE IF EXISTS void")
    data.sql(kept, "CREATE DATABASE void")
    data.sql(kept, sql or "SELECT 1", "void")
    stack = "compose/books/compose.yaml"
    kept.checkout.edit(stack, "{backup: postgres}", "{backup: {kind: postgres, database: void}}")
    refused = kept.inv("backup", "--only", "db").exits(1)
    assert why in refused.err
    assert data.listed(kept) == before
    assert why in (kept.status()["backup"]["failed"] or "")


def test_a_database_that_is_down(kept: Site) -> None:
    before = data.listed(kept)
    kept.on("docker", "stop", "--time", "5", data.DATABASE)
    try:
        refused = kept.inv("backup").exits(1)
    finally:
        kept.on("docker", "start", data.DATABASE)
    assert "db does not run" in refused.err
    assert data.listed(kept) == before
    eventually(lambda: "1" in data.sql(kept, "SELECT 1") if _up(kept) else "", within=20)


def _up(site: Site) -> bool:
    state = site.on("docker", "inspect", "--format", "{{.State.Health.Status}}", data.DATABASE)
    return state == "healthy"


def test_a_wrong_password(kept: Site) -> None:
    """Exit 2, as for any wrong setting; the repository stays as it is."""
    path = f"{data.FOLDER}/secrets/password"
    right = kept.on("cat", path)
    kept.on("sh", "-c", f"printf wrong > {path}")
    try:
        refused = kept.inv("backup.list").exits(2)
    finally:
        kept.on("sh", "-c", f"printf %s '{right}' > {path}")
    assert "does not open with this password" in refused.err
    assert "inv secrets.edit --env lab" in refused.err


def test_a_repository_that_is_full(kept: Site) -> None:
    place = "/var/backups/slipway/full"
    kept.on("mkdir", "-p", place)
    kept.on("mount", "-t", "tmpfs", "-o", "size=250k", "tmpfs", place)
    kept.checkout.edit(ENVIRONMENT, WHERE, f"repository: {place}")
    try:
        refused = kept.inv("backup", "--only", "db").exits(1)
        assert "no space left" in refused.err
        assert data.listed_nothing(kept)
    finally:
        kept.on("umount", "--lazy", place)


def test_a_copy_that_is_unreachable(kept: Site) -> None:
    """Exit 1, and the backup that was made is named; the copy that can be reached has it."""
    near, away = "/var/backups/slipway/near", "/var/backups/slipway/file/away"
    kept.on("touch", "/var/backups/slipway/file")
    kept.checkout.edit(ENVIRONMENT, WHERE, f"{WHERE}, copies: ['{near}', '{away}']")
    failed = kept.inv("backup", "--only", "db").exits(1)
    newest = data.listed(kept)[0]
    assert (newest["scope"], len(newest["parts"])) == ("partial", 1)
    assert newest["id"] in failed.err
    assert away in failed.err
    copied = json.loads(data.restic(kept, "snapshots", "--json", repository=near))
    assert len([s for s in copied if f"run={newest['id']}" in s["tags"]]) == 2


_HEAVY = "CREATE TABLE heavy AS SELECT g, md5(g::text) AS one, md5((-g)::text) AS two FROM generate_series(1, 700000) g"
"""Some 70 MB: a dump that is not over before anybody can kill it."""


def test_killed_anywhere(kept: Site) -> None:
    """Its deployer, the agent on the host, restic itself: nothing half is offered, and the next one needs no help."""
    before = data.listed(kept)
    data.sql(kept, _HEAVY)
    running = data.meet(kept, "-dump-", ["backup"])
    second = kept.inv("backup").exits(3)
    assert "a backup of books is at work" in second.err
    assert "inv backup" in second.err
    running.kill()
    assert data.listed(kept) == before
    assert data.meet(kept, "-dump-", ["backup"], "pkill -KILL -u deploy python3 && echo $c").result().code in (1, 5)
    assert data.listed(kept) == before
    data.meet(kept, "-dump-", ["backup"], "docker kill $c").result().exits(1)
    assert data.listed(kept) == before
    data.sql(kept, "DROP TABLE heavy")
    kept.inv("backup").ok()
    after = data.listed(kept)
    assert after[0]["id"] > before[0]["id"]
    assert {len(s["parts"]) for s in after if s["scope"] == "full"} == {4}
    assert "no errors were found" in data.restic(kept, "check")
    assert data.restic(kept, "list", "locks", "--no-lock") == ""
    assert kept.on("docker", "ps", "--all", "--quiet", "--filter", "label=slipway.task") == ""
    stored = json.loads(data.restic(kept, "snapshots", "--json", "--tag", "slipway"))
    runs = {tag for s in stored for tag in s["tags"] if tag.startswith("run=")}
    assert runs == {f"run={s['id']}" for s in data.listed(kept)}, "what is half has been forgotten"


def test_killed_while_it_prunes(kept: Site) -> None:
    """What is kept stays whole; the next pruning needs no help."""
    whole = [s for s in data.listed(kept) if s["scope"] == "full"]
    data.add_partial(kept, 6)
    for how in data.KILLS:
        running = kept.start("backup.prune")
        time.sleep(random.uniform(0.6, 1.6))
        data.kill(kept, running, how)
    kept.inv("backup.prune").ok()
    after = data.listed(kept)
    assert [s for s in after if s["scope"] == "full"] == whole
    assert sum(s["scope"] == "partial" for s in after) == 3
    assert "no errors were found" in data.restic(kept, "check")
    assert data.restic(kept, "list", "locks", "--no-lock") == ""


_SET_BACK = """
import time
from slipway.agent.data import container, retention
at, do = time.gmtime(1577836800), container.Job.do
time.gmtime = lambda *_: at
container.Job.do = lambda job, script, *words, **more: do(
    job, script.replace(" backup --json", " backup --json --time '2020-01-01 00:00:00'"), *words, **more
)
repository.run_name = lock.new_run()
made = backup.take(repository, progress=lambda _: None)
retention.prune(repository)
print(made.id)
"""


def test_a_clock_that_was_set_back(kept: Site) -> None:
    """To a host in 2020 the backup is years older than those before it: it is the newest all the same, and stays."""
    before = data.listed(kept)
    made = data.agent(kept, _SET_BACK)
    assert made.startswith("20200101-")
    after = data.listed(kept)
    assert (after[0]["id"], after[0]["time"][:10]) == (made, "2020-01-01")
    assert before[0]["id"] in {s["id"] for s in after}
    assert made in kept.inv("restore", "--plan").ok().out, "it is the latest"


def test_the_hosts_own_timer(kept: Site) -> None:
    """The same work, with nobody's machine up."""
    before = data.listed(kept)
    kept.on("systemctl", "start", "slipway-backup.service")
    assert data.listed(kept)[0]["id"] > before[0]["id"]
    assert "active" in kept.on("systemctl", "is-active", "slipway-backup.timer")
    entry = kept.inv("release.list", "--format", "json").ok().json()[0]
    assert (entry["verb"], entry["by"], entry["outcome"]) == ("backup", "timer", "done")


_FLIP = """
import pathlib, sys
pack = max((p for p in pathlib.Path("/var/backups/slipway/lab/data").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
data = bytearray(pack.read_bytes())
data[len(data) // 2] ^= 1
pack.chmod(0o600)
pack.write_bytes(data)
"""


def test_a_damaged_pack_is_found(kept: Site) -> None:
    """One bit, where only reading all data finds it."""
    kept.python(_FLIP)
    try:
        found = kept.inv("backup.check", "--read-data").exits(1)
    finally:
        kept.python(_FLIP)
    assert "damaged" in found.err
    kept.inv("backup.check", "--read-data").ok()


def test_a_wrecked_repository_is_seen(kept: Site) -> None:
    """The suite looks into the repository with restic alone; and what lacks a part is not offered any more."""
    kept.inv("verify", "--step", "backup").ok()
    newest = data.listed(kept)[0]
    part = next(p for p in newest["parts"] if p["kind"] == "postgres")
    data.restic(kept, "forget", part["snapshot"])
    found = kept.inv("verify", "--step", "backup").exits(1)
    assert f"db (postgres) is not in {newest['id']}" in found.err
    assert newest["id"] not in {s["id"] for s in data.listed(kept)}
