"""Restores and drills of a real database, queue and files: all comes back, nothing is ever half there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import books as data
from tests.support.site import Site, eventually


@pytest.fixture(scope="module")
def good(books: Site) -> dict[str, Any]:
    """The data as they were when the newest backup was made."""
    data.fill(books)
    place = books.on("docker", "volume", "inspect", "--format", "{{.Mountpoint}}", "slipway-books-papers")
    books.on(
        "sh", "-c", f"head -c 300000 /dev/urandom > {place}/scan"
    )  # in a pack of its own, with nothing of earlier backups
    seen = data.snapshot(books)
    made = books.inv("backup", "--any-size", "--format", "json").ok().json()["set"]
    data.cheapen(books)
    return {"id": made["id"], "data": seen}


@pytest.fixture
def kept(books: Site, good: dict[str, Any]) -> Iterator[Site]:
    """The stack, backed up; what a test changes in the tree is taken back."""
    with books.checkout.changed():
        yield books


def nothing_is_left(site: Site) -> None:
    """Nothing of a restore or a drill is on the host."""
    assert "__slipway" not in data.sql(site, "SELECT datname FROM pg_database")
    assert site.on("docker", "ps", "--all", "--quiet", "--filter", "label=slipway.task") == ""
    assert site.on("docker", "ps", "--all", "--quiet", "--filter", "label=slipway.drill") == ""
    assert "drill" not in site.on("docker", "volume", "ls", "--quiet")
    assert "drill" not in site.on("docker", "network", "ls", "--format", "{{.Name}}")
    volumes = "/var/lib/docker/volumes/slipway-books-*/_data"
    assert site.on("sh", "-c", f"find {volumes} -maxdepth 1 -name '.slipway-*'") == ""


def test_everything_comes_back(kept: Site, good: dict[str, Any]) -> None:
    plan = kept.inv("restore", "--plan").ok()
    assert good["id"] in plan.out
    assert "db (postgres): replaced" in plan.out
    refused = kept.inv("restore").exits(2)
    assert "nobody agreed" in refused.err
    release = kept.live()
    data.wreck(kept)
    wrecked = data.snapshot_rows(kept)
    done = kept.inv("restore", "--yes", "--format", "json").ok().json()
    assert done["set"]["id"] == good["id"]
    assert data.snapshot(kept) == good["data"]
    assert kept.live() == release
    assert kept.status()["healthy"]
    nothing_is_left(kept)
    listed = data.listed(kept)
    assert (listed[0]["id"], listed[0]["scope"]) == (done["safety"], "safety")
    assert kept.inv("restore", "--plan").ok().out.count(good["id"]), "a safety snapshot is never the latest"
    kept.inv("restore", "--snapshot", done["safety"], "--only", "db", "--yes", "--no-safety").ok()
    assert data.snapshot_rows(kept) == wrecked, "what was there before can be had again"


def test_killed_anywhere(kept: Site, good: dict[str, Any]) -> None:
    """Deployer, agent, restic: the database is the old one or the new one, and the next restore needs no help."""
    data.sql(kept, "DELETE FROM book WHERE id > 7")
    verb = ["restore", "--only", "db", "--yes", "--no-safety"]
    data.meet(kept, "-load-", verb).kill()
    assert data.sql(kept, "SELECT count(*) FROM book") in ("7", "20000")
    for kill in ("pkill -KILL -u deploy python3 && echo $c", "docker kill $c"):
        assert data.meet(kept, "-load-", verb, kill).result().code in (0, 1, 5), "0: it had done its work"
        assert data.sql(kept, "SELECT count(*) FROM book") in ("7", "20000")
    kept.inv("restore", "--yes", "--no-safety").ok()
    assert data.snapshot(kept) == good["data"]
    nothing_is_left(kept)


def test_beside(kept: Site, good: dict[str, Any]) -> None:
    """Another database, other volumes; what serves is not touched."""
    containers = kept.containers()
    told = kept.inv("restore", "--into", "look", "--format", "json").ok().json()
    assert "db: database look" in told["done"]
    assert data.sql(kept, "SELECT count(*) FROM book", "look") == "20000"
    assert kept.on("sh", "-c", "cat /var/lib/docker/volumes/slipway-books-look-papers/_data/one") == "one"
    assert kept.containers() == containers
    assert data.snapshot(kept) == good["data"]
    again = kept.inv("restore", "--into", "look", "--only", "db").exits(2)
    assert "has a database look already" in again.err
    data.sql(kept, "DROP DATABASE look")
    kept.on("docker", "volume", "rm", "slipway-books-look-papers", "slipway-books-look-queue")


def test_the_suite_finds_what_is_wrecked(kept: Site, good: dict[str, Any]) -> None:
    kept.inv("verify", "--step", "restore").ok()
    place = kept.on("docker", "volume", "inspect", "--format", "{{.Mountpoint}}", "slipway-books-papers")
    web = f"books-{kept.live()}-web-1"
    data.sql(kept, "CREATE DATABASE books__slipway_old")
    kept.on("sh", "-euc", f"mkdir {place}/.slipway-new; docker stop --time 1 {web}")
    try:
        found = kept.inv("verify", "--step", "restore").exits(1)
    finally:
        kept.on("sh", "-euc", f"rm -r {place}/.slipway-new; docker start {web}")
        data.sql(kept, "DROP DATABASE books__slipway_old")
    for words in ("books__slipway_old", ".slipway-new is left", "0 of 1 of web run"):
        assert words in found.err, found.err
    assert data.snapshot(kept) == good["data"]


def test_a_backup_of_another_stack(kept: Site, good: dict[str, Any]) -> None:
    probe = Site(kept.checkout, "lab", "probe", 8300)
    refused = probe.inv("restore", "--snapshot", good["id"], "--yes").exits(2)
    assert f"the snapshot {good['id']} is of books in lab, not of probe" in refused.err
    assert "there is no backup" in kept.inv("restore", "--snapshot", "20010101", "--yes").exits(2).err


def test_a_damaged_pack(kept: Site, good: dict[str, Any]) -> None:
    """The old data stay; so do the requests."""
    packs = "$(find /var/backups/slipway/lab/data -type f -size +250k)"
    damage = "printf XXXXXXXX | dd of=$p bs=1 seek=$at conv=notrunc 2> /dev/null"
    damage = f"cp -p $p $p.good; for at in 9000 99000 199000; do {damage}; done"
    kept.on("sh", "-euc", f"for p in {packs}; do {damage}; done")
    try:
        refused = kept.inv("restore", "--only", "web", "--yes").exits(1)
    finally:
        kept.on(
            "sh", "-euc", "for p in $(find /var/backups/slipway/lab/data -name '*.good'); do mv $p ${p%.good}; done"
        )
    assert "could not be restored" in refused.err
    assert "Still serving: release" in refused.err
    assert data.snapshot(kept) == good["data"]
    nothing_is_left(kept)


def test_a_disk_that_is_full(kept: Site, good: dict[str, Any]) -> None:
    place = kept.on("docker", "volume", "inspect", "--format", "{{.Mountpoint}}", "slipway-books-papers")
    kept.on(
        "sh",
        "-euc",
        f"cp -a {place} /run/papers; mount -t tmpfs -o size=700k tmpfs {place}; cp -a /run/papers/. {place}/",
    )
    try:
        refused = kept.inv("restore", "--only", "web", "--yes").exits(1)
    finally:
        kept.on("sh", "-euc", f"umount --lazy {place}; rm -r /run/papers")
    assert "no space left" in refused.err
    assert "inv storage.review --env lab" in refused.err
    assert data.snapshot(kept) == good["data"]


def test_a_drill_proves_that_it_restores(kept: Site, good: dict[str, Any]) -> None:
    before = kept.containers()
    told = kept.inv("backup.drill", "--format", "json").ok().json()
    assert (told["set"], told["verdict"], told["findings"]) == (good["id"], "good", [])
    assert told["bytes"] > 100_000
    assert told["rto_s"] > 0
    assert told["rpo_s"] >= 0
    assert "web" in told["asked"], "the stack's own api was asked"
    nothing_is_left(kept)
    assert kept.containers() == before
    entry = kept.inv("release.list", "--format", "json").ok().json()[0]
    assert (entry["verb"], entry["verdict"], entry["set"]) == ("backup.drill", "good", good["id"])


def test_a_drill_can_fail(kept: Site) -> None:
    """A dump that lacks a row, one with another row, a file with other bytes: each is found and told."""
    kept.inv("backup", "--any-size").ok()
    change = (
        'tables = parts["db", "postgres"]["tables"]; tables["public.book"][0] += 1; tables[\'"Odd"."ü ""b"\'][1] = "1";'
        ' parts["web", "files"]["files"]["/papers/one"][2] = "0" * 64'
    )
    data.forge(kept, change)
    failed = kept.inv("backup.drill", "--format", "json").exits(1).json()
    assert failed["verdict"] == "bad"
    findings = "\n".join(failed["findings"])
    assert "public.book has 20000 rows, 20001 were backed up" in findings
    assert '"Odd"."ü ""b" has 2 rows, but not those that were backed up' in findings
    assert "/papers/one is not the file that was backed up" in findings
    nothing_is_left(kept)


def test_a_backup_that_is_not_good_replaces_nothing(kept: Site, good: dict[str, Any]) -> None:
    """The last test has left such a backup."""
    refused = kept.inv("restore", "--only", "db", "--yes").exits(1)
    assert "is not what its manifest says" in refused.err
    assert data.snapshot(kept) == good["data"]
    data.forge(kept, 'parts["db", "postgres"]["server_num"] = 190000')
    assert "an older server can't take the backup of a newer one" in kept.inv("restore", "--only", "db", "--yes").err
    assert "DID NOT RESTORE" in kept.inv("status").text


def test_a_killed_drill_leaves_nothing(kept: Site) -> None:
    running = kept.start("backup.drill")
    eventually(lambda: kept.on("docker", "ps", "--quiet", "--filter", "label=slipway.drill"), within=60)
    running.kill()
    kept.on("pkill", "-KILL", "-u", "deploy", "python3", check=False)
    eventually(
        lambda: kept.on("systemctl", "start", "slipway-reap.service") == "" and _clean(kept), within=60, every=1.0
    )
    nothing_is_left_of_drills(kept)


def _clean(site: Site) -> bool:
    return site.on("docker", "ps", "--all", "--quiet", "--filter", "label=slipway.drill") == ""


def nothing_is_left_of_drills(site: Site) -> None:
    assert "drill" not in site.on("docker", "volume", "ls", "--quiet")
    assert "drill" not in site.on("docker", "network", "ls", "--format", "{{.Name}}")
    assert "drill" not in site.on("ls", "/var/lib/slipway/stacks/books")
