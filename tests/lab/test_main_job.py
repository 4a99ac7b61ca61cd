"""The main job: from a bare host to a real stack, verified and serving; a new version and back under load; no secret shows."""

from __future__ import annotations

import base64
import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from slipway.lab import engine
from tests.support import checkout as checkouts
from tests.support import load, stacks
from tests.support.checkout import Checkout, Result
from tests.support.site import SLACK, Site, eventually
from tests.support.visitor import Answer, get

PLANTED = {"postgres_password": "planted-pg-Zk81vQx77Lw", "redis_password": "planted-rd-Hn52tYb90Qe"}
PAYMENT = {
    "business": "demo",
    "payment_id": "p-1",
    "amount": 1200,
    "hour": 14,
    "new_payee": False,
    "account_age_days": 900,
}
LOAD = "keep-alive=8x0.05 new=20"


def forms() -> list[str]:
    """Return the planted values as they are, and as they would look in an encoding that people use."""
    return [f for v in PLANTED.values() for f in (v, base64.b64encode(v.encode()).decode()[:-2], v.encode().hex())]


def shown(text: str) -> list[str]:
    """Return which planted values a text shows."""
    return [form for form in forms() if form in text]


class Processes(threading.Thread):
    """Looks at the arguments and the environment of every process of this machine, the hosts' included, again and again."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.found: set[str] = set()
        self.seen: set[str] = set()
        self.ended = threading.Event()

    def run(self) -> None:
        words, looks = [form.encode() for form in forms()], Counter[tuple[str, int]]()
        while not self.ended.wait(0.05):
            for process in Path("/proc").glob("[0-9]*"):
                looks[one := (process.name, _made(process))] += 1
                if looks[one] > 5:  # it is what it will be: another program is run soon after a fork, or never
                    continue
                argv, environment = _read(process / "cmdline"), b""
                # A container's own processes may have it in theirs: the official Postgres does.
                nested = any(len(re.findall(b"[0-9a-f]{64}", g)) > 1 for g in _read(process / "cgroup").splitlines())
                if not nested:
                    environment = _read(process / "environ")
                if argv:
                    self.seen.add(process.name)
                if any(word in argv + environment for word in words):
                    self.found.add(argv.replace(b"\0", b" ")[:200].decode(errors="replace"))

    def __enter__(self) -> Processes:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.join(5)


def _made(process: Path) -> int:
    try:
        return process.stat().st_ctime_ns
    except OSError:
        return 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended, or is another user's
        return b""


@dataclass
class Job:
    """What happened before the tests look."""

    site: Site
    docker_before: str
    first: Result
    processes: Processes
    said: list[str] = field(default_factory=list)
    stream: list[Answer] = field(default_factory=list)
    """What a stream answered that began before a deploy, at the release `streaming`, and goes on while other tests run."""
    streaming: str = ""


@pytest.fixture(scope="module")
def job() -> Iterator[Job]:
    checkout = checkouts.make()
    checkout.inv("lab.up", "--env", "local").ok()
    site = Site(checkout, "local", "fineasy", 8080)
    before = site.on("sh", "-c", "command -v docker dockerd containerd || echo absent")
    stacks.plant(checkout, "local", "fineasy", **PLANTED)
    with Processes() as processes:
        first = checkout.inv("deploy", "--env", "local")
    yield Job(site, before, first, processes, [first.text])
    checkout.remove()


def test_a_bare_host_serves_after_one_command(job: Job) -> None:
    assert job.docker_before == "absent"
    job.first.ok()
    for step in (
        "Provision app1",
        "Verify provision",
        "Build fineasy/api",
        "Migrate",
        "Switch",
        "Smoke tests",
        "Verify deploy",
    ):
        assert re.search(rf"^✓ {re.escape(step)}.*\([\d.]+ (s|min)", job.first.out, re.MULTILINE), step
    assert job.site.url() in job.first.out
    assert "inv status --env local" in job.first.out, "what to try next"
    assert job.site.status()["url"] == job.site.url()


PATHS: dict[str, Any] = {
    "/": "/v1/insights/demo",
    "/health": '"alive"',
    "/health/ready": '"ready"',
    "/metrics": "# TYPE",
    "/version": '"release"',
    "/v1/insights/demo": '"cash_flow"',
    "/v1/stream?seconds=1": "event: done",
}


@pytest.mark.parametrize("path", PATHS)
def test_every_path_of_the_stack_answers(job: Job, path: str) -> None:
    answer = job.site.get(path)
    assert answer.status == 200, answer.body
    assert PATHS[path] in answer.body
    assert answer.release
    assert answer.release in job.first.out


def test_payments_are_scored(job: Job) -> None:
    answer = get(job.site.url(), "/v1/fraud/score", "POST", PAYMENT)
    assert (answer.status, answer.json()["verdict"]) == (200, "allow")


def test_the_second_run_changes_nothing_and_says_so(job: Job) -> None:
    before = job.site.settled()
    again = job.site.checkout.inv("deploy", "--env", "local").ok()
    assert job.site.footprint() == before
    (line,) = again.out.strip().splitlines()
    assert line.startswith("nothing to do")
    assert job.site.live() in line
    assert job.site.url() in line
    assert again.seconds < 3 * SLACK


def test_the_status_document(job: Job) -> None:
    found = job.site.inv("status", "--format", "json").ok().json()
    assert set(found) >= {"env", "stack", "healthy", "release", "hosts", "lease", "backup", "url"}
    assert (found["env"], found["stack"], found["healthy"], found["lease"]) == ("local", "fineasy", True, None)
    release = found["release"]
    assert set(release) == {"id", "version", "images", "activated_at", "by", "verified"}
    assert release["verified"] is True
    assert release["version"] == job.site.checkout.git("rev-parse", "--short=10", "HEAD")
    assert set(release["images"]) == {"api", "worker"}
    assert all(re.search(r"sha256:[0-9a-f]{64}$", image) for image in release["images"].values())
    assert re.match(r"20\d\d-\d\d-\d\dT", release["activated_at"])
    assert {"last": None, "age_s": None}.items() <= found["backup"].items()
    (host,) = found["hosts"]
    assert (host["name"], host["reachable"]) == ("app1", True)
    keys = {"service", "release", "state", "health", "image", "traffic"}
    assert all(set(service) >= keys for service in host["services"])
    told = sorted((s["service"], s["release"], s["state"], s["health"], s["traffic"]) for s in host["services"])
    live = release["id"]
    assert [t for t in told if t[1]] == [
        ("api", live, "running", "healthy", 100.0),
        ("api", live, "running", "healthy", 100.0),
        ("worker", live, "running", "healthy", None),
    ]
    assert {t[0] for t in told if not t[1]} == {"postgres", "redis"}


def sql(job: Job, statement: str) -> list[str]:
    argv = [
        "docker",
        "exec",
        "fineasy-accessories-postgres-1",
        "psql",
        "-U",
        "fineasy",
        "-d",
        "fineasy",
        "-Atc",
        statement,
    ]
    return job.site.on(*argv).splitlines()


def analyses(url: str, ended: threading.Event, numbers: list[int]) -> None:
    """Ask for an analysis again and again; each takes the worker a moment."""
    wanted = {"business": "demo", "type": "cash_flow", "amounts": [10, -3, 7], "hold": 0.3}
    while not ended.wait(0.15):
        answer = get(url, "/v1/analyses", "POST", wanted)
        assert answer.status == 202, answer.body
        numbers.append(answer.json()["number"])


def test_a_new_version_under_load(job: Job) -> None:
    """No request fails, a stream that spans the switch holds nothing up, no job is lost or done twice."""
    site, url, old = job.site, job.site.url(), job.site.live()
    checkout, numbers, ended = site.checkout, list[int](), threading.Event()
    _another_version(checkout)
    job.streaming = old
    reader = threading.Thread(target=lambda: job.stream.append(get(url, "/v1/stream?seconds=90")), daemon=True)
    asking = threading.Thread(target=analyses, args=(url, ended, numbers), daemon=True)
    with load.running(url, LOAD) as client:
        client.wait(requests=100)
        reader.start()
        asking.start()
        with Processes() as processes:
            done = checkout.inv("deploy", "--env", "local").ok()
        new = site.live()
        client.wait(release=new)
        assert not job.stream, f"the deploy ({done.seconds:.0f} s) ended before the stream"
        time.sleep(1)
        ended.set()
    job.said.append(done.text)
    job.processes.found |= processes.found
    assert client.report.failed == 0, client.report.text()
    assert client.report.releases == [old, new]
    assert client.report.requests > 500
    asking.join(5)
    _each_job_once(job, numbers, {old, new})


def _another_version(checkout: Checkout) -> None:
    path = checkout.path / "compose/fineasy/api/app/__init__.py"
    path.write_text(path.read_text() + "\nVERSION_OF_THE_TEST = 2\n")
    checkout.commit("a new version")


def _each_job_once(job: Job, numbers: list[int], releases: set[str]) -> None:
    assert len(numbers) > 10
    listed = ",".join(map(str, numbers))
    count = f"SELECT count(*) FROM ai_analysis_results WHERE number IN ({listed}) AND status = 'done'"
    eventually(lambda: sql(job, count) == [str(len(numbers))], within=60)
    by = sql(job, f"SELECT DISTINCT release FROM ai_analysis_results WHERE number IN ({listed})")
    assert set(by) == releases, "the old worker finished what it had, the new one went on"
    done, uses = sql(
        job,
        "SELECT count(*) FROM ai_analysis_results UNION ALL "
        "SELECT coalesce(sum(uses), 0) FROM usage_analytics WHERE feature = 'analysis'",
    )
    assert done == uses, "each was counted once: none was done twice"


def test_back_under_load(job: Job) -> None:
    """The predecessor is warm: no container is started, no request fails."""
    site, new = job.site, job.site.live()
    web = {n: c for n, c in site.containers().items() if c["service"] == "api" and c["release"]}
    with load.running(site.url(), LOAD) as client:
        client.wait(requests=100)
        done = site.checkout.inv("rollback", "--env", "local").ok()
        old = site.live()
        client.wait(release=old)
    job.said.append(done.text)
    assert old != new
    assert client.report.failed == 0, client.report.text()
    assert client.report.releases == [new, old]
    assert {n: c for n, c in site.containers().items() if c["service"] == "api" and c["release"]} == web
    assert done.seconds < 6 * SLACK


def test_no_output_shows_a_secret(job: Job) -> None:
    inv = job.site.checkout.inv
    for argv in (
        ["deploy", "--plan"],
        ["deploy", "--plan", "--format", "json"],
        ["status", "--format", "json"],
        ["verify"],
    ):
        job.said.append(inv(*argv, "--env", "local").ok().text)
    job.said.append(inv("--debug", "deploy", "--env", "local").ok().text)
    job.said.append(inv("--debug", "rollback", "--env", "local", "--to", "nowhere").text)
    assert not shown("\n".join(job.said))
    assert not shown(_files(job.site.checkout.path / ".slipway"))


def _files(folder: Path) -> str:
    return "\n".join(p.read_text(errors="replace") for p in folder.rglob("*") if p.is_file())


def test_no_process_shows_a_secret(job: Job) -> None:
    assert len(job.processes.seen) > 50
    assert not job.processes.found


def test_no_log_shows_a_secret(job: Job) -> None:
    logs = job.site.on("sh", "-c", "journalctl --no-pager; for c in $(docker ps -aq); do docker logs $c 2>&1; done")
    assert len(logs) > 1000
    assert not shown(logs)
    kept = job.site.on(
        "sh", "-c", "find /var/lib/slipway -type f -not -path '*/secrets/*' -not -name '*.pyz' -exec cat {} +"
    )
    assert "activated_at" in kept
    assert not shown(kept)


def test_no_container_or_image_shows_a_secret(job: Job) -> None:
    site = job.site
    inspected = site.on("sh", "-c", "docker inspect $(docker ps -aq) $(docker images -q)")
    assert "postgres_password" in inspected, "the name is there"
    assert not shown(inspected)
    script = (
        "ids=$(docker images --format '{{.ID}}' --filter label=slipway.stack=fineasy | sort -u); "
        'docker history --no-trunc $(echo $ids | cut -d\' \' -f1); docker save $ids | grep -acF -e "$0" -e "$1" || true'
    )
    said = site.on("sh", "-c", script, *PLANTED.values())
    assert said.splitlines()[-1] == "0", "an image holds a secret"
    assert not shown(said)


def test_nobody_reads_a_secret_on_the_host(job: Job) -> None:
    """Neither a user without rights, who reads what everybody may, nor anybody in a folder where secrets do not belong."""
    words = [word for value in PLANTED.values() for word in ("-e", value)]
    folders = ["/etc", "/home", "/opt", "/root", "/run", "/srv", "/tmp", "/var"]
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    search = ["grep", "-rlsF", "--devices=skip", *words, *folders]
    assert job.site.on(*nobody, *search, check=False) == ""
    found = job.site.on(*search, "--exclude-dir=docker", check=False).split()
    assert found, "root finds the files that services read"
    assert [f for f in found if "/secrets/" not in f] == []


def test_the_engine_knows_no_secret_of_a_build(job: Job) -> None:
    """On this machine: neither the images that were built here nor their history."""
    listed = engine.docker("images", "--quiet", "--filter", "label=slipway.stack=fineasy").out.split()
    assert listed
    said = engine.docker("inspect", *set(listed)).out
    said += "".join(engine.docker("history", "--no-trunc", one).out for one in set(listed))
    assert not shown(said)


def test_what_the_lab_keeps_here_is_private(job: Job) -> None:
    folder = job.site.checkout.path / ".slipway"
    assert folder.stat().st_mode & 0o077 == 0
    tracked = subprocess.run(
        ["git", "status", "--porcelain"], cwd=folder.parent, capture_output=True, text=True, check=True
    )
    assert ".slipway" not in tracked.stdout


def test_a_stream_outlived_a_deploy_and_a_rollback(job: Job) -> None:
    (answer,) = eventually(lambda: job.stream, within=90)
    assert (answer.status, answer.release) == (200, job.streaming)
    assert answer.body.count("\n\n") >= 90
    assert "event: done" in answer.body
