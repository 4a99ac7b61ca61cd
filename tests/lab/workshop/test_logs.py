"""Logs on a real host: a request across services, filters, a deploy that is followed, releases that are gone, files that rotate."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import stacks
from tests.support.checkout import Checkout
from tests.support.site import Site, eventually

PAPERS = "/var/lib/docker/volumes/slipway-scribe-papers/_data"


@pytest.fixture(scope="module")
def scribe(workshop: Checkout) -> Iterator[Site]:
    """The stack `scribe`, deployed; in the end its pen stops, which else fills the disk of the tests that follow."""
    site = Site(workshop, "lab", "scribe", 8395)
    site.deploy().ok()
    yield site
    site.on("sh", "-c", "docker stop $(docker ps --quiet --filter name=scribe-.*-pen-)")


def lines(site: Site, *argv: str) -> list[dict[str, Any]]:
    """Return what `inv logs` tells programs."""
    return [json.loads(line) for line in site.inv("logs", "--format", "json", *argv).ok().out.splitlines()]


def ask(site: Site, path: str, request_id: str = "") -> None:
    headers = {"X-Request-ID": request_id} if request_id else {}
    with urllib.request.urlopen(urllib.request.Request(site.url() + path, headers=headers), timeout=20) as answer:
        assert answer.status == 200


def test_one_request_across_router_and_service(scribe: Site) -> None:
    ask(scribe, "/say?lines=3&text=hello", "one-request")
    ask(scribe, "/say?plain=after+one-request,+a+traceback", "another")
    ask(scribe, "/say", "one-request-more")
    ask(scribe, "/\\odd%22", "odd")
    found = lines(scribe, "--request-id", "one-request")
    assert [line["service"] for line in found].count("router") == 1
    assert [line["fields"]["n"] for line in found if "n" in line.get("fields", {})] == [0, 1, 2]
    assert [line["text"] for line in found if "fields" not in line] == ["after one-request, a traceback"]
    (access,) = (line["fields"] for line in found if line["service"] == "router")
    assert (access["path"], access["status"], access["request_id"]) == ("/say", 200, "one-request")
    assert [line["time"] for line in found] == sorted(line["time"] for line in found)
    (odd,) = (line["fields"] for line in lines(scribe, "--service", "router", "--request-id", "odd"))
    assert odd["path"] == "/\\odd%22", "whatever is asked for, the line is JSON"
    ours = {(line["host"], line["release"]) for line in found if line["service"] == "web"}
    assert ours == {("app1", scribe.live())}


def test_what_is_asked_for_and_nothing_else(scribe: Site) -> None:
    """Another stack's requests stay out, and whoever reads may leave."""
    since = scribe.on("date", "-u", "+%Y-%m-%dT%H:%M:%S.%N").strip()[:26]
    for turn in range(4):  # one replica and the other
        ask(scribe, f"/say?lines=500&level={'error' if turn == 2 else 'info'}&text=many&first={turn * 500}")
    found = lines(scribe, "--field", "level=ERROR", "--since", since, "--service", "web", "--tail", "3")
    assert [line["fields"]["n"] for line in found] == [1497, 1498, 1499]
    whole = lines(scribe, "--since", since, "--grep", "many")
    assert sorted(line["fields"]["n"] for line in whole) == list(range(2000))
    assert len({line["container"] for line in whole}) == 2, "both replicas"
    assert [line["time"] for line in whole] == sorted(line["time"] for line in whole)
    text = scribe.inv("logs", "--service", "router", "--tail", "5").ok().out
    assert "\x1b" not in text
    assert all(re.match(r"\S+ \S+ app1 router GET /say ", line) for line in text.splitlines()[-4:]), text
    head = "set -o pipefail; .venv/bin/inv logs --env lab --stack scribe --grep many | head -1"
    done = subprocess.run(["bash", "-c", head], cwd=scribe.checkout.path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 1)


