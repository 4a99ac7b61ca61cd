"""The measurements of `inv bench`, one function each: a stage in, rows of the table out; `raw` takes every single number."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.floor import Floor
from tests.bench.stage import ENV, Stage, say
from tests.bench.table import Row
from tests.support import load


def new_version(stage: Stage, rounds: int, raw: dict[str, Any]) -> Row:
    """A new version, an image layer differs, images in the registry; verified. Against the floor, in turns."""
    floor = Floor(stage.checkout, ENV)
    floor.prepare(stage.live())
    say("versions for both are built and pushed")
    names = [(stage.version(f"ours-{n}"), stage.version(f"floor-{n}")) for n in range(rounds)]
    ours, theirs, steps = [], [], []
    for n, (mine, hand) in enumerate(names):
        for who in ("ours", "floor") if n % 2 else ("floor", "ours"):
            stage.settle()
            if who == "ours":
                done = stage.inv("deploy", "--version", mine, "--format", "json")
                ours.append(done.seconds)
                steps.append({s["step"]: s["seconds"] for s in done.json()["steps"]})
                say(f"new version: {done.seconds:.2f} s  {steps[-1]}")
            else:
                theirs.append(floor.deploy(hand, stage.images[hand]))
                say(f"by hand:     {theirs[-1]:.2f} s")
    floor.remove()
    raw["new_version"] = {"ours": ours, "floor": theirs, "steps": steps}
    detail = f"{median(ours):.2f} s, by hand {median(theirs):.2f} s; medians of {rounds}, in turns"
    return Row("new version, against by hand", median(ours) / median(theirs), "x", 1.5, 1.1, detail)


def nothing_to_do(stage: Stage, raw: dict[str, Any]) -> Row:
    """A deploy of what is live already."""
    version = stage.inv("status", "--format", "json").json()["release"]["version"]
    stage.settle()
    runs = [stage.inv("deploy", "--version", version, "--format", "json") for _ in range(5)]
    assert not any(r.json()["changed"] for r in runs)
    raw["nothing_to_do"] = [r.seconds for r in runs]
    return Row("nothing to do", median(raw["nothing_to_do"]), "s", 3, 1.5, "median of 5")


def ssh_commands(stage: Stage, raw: dict[str, Any]) -> Row:
    """Commands that the host's sshd was asked to run during a deploy; Testinfra's connections (OpenSSH's client) apart."""
    version = stage.version("counted")
    stage.settle()
    speak = "/etc/ssh/sshd_config.d/00-bench.conf"
    on = stage.checkout.on
    on(ENV, "sh", "-c", f"echo 'LogLevel DEBUG1' > {speak} && systemctl restart ssh")
    time.sleep(1)
    since = on(ENV, "date", "+%s")
    stage.inv("deploy", "--version", version)
    log = on(ENV, "journalctl", "--unit", "ssh", "--output", "cat", "--since", f"@{since}")
    on(ENV, "sh", "-c", f"rm {speak} && systemctl restart ssh")
    counted = count_commands(log)
    raw["ssh_commands"] = counted
    detail = f"connections: {counted['connections']}; for verification: {counted['verification']} more"
    return Row("SSH commands of a deploy, per host", counted["deploy"], "", 8, 5, detail)


def count_commands(log: str) -> dict[str, int]:
    """Return from sshd's log (LogLevel DEBUG1) how many commands were run, by who asked.

    sshd names the port of the client with each command, and before that the client's software: Fabric's is paramiko, Testinfra
    uses OpenSSH's.
    """
    counts = {"deploy": 0, "verification": 0, "connections": 0}
    port, software = "", dict[str, str]()
    for line in log.splitlines():
        words = line.split()
        if line.startswith("Connection from ") and "port" in words:
            port = words[words.index("port") + 1]
        elif "remote software version" in line and port:
            software[port] = line.partition("remote software version ")[2]
        elif line.startswith("Starting session:") and "port" in words:
            client = software.get(words[words.index("port") + 1], "unknown")
            counts["verification" if client.startswith("OpenSSH") else "deploy"] += 1
    counts["connections"] = sum(not s.startswith("OpenSSH") for s in software.values())
    assert counts["deploy"], f"sshd's log tells of no command:\n{log[-3000:]}"
    return counts


def rollback(stage: Stage, rounds: int, raw: dict[str, Any]) -> list[Row]:
    """Back to a warm predecessor: when its last request reached the release that was left, and the whole command."""
    answered, whole = [], []
    for n in range(rounds):
        stage.settle()
        version = stage.inv("status", "--format", "json").json()["release"]["version"]
        live = stage.live()
        with load.running(stage.url(), "keep-alive=4x0.01 new=100") as client:
            client.wait(requests=100)
            begun = time.monotonic()
            done = stage.inv("rollback", "--format", "json")
            target = done.json()["release"]
            client.wait(release=target)
        report = client.report
        assert not report.failed, report.text()
        last = report.last_of(live, after=report.at(begun))
        assert last is not None, report.text()
        answered.append(last - report.at(begun))
        whole.append(done.seconds)
        say(f"rollback {n + 1}: new requests answered after {answered[-1]:.2f} s, whole command {whole[-1]:.2f} s")
        stage.inv("deploy", "--version", version)
    raw["rollback"] = {"answered": answered, "whole": whole}
    seen = f"median of {rounds}, worst {max(answered):.2f} s; seen by clients on kept and new connections"
    return [
        Row("rollback to a warm predecessor: new requests answered by it", median(answered), "s", 2, 0.8, seen),
        Row("the same, whole command, verified", median(whole), "s", 6, 3, f"median of {rounds}"),
    ]


_SSE = 30


def under_load(stage: Stage, requests: int, raw: dict[str, Any]) -> list[Row]:
    """Deploys and rollbacks in a row while clients ask: what failed, and whether streams went on across the switch."""
    say(f"deploys and rollbacks in a row under load, {requests:,} requests")
    spare = [stage.version("load-a"), stage.version("load-b")]
    commands: list[tuple[str, float, float]] = []
    with load.running(stage.url(), f"keep-alive=32 new=20 sse=1x{_SSE}") as client:
        client.wait(requests=500, streams=1)
        while not commands or client.counts()["requests"] < requests or len(commands) < 3:
            n = len(commands)
            argv = ("rollback",) if n % 2 else ("deploy", "--version", spare[n // 2 % 2])
            begun = time.monotonic()
            stage.inv(*argv)
            commands.append((argv[0], begun, time.monotonic()))
            say(f"{argv[0]} under load: {commands[-1][2] - begun:.1f} s, {client.counts()['requests']:,} requests")
            time.sleep(1)
    report = client.report
    seen = {k: v for k, v in report.document.items() if k not in ("timeline", "started_monotonic")}
    raw["under_load"] = {
        "client": {**seen, "timeline": report.document["timeline"]},
        "commands": [(verb, round(report.at(a), 2), round(report.at(b), 2)) for verb, a, b in commands],
    }
    spanned = _spanned(report, [(report.at(a), report.at(b)) for _, a, b in commands])
    raw["under_load"]["streams_across_a_command"] = spanned
    took = [b - a for _, a, b in commands]
    reasons = ", ".join(f"{count} x {reason}" for reason, count in report.document["reasons"].items())
    detail = (
        f"{report.requests:,} requests by 32 kept and 20 new connections a second over {len(commands)} commands "
        f"({median(took):.1f} s each under that load); {reasons or 'all bodies right'}"
    )
    stream = f"{spanned} streams of {_SSE} s went on across a whole command, which did not wait for them"
    return [
        Row("requests failed while deploying and rolling back", report.failed, "", 0, 0, detail),
        Row("commands that waited for a stream, or none spanned", int(spanned == 0), "", 0, 0, stream),
    ]


def _spanned(report: load.Report, commands: list[tuple[float, float]]) -> int:
    """Return how many whole streams began before a command and ended after its return."""
    assert report.samples
    c, kind = report.samples.columns, list(load.KINDS).index("sse")
    begins = [b for b, k, ok in zip(c["begun"], c["kind"], c["ok"], strict=True) if k == kind and ok]
    return sum(any(b < begun and ended < b + _SSE for begun, ended in commands) for b in begins)


def list_tasks(stage: Stage, raw: dict[str, Any]) -> Row:
    """`inv --list` here, against invoke with one task and nothing else, in turns."""
    say("inv --list")
    invoke = Path(sys.executable).with_name("inv")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "tasks.py").write_text("from invoke import task\n\n\n@task\ndef hello(c):\n    print('hello')\n")
        places = {"ours": str(stage.checkout.path), "bare": folder}
        times: dict[str, list[float]] = {name: [] for name in places}
        for _ in range(21):
            for name, cwd in places.items():
                begun = time.perf_counter()
                subprocess.run([invoke, "--list"], cwd=cwd, check=True, stdout=subprocess.DEVNULL)
                times[name].append(time.perf_counter() - begun)
    raw["list"] = times
    ours, bare = median(times["ours"]), median(times["bare"])
    detail = f"{ours * 1000:.0f} ms, bare {bare * 1000:.0f} ms; medians of 21, in turns"
    return Row("inv --list, against bare invoke with one task", ours / bare, "x", 1.4, 1.2, detail)
