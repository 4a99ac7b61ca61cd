"""The smaller verbs, on a host that serves: migrate, build, push; a deployer who presses Ctrl-C."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from tests.support import runner, stacks
from tests.support.site import Site, eventually


def test_a_migration_without_a_deploy(probe: Site) -> None:
    schema = probe.get("/store").json()["schema"]
    following = f"{int(schema) + 1:03d}"
    probe.checkout.write(f"compose/probe/web/migrations/{following}_by_itself.sql", "more\n")
    before = probe.settled()
    plan = probe.inv("migrate", "--plan").ok()
    assert "Migrate" in plan.out
    assert probe.get("/store").json()["schema"] == schema
    assert probe.footprint() == before
    with probe.visitor() as visitor:
        done = probe.inv("migrate").ok()
    visitor.happy()
    assert "✓ Migrate" in done.out
    assert "✓ Verify migrate" in done.out
    assert probe.get("/store").json()["schema"] == str(int(following))
    after = probe.footprint()
    assert {k: after[k] for k in ("containers", "releases", "weights")} == {
        k: before[k] for k in ("containers", "releases", "weights")
    }
    assert probe.inv("migrate").ok().out.strip().splitlines()[-1] == "no migration waits in lab"


def test_images_without_a_deploy_and_a_pipeline_that_deploys_them(probe: Site, tmp_path: Path) -> None:
    """What is pushed is handed on by digest, to the very job of the workflow; what it proved is what the next one takes."""
    stacks.behave(probe.checkout, "only pushed")
    probe.checkout.commit()
    commit = probe.checkout.git("rev-parse", "HEAD")
    before = probe.settled()
    done = probe.inv("push", GITHUB_OUTPUT=str(tmp_path / "pushed")).ok()
    for service in ("web", "extra", "tick"):
        assert re.search(
            rf"^{service}  registry\.lab:5000/probe/{service}@sha256:[0-9a-f]{{64}}", done.out, re.MULTILINE
        )
    assert probe.footprint() == before
    pushed = runner.outputs(tmp_path / "pushed")
    handed = {"environment": "lab", "commit": commit, **pushed}
    played = runner.play(probe.checkout, "deploy", "deploy", tmp_path, inputs=handed)
    assert probe.get().json()["label"] == "only pushed"
    left = played.outputs["deploy"]
    assert (left["url"], left["release"]) == (probe.url(), probe.live())
    assert "::group::✓ Prepare hosts" in played.log
    assert "| ✓ Prepare hosts |" in played.page
    assert all(digest in played.page for digest in re.findall("sha256:[0-9a-f]{64}", pushed["images"]))
    proven = probe.inv("release.proven", "--format", "json", GITHUB_OUTPUT=str(tmp_path / "proven")).ok()
    assert runner.outputs(tmp_path / "proven") == {**pushed, "commit": commit}
    assert proven.json()["release"] == left["release"]
    nothing = pushed["images"].replace("web=sha256:", "web=sha256:0")[:-1]
    refused = probe.deploy("--version", pushed["version"], "--images", nothing).exits(2)
    assert "the image of web does not exist in the registry" in refused.err


def test_an_app_of_somebody_elses_image_is_pinned(probe: Site) -> None:
    """Its tag may be another image tomorrow: hosts get the digest that it is today, and a plan shows it first."""
    aside = "  aside:\n    image: redis:8\n    command: [redis-server, --save, '']\n    x-slipway: {role: app}\n"
    aside += (
        "    healthcheck: {test: [CMD, redis-cli, ping], interval: 60s, start_interval: 200ms, start_period: 10s}\n"
    )
    probe.checkout.edit("compose/probe/compose.yaml", "\n  store:\n    image:", f"\n{aside}\n  store:\n    image:")
    assert "image: aside: none → redis@" in probe.deploy("--plan").ok().out
    probe.deploy().ok()
    digest = probe.status()["release"]["images"]["aside"]
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
    (container,) = [c for c in probe.containers().values() if c["service"] == "aside" and c["state"] == "running"]
    assert container["image"] == f"redis@{digest}"
    assert probe.deploy().ok().out.startswith("nothing to do")


def test_ctrl_c(probe: Site) -> None:
    """What is in hand is undone: nothing of the new release is left, the lease is free, what served still serves."""
    stacks.behave(probe.checkout, "interrupted", "sick")
    live, before = probe.live(), probe.settled()
    with probe.visitor() as visitor:
        deployer = probe.start("deploy")
        eventually(lambda: probe.releases() - set(before["releases"]), within=40, every=0.1)
        deployer.process.send_signal(signal.SIGINT)
        ended = deployer.result(60)
    visitor.happy()
    assert ended.code == 1, ended.text
    assert "Traceback" not in ended.err
    assert probe.live() == live
    assert probe.footprint() == before
    assert probe.inv("lock.show").ok().out.strip() == "free"
