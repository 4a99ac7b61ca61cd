"""Development: the source mounted in a lab host, an edit that shows by itself, a second deploy; jobs and settings."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from slipway.lab import engine
from tests.support import checkout as checkouts
from tests.support import stacks
from tests.support.checkout import Checkout
from tests.support.site import Site, eventually
from tests.support.visitor import get

OVERLAY = """\
services:
  web:
    environment: {GREETING: "${WORD:-no word} and ${GREETING}"}
    volumes: ["./web/behaviour.json:/app/behaviour.json:ro"]
"""
PROBE = "  - {name: probe, port: 8320, settings: {GREETING: hello, WORD: mounted}}\n"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout on a machine without Compose: `dev` then runs in a lab host. It has the stack `probe` too."""
    engine.ensure()
    folder = tmp_path_factory.mktemp("bin")
    client = folder / "docker"
    client.write_text(f'#!/bin/sh\n[ "$1" = compose ] && exit 1\nexec {engine._client()} "$@"\n')
    client.chmod(0o755)
    made = checkouts.make({"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"})
    stacks.add_probe(made)
    made.write("compose/probe/compose.dev.yaml", OVERLAY)
    made.edit("envs/dev.yml", "hosts: 1", "hosts: 1\n  kind: provisioned")
    made.edit("envs/dev.yml", "\nstacks:\n", f"\nstacks:\n{PROBE}")
    yield made
    made.remove()


def test_an_edit_shows_without_another_deploy(checkout: Checkout) -> None:
    urls = set()
    for _ in range(2):  # the second finds the secrets' files of the first
        done = checkout.inv("deploy", "--env", "dev", "--stack", "fineasy").ok()
        urls |= {word for word in done.out.split() if word.startswith("http://127.0.0.1:")}
    (url,) = urls
    assert get(url, "/health/ready").status == 200
    assert not shows(url, "awake")
    (source,) = [p for p in (checkout.path / "compose/fineasy/api/app").glob("*.py") if '"alive"' in p.read_text()]
    checkout.edit(str(source.relative_to(checkout.path)), '"alive"', '"awake"')
    eventually(lambda: shows(url, "awake"), within=20)
    eventually(lambda: shows(url, '"ready"', "/health/ready"), within=20)  # the model is loaded in the background


def shows(url: str, word: str, path: str = "/health") -> bool:
    """Tell whether the front door answers with a word; while the server starts anew it may not answer."""
    try:
        return word in get(url, path, timeout=2).body
    except OSError:
        return False


def test_jobs_run_and_settings_are_put_into_both_files(checkout: Checkout) -> None:
    stacks.add_job(checkout, "note", "from store import ask; ask('RPUSH', 'jobs', ask('GET', 'schema'))")
    done = checkout.inv("deploy", "--env", "dev", "--stack", "probe").ok()
    steps = [done.out.index(words) for words in ("Start store", "Migrate", "Run note", "Start web")]
    assert steps == sorted(steps)
    site = Site(checkout, "dev", "probe", 8320)
    answer = site.get()
    assert (answer.status, answer.release) == (200, "development")
    assert answer.json()["greeting"] == "mounted and hello"
    noted = site.on("docker", "exec", "probe-dev-store-1", "redis-cli", "--raw", "lrange", "jobs", "0", "-1")
    assert noted.split() == ["1"], "once, after the migrations"
    stacks.behave(checkout, "edited")
    assert '"edited"' in site.on("docker", "exec", "probe-dev-web-1", "cat", "/app/behaviour.json")
