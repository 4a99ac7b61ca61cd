"""What a stack file and an environment file say has its effect on a host, or is refused before anything happens."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from slipway.target.compose import render
from tests.support import stacks, values
from tests.support.keys import CARRIED
from tests.support.site import Site

NOTE = (
    "import os; from store import ask; ask('RPUSH', 'jobs', os.environ['WORD'] + ' ' + os.environ['SLIPWAY_RELEASE'])"
)
DOCKERFILE = """\
FROM python:3.13-slim-trixie AS jobs
WORKDIR /app
COPY store.py .
ARG WORD
ENV WORD=$WORD
FROM scratch AS nothing
"""


def noted(probe: Site) -> list[str]:
    """Return what jobs have noted in the store, oldest first."""
    return probe.on(
        "docker", "exec", "probe-accessories-store-1", "redis-cli", "--raw", "lrange", "jobs", "0", "-1"
    ).split("\n")


def test_a_release_is_what_the_files_say(probe: Site) -> None:
    """Jobs run once, in order, before the release starts, built as `build` says; secrets arrive to the byte; so does policy."""
    checkout, token = probe.checkout, "first line\r\nsecond line\n"
    checkout.write("compose/probe/web/Dockerfile.jobs", DOCKERFILE)
    build = {"context": "./web", "dockerfile": "Dockerfile.jobs", "target": "jobs"}
    for name, phase in (("late", 2), ("early", 1)):
        extras = {"role": "job", "phase": phase}
        stacks.add_job(checkout, name, NOTE, build={**build, "args": {"WORD": name}}, **{"x-slipway": extras})
    checkout.write("envs/lab.yml", checkout.read("envs/lab.yml") + "keep_warm: 90s\nkeep_releases: 3\n")
    stacks.plant(checkout, probe.env, probe.stack, token=token)
    try:
        plan = probe.deploy("--plan").ok()
        assert "Run jobs\n     app1: run early; run late" in plan.out
        done = probe.deploy().ok()
        live = probe.live()
        assert noted(probe) == [f"early {live}", f"late {live}"]
        assert done.out.index("Migrate") < done.out.index("Run jobs") < done.out.index("Start and wait for health")
        assert {c["service"] for c in probe.containers().values() if c["release"] == live} == {"web", "extra", "tick"}
        assert probe.get().json()["token"] == hashlib.sha256(token.encode()).hexdigest()
        assert probe.deploy().ok().out.startswith("nothing to do"), (
            "neither the secret nor a job that is over is a change"
        )
        policy = json.loads(probe.on("cat", "/var/lib/slipway/stacks/probe/policy.json"))
        assert (policy["keep_warm"], policy["keep_releases"]) == (90, 3)
        probe.inv("rollback").ok()
        assert len(noted(probe)) == 2, "a rollback runs no jobs"
    finally:
        stacks.plant(checkout, probe.env, probe.stack, token="simple-again")
        probe.on("docker", "exec", "probe-accessories-store-1", "redis-cli", "del", "jobs")


def test_the_hosts_compose_takes_every_key_that_is_carried(probe: Site, tmp_path: Path) -> None:
    env, entry, stack = values.settings(tmp_path, services={"web": CARRIED})
    content = render.app_content(env, entry, stack, values.DIGESTS)
    document = render.app_document(content, stack, "v1-abcdef", "v1", True)
    file = "/tmp/carried.yaml"
    probe.checkout.on(probe.env, "tee", file, stdin=render.as_yaml(document))
    read = json.loads(probe.on("docker", "compose", "-f", file, "config", "--format", "json"))["services"]["web"]
    assert set(CARRIED) <= set(read), "Compose drops none of them"
    assert read["command"][-1] == "$$5", "it prints what it would read again: a dollar stays a dollar"
    probe.on("rm", file)
