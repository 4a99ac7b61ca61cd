"""After a backup: the repository itself says what is in it, asked with restic alone and the password that the host has."""

from __future__ import annotations

import json
import os
import time
from datetime import datetime
from typing import Any

import pytest
from testinfra.host import Host

RESTIC = """
folder=/var/lib/slipway/stacks/{stack}/backup
set -- --no-lock "$@"
case {repository} in
/*) mount="--volume {repository}:/repository --network none" ;;
*) mount="--volume slipway-restic-cache:/cache --env RESTIC_CACHE_DIR=/cache" ;;
esac
exec docker run --rm --pull never $mount --volume $folder/secrets:/run/slipway:ro --entrypoint sh {image} -euc '
for f in /run/slipway/env.*; do [ ! -e "$f" ] || export "${{f##*/env.}}=$(cat "$f")"; done
exec restic --repository-file /run/slipway/repository --password-file /run/slipway/password "$@"' sh "$@"
"""
"""Past Slipway's own code: it might be wrong about what it did."""


@pytest.fixture(scope="module")
def backup(facts: dict[str, Any]) -> dict[str, Any]:
    """What the environment says of backups, on the host that makes them."""
    if not facts.get("backup"):
        pytest.skip("nothing is kept")
    if os.environ["SLIPWAY_VERIFY_HOST"] != facts["backup"]["host"]:
        pytest.skip("the data are on another host")
    return dict(facts["backup"])


@pytest.fixture(scope="module")
def snapshots(host: Host, facts: dict[str, Any], backup: dict[str, Any]) -> list[dict[str, Any]]:
    """All snapshots of the stack, as restic lists them."""
    answer = restic(
        host, facts, backup, "snapshots", "--json", "--tag", f"slipway,env={facts['env']},stack={facts['stack']}"
    )
    return list(json.loads(answer) or [])


def restic(host: Host, facts: dict[str, Any], backup: dict[str, Any], *words: str) -> str:
    script = RESTIC.format(stack=facts["stack"], repository=backup["repository"], image=backup["image"])
    done = host.run("sh -euc %s sh" + " %s" * len(words), script, *words)
    assert done.rc == 0, f"restic exited {done.rc}: {done.stderr.strip()[-500:]}"
    return str(done.stdout)


def tag(snapshot: dict[str, Any], name: str) -> str:
    return next((t.partition("=")[2] for t in snapshot["tags"] if t.startswith(f"{name}=")), "")


@pytest.fixture(scope="module")
def newest(snapshots: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The snapshots of the newest whole backup, its manifest first."""
    manifests = [s for s in snapshots if tag(s, "kind") == "manifest" and tag(s, "scope") == "full"]
    assert manifests, "there is no backup"
    last = max(manifests, key=lambda s: int(tag(s, "seq")))
    return [last, *(s for s in snapshots if tag(s, "run") == tag(last, "run") and s is not last)]


def test_each_kept_thing_is_in_the_newest_backup(newest: list[dict[str, Any]], backup: dict[str, Any]) -> None:
    there = {f"{tag(s, 'service')} ({tag(s, 'kind')})" for s in newest[1:]}
    missing = sorted(set(backup["kept"]) - there)
    assert not missing, f"{', '.join(missing)} is not in {tag(newest[0], 'run')}"
    assert str(len(newest) - 1) == tag(newest[0], "parts"), f"{tag(newest[0], 'run')} lacks snapshots"


def test_no_part_is_empty(newest: list[dict[str, Any]]) -> None:
    empty = [tag(s, "service") for s in newest[1:] if not (s.get("summary") or {}).get("total_bytes_processed")]
    assert not empty, f"nothing is stored of {', '.join(empty)}"


def test_the_newest_backup_is_young_enough(newest: list[dict[str, Any]], backup: dict[str, Any]) -> None:
    made = datetime.fromisoformat(newest[0]["time"][:19] + "+00:00").timestamp()
    hours = (time.time() - made) / 3600
    assert hours * 3600 <= backup["late_after"], f"it is {hours:.1f} hours old"


def test_the_manifest_speaks_of_these_snapshots(
    host: Host, facts: dict[str, Any], backup: dict[str, Any], newest: list[dict[str, Any]]
) -> None:
    said = json.loads(restic(host, facts, backup, "dump", newest[0]["id"], "/manifest.json"))
    assert {p["snapshot"] for p in said["parts"]} == {s["id"] for s in newest[1:]}, "the manifest names other snapshots"


def test_secrets_are_closed(host: Host, facts: dict[str, Any], backup: dict[str, Any]) -> None:
    folder = f"/var/lib/slipway/stacks/{facts['stack']}/backup"
    told = host.check_output("stat --format %s %s/secrets/* %s/document.json", "%a %n", folder, folder)
    open_ = [line for line in told.splitlines() if not line.startswith("600 ")]
    assert not open_, f"others may read {', '.join(line.partition(' ')[2] for line in open_)}"


def test_no_work_is_left_over(host: Host, facts: dict[str, Any], backup: dict[str, Any]) -> None:
    look = "docker ps --all --format '{{.Names}}' --filter label=slipway.task --filter label=slipway.stack=%s"
    left = host.check_output(look, facts["stack"]).split()
    assert not left, f"containers are left: {', '.join(left)}"
