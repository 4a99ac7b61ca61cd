"""An environment of two hosts: releases on both, accessories on the first, both doors open; retention, drains, the timer."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator

import pytest

from tests.support import checkout as checkouts
from tests.support import stacks
from tests.support.site import Site, eventually
from tests.support.visitor import Answer, get

HOSTS = ("app1", "app2")


@pytest.fixture(scope="module")
def pair() -> Iterator[Site]:
    made = checkouts.make()
    stacks.add_probe(made)
    stacks.environment(made, "two", "[{name: probe, port: 8310}]", hosts=2, keep_releases="2", keep_warm="1h")
    made.commit("two hosts")
    site = Site(made, "two", "probe", 8310)
    site.deploy().ok()
    yield site
    made.remove()


def test_each_host_has_the_release_and_the_first_the_accessories(pair: Site) -> None:
    live = pair.live()
    for host in HOSTS:
        apps = sorted(c["service"] for c in pair.containers(host).values() if c["release"] == live)
        assert apps == ["extra", "tick", "web", "web"]
        answer = pair.get(host=host)
        assert (answer.status, answer.release) == (200, live)
        assert pair.get("/extra", host=host).json()["name"] == "extra"
    found = {h: [n for n, c in pair.containers(h).items() if not c["release"]] for h in HOSTS}
    assert found == {"app1": ["probe-accessories-store-1"], "app2": []}
    status = pair.status()
    assert status["healthy"], status["problems"]
    assert [h["name"] for h in status["hosts"]] == list(HOSTS)


def test_the_second_host_reaches_the_database_and_others_do_not(pair: Site) -> None:
    import socket

    for host in HOSTS:
        assert pair.get("/store", host=host).json() == {"pong": "PONG", "schema": "1"}
    first = {h["name"]: h for h in pair.checkout.lab("two")["hosts"]}["app1"]["address"]
    with pytest.raises(OSError):
        socket.create_connection((first, 6379), timeout=1).close()


def test_logs_go_on_without_a_host_and_with_it_once_it_is_back(pair: Site) -> None:
    for host in HOSTS:
        pair.get(f"/from-{host}", host=host)
    argv = ("--service", "router", "--grep", "/from-", "--since", "1m")
    running = pair.start("logs", "--follow", "--format", "json", *argv)
    threading.Timer(90, running.process.kill).start()
    out = running.process.stdout
    assert [json.loads(out.readline())["fields"]["path"] for _ in HOSTS] == ["/from-app1", "/from-app2"]
    pair.on("sh", "-c", "systemctl stop ssh; pkill -KILL -u deploy -f sshd", host="app2", check=False)
    without = pair.inv("logs", *argv).exits(1)
    assert "/from-app1" in without.out
    assert "/from-app2" not in without.out
    assert "! app2: the host can't be reached over SSH" in without.err
    assert "lines of it are missing" in without.err
    pair.get("/from-app1-again", host="app1")
    assert json.loads(out.readline())["fields"]["path"] == "/from-app1-again", "the other host is followed meanwhile"
    pair.get("/from-app2-again", host="app2")
    pair.on("systemctl", "start", "ssh", host="app2")
    assert json.loads(out.readline())["fields"]["path"] == "/from-app2-again", "what it said while it was away"
    running.process.send_signal(signal.SIGINT)
    done = running.result()
    assert (done.code, done.out) == (0, "")
    assert "! app2: the connection to the host was lost" in done.err
    assert "! app2: it is back" in done.err


def test_streams_outlive_two_deploys_and_old_releases_go(pair: Site) -> None:
    """A stream of the first release ends whole, though two deploys pass; then that release stops, by the host's own timer."""
    checkout, first, got = pair.checkout, pair.live(), list[Answer]()
    url = pair.url("app2")
    reader = threading.Thread(target=lambda: got.append(get(url, "/stream?until=enough", timeout=200)), daemon=True)
    reader.start()
    order = [first]
    with pair.visitor(host="app1") as one, pair.visitor(host="app2") as two:
        for label in ("b", "c"):
            stacks.behave(checkout, label)
            pair.deploy().ok()
            order.append(pair.live())
    one.happy()
    two.happy()
    assert set(one.releases) == set(two.releases) == set(order)
    assert not got, "no deploy waited for the stream, none ended it"
    assert first in pair.running("app2"), "a release that answers is not stopped"
    pair.on("docker", "exec", "probe-accessories-store-1", "redis-cli", "set", "enough", "1")
    reader.join(20)
    assert (got[0].status, got[0].release) == (200, first)
    assert got[0].body.endswith("\n\nevent: end\ndata: bye\n\n")
    for host in HOSTS:
        pair.on("systemctl", "start", "slipway-reap.service", host=host)  # what the timer does each minute
        eventually(lambda host=host: set(pair.running(host)) == set(order[1:]), within=30)
    retention(pair, order)


def test_a_host_that_is_away_is_named(pair: Site) -> None:
    """One of two hosts cannot be reached: exit 1, it is named, the other still serves; nothing was begun."""
    stacks.behave(pair.checkout, "nobody sees this")
    live, before = pair.live(), pair.settled("app1")
    pair.on("systemctl", "stop", "ssh.service", "ssh.socket", host="app2")
    try:
        with pair.visitor() as visitor:
            failed = pair.deploy().exits(1)
        visitor.happy()
        assert "app2" in failed.err
        assert pair.footprint("app1") == before
        assert pair.live() == live
        status = pair.inv("status", "--format", "json")
        assert status.code == 1
        found = status.json()
        assert not found["healthy"]
        assert found["release"]["id"] == live, "the host that answers is shown"
        near, away = found["hosts"]
        assert near["reachable"]
        assert {s["traffic"] for s in near["services"] if s["release"] == live and s["service"] == "web"} == {100.0}
        assert (away["name"], away["reachable"]) == ("app2", False)
        assert "reached over SSH" in away["reason"]
        assert pair.inv("lock.show").ok().out.strip() == "free", "the first host keeps the lease"
        listed = pair.inv("release.list")
        assert live in listed.ok().out
        assert "app2 is not asked" in listed.err
    finally:
        pair.on("systemctl", "start", "ssh.service", host="app2")
    eventually(lambda: pair.inv("status").code == 0, within=20)


def retention(pair: Site, order: list[str]) -> None:
    """Two verified releases are kept (never less than the live one and its predecessor); older ones go with their images."""
    for host in HOSTS:
        eventually(lambda host=host: pair.releases(host) == set(order[-2:]), within=30)
        images = pair.on("docker", "images", "--digests", "--format", "{{.Repository}}@{{.Digest}}", host=host).split()
        kept = {c["image"] for c in pair.containers(host).values() if c["release"]}
        assert {i for i in images if "/probe/" in i} == kept
    assert pair.inv("rollback", "--plan").ok().out.count(order[-2])