def test_followed_across_a_deploy(scribe: Site) -> None:
    """Every line once, of the old release until its last, of the new one from its first."""
    before = scribe.live()
    running = scribe.start(
        "logs", "--follow", "--service", "web", "--grep", "step", "--format", "json", "--since", "1m"
    )
    threading.Timer(90, running.process.kill).start()
    ask(scribe, "/say?lines=20&text=step&first=0")
    with scribe.checkout.changed():
        stacks.behave(scribe.checkout, "second", stack="scribe")
        scribe.deploy().ok()
    ask(scribe, "/say?lines=20&text=step&first=20")
    found: list[dict[str, Any]] = []
    while not found or found[-1]["fields"]["n"] < 39:
        found.append(json.loads(running.process.stdout.readline()))
    running.process.send_signal(signal.SIGINT)
    done = running.result()
    assert (done.code, done.out, done.err) == (0, "", "")
    assert [line["fields"]["n"] for line in found] == list(range(40))
    assert [line["release"] for line in found] == [before] * 20 + [scribe.live()] * 20


def numbers(site: Site) -> dict[str, list[int]]:
    """Return what the numbered files say, oldest first, by writer."""
    names = site.on("sh", "-c", f"cd {PAPERS}; ls -v numbers.log*").split()
    oldest = sorted(names, key=lambda n: -int(n.split(".")[2]) if n != "numbers.log" else 1)
    text = site.on("sh", "-c", f"cd {PAPERS}; for n in {' '.join(oldest)}; do zcat -f $n; done")
    found: dict[str, list[int]] = {}
    for line in text.splitlines():
        writer, _, number = line.partition(" ")
        found.setdefault(writer, []).append(int(number))
    return found


@pytest.fixture
def written(scribe: Site) -> Iterator[Site]:
    yield scribe
    scribe.on("sh", "-c", f"chmod 640 {PAPERS}/*")


def test_files_are_rotated_under_load_and_nothing_is_lost(written: Site) -> None:
    for _ in range(2):
        written.on("systemctl", "start", "slipway-rotate@now.service")
    assert "app1  slipway-scribe-papers/numbers.log" in written.inv("logs.rotate").ok().out
    names = written.on("ls", PAPERS).split()
    assert {"numbers.log", "numbers.log.1", "numbers.log.2.gz", "numbers.log.3.gz"} <= set(names)
    count = int(written.on("sh", "-c", f"tail -n 1 {PAPERS}/numbers.log | cut -d' ' -f2"))
    eventually(lambda: max(max(n) for n in numbers(written).values()) > count, within=5)  # it writes on
    for writer, found in numbers(written).items():
        assert found == list(range(1, len(found) + 1)), f"{writer} lost a line, or has one twice"
    assert max(len(n) for n in numbers(written).values()) > 5000, "under load"
    written.on("sh", "-c", f"chmod 666 {PAPERS}/numbers.log.1; gunzip {PAPERS}/numbers.log.2.gz")
    seen = written.inv("verify", "--step", "logs").exits(1).err
    assert "not compressed: numbers.log.2" in seen
    assert "others may write to it" in seen
    written.on("gzip", f"{PAPERS}/numbers.log.2")


def test_a_disk_nearly_full_is_freed_by_the_rule_and_said(scribe: Site) -> None:
    policy = "/var/lib/slipway/stacks/scribe/policy.json"
    before = scribe.on("cat", policy)
    kept = "mkdir -p /var/lib/slipway/logs/scribe; cd /var/lib/slipway/logs/scribe; echo x | gzip > scribe-old.gz"
    scribe.on("runuser", "-u", "deploy", "--", "sh", "-c", kept)
    changed = json.loads(before)
    changed["logs"]["free_bytes"] = 10**15
    scribe.checkout.on("lab", "sh", "-c", f"cat > {policy}", stdin=json.dumps(changed))
    try:
        scribe.on("systemctl", "start", "slipway-reap.service")
        assert not scribe.on("sh", "-c", "ls /var/lib/slipway/logs/scribe | grep gz", check=False)
        told = scribe.inv("status").text
        assert "disk nearly full" in told
        assert "the kept log " in told
        assert "TOO LITTLE" in told
        journal = scribe.on("journalctl", "-u", "slipway-reap", "-n", "20", "-o", "cat")
        assert "removed: the kept log" in journal
        assert scribe.status()["healthy"], "nothing that is needed was removed"
    finally:
        scribe.checkout.on("lab", "sh", "-c", f"cat > {policy}", stdin=before)
