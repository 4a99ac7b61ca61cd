"""Deploys and rollbacks in a row, three deployers at once, latency around a switch, and every fault: measured under load."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.stage import say
from tests.bench.table import PAGE, Row
from tests.bench.tally import LOAD, Followed, Tally, follow
from tests.support import load, picture, priority
from tests.support.faults.arena import Arena
from tests.support.faults.census import left_over
from tests.support.faults.played import Played, play
from tests.support.faults.scenarios import SCENARIOS, Scenario

_SHOWN = 4  # commands in the picture
_AROUND = 2.5  # seconds before and after a switch


def in_a_row(arena: Arena, tally: Tally, deploys: int, raw: dict[str, Any]) -> list[Row]:
    """Deploy so many versions, each of really different images, with a rollback after every fifth. `raw`: those of before."""
    commands: list[dict[str, Any]] = raw.setdefault("commands", [])
    done = sum(c["verb"] == "deploy" for c in commands)
    runs: list[Followed] = []
    with tally.clients(arena) as client:
        time.sleep(3)
        while done < deploys and not (runs and tally.over()):
            done += 1
            runs.append(_ok(follow(arena, "deploy", "--version", arena.push(f"row-{done}"))))
            if done % 5 == 2:
                runs.append(_ok(follow(arena, "rollback")))
            say(f"{done} deploys under load: {runs[-1].result.seconds:.1f} s, {client.counts()['requests']:,} requests")
            time.sleep(1)
    report = client.report
    if not commands:
        raw["client"] = {k: v for k, v in report.document.items() if k not in ("started_monotonic", "release_index")}
        _draw(report, runs[:_SHOWN])
    commands += [
        {"verb": r.result.argv[0], "began": round(report.at(r.began), 2), "seconds": round(r.result.seconds, 2),
         "steps": [(title, round(report.at(at), 2)) for title, at in r.steps],
         "memory_mb": r.memory_mb, "family_mb": r.family_mb}
        for r in runs
    ]  # fmt: skip
    raw["missing"] = deploys - done
    own, family = (max(c[size] for c in commands) for size in ("memory_mb", "family_mb"))
    took = median(c["seconds"] for c in commands if c["verb"] == "deploy")
    told = f"{len(commands)} commands; a deploy took {took:.1f} s"
    return [
        Row("deploys in a row that did not come to pass", deploys - done, "", 0, 0, told),
        Row("memory of the deployer", own, "MB", 150, 100, f"with the suites it starts {family:.0f} MB at most"),
    ]


def _ok(run: Followed) -> Followed:
    run.result.ok()
    return run


def _draw(report: load.Report, runs: list[Followed]) -> None:
    """Draw the first commands with their steps."""
    marks = [(report.at(r.began), f"inv {r.result.argv[0]}") for r in runs]
    marks += [
        (report.at(at), title.replace("Start and wait for health", "Healthy"))
        for r in runs[:1]
        for title, at in r.steps
    ]
    marks += [(report.at(at), "Switch") for r in runs[1:] for title, at in r.steps if title.startswith("Switch")]
    end = report.at(runs[-1].steps[-1][1]) + 5
    title = "Deploys and a rollback under load: keep-alive, new connections, 3-second answers, uploads, SSE, WebSockets"
    drawn = picture.draw(report.document["timeline"], sorted(marks), title, end=end)
    path = _picture_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(drawn)


def _picture_file() -> Path:
    return PAGE.parents[1] / ".slipway/bench/faults.svg"


def document_picture() -> None:
    """Put the picture where docs/benchmarks.md shows it."""
    (PAGE.parent / "faults.svg").write_text(_picture_file().read_text())


def around_a_switch(arena: Arena, tally: Tally, rounds: int, raw: dict[str, Any]) -> list[Row]:
    """Compare the p99 in the 5 s around a switch with the steady state, open loop at 30 % of what the stack can do."""
    # At the host's own address: the engine that labs run on has a process of its own for each port of 127.0.0.1.
    with arena.client("close=8", near=True) as client:
        time.sleep(6)
    can = client.report.requests / client.report.document["seconds"]
    rate = max(5, round(0.3 * can))
    windows, switches = [], []
    with tally.clients(arena, f"new={rate}", near=True) as client:
        for _ in range(rounds):
            arena.rest()
            begun = time.monotonic()
            time.sleep(8)
            windows.append((begun, time.monotonic()))
            # The deployer would be on another machine: it gets what nobody else wants of this one.
            program = [".venv/bin/python", "-m", "tests.support.priority", ".venv/bin/inv"]
            arena.start_as(program, "deploy", "--version", arena.another()).result().ok()
            switches.append(arena.live())
    priority.clear()
    report = client.report
    assert report.samples
    quiet = sorted(x for a, b in windows for x in report.samples.latencies(report.at(a), report.at(b)))
    steady = quiet[int(0.99 * (len(quiet) - 1))]
    found, profiles, late = [], [], []
    for (_, rested), release in zip(windows, switches, strict=True):
        at = report.first_of(release, after=report.at(rested))
        assert at is not None
        found.append(report.p99(at - _AROUND, at + _AROUND))
        late.append(load.percentile(report.samples.lateness(at - _AROUND, at + _AROUND), 0.99))
        profiles.append([round(report.p99(at + i / 4, at + (i + 1) / 4) * 1000, 1) for i in range(-16, 16)])
    raw.update(can=can, rate=rate, steady=steady, around=found, quarters_p99_ms=profiles, client_late=late)
    detail = f"{median(found) * 1000:.1f} ms against {steady * 1000:.1f} ms; {rate} new connections a second, {rounds} deploys"
    detail += f"; of it the client's own delay {median(late) * 1000:.1f} ms (p99)"
    return [Row("p99 in the 5 s around a switch, against steady state", median(found) / steady, "x", 2, 1.3, detail)]


def three_at_once(arena: Arena, tally: Tally, rounds: int, raw: dict[str, Any]) -> list[Row]:
    """Start three deploys at the same time: one wins, two exit 3."""
    wrong, told = [], []
    with tally.clients(arena):
        for _ in range(rounds):
            before = arena.rest()
            names = [arena.another() for _ in range(3)]
            running = [arena.start("deploy", "--version", name) for name in names]
            done = [r.result() for r in running]
            codes = sorted(d.code for d in done)
            winners = [n for n, d in zip(names, done, strict=True) if d.code == 0]
            left = left_over(before, arena.rest())
            told.append({"codes": codes, "seconds": [round(d.seconds, 2) for d in done], "left": left})
            if codes != [0, 3, 3] or arena.get().json()["label"] != winners[0] or left:
                wrong.append(str(told[-1]))
    raw["told"] = told
    detail = f"{rounds} times three" + "".join(f"; {w}" for w in wrong)
    return [Row("three deployers at once: not one winner, two refused, no damage", len(wrong), "", 0, 0, detail)]


def every_fault(arena: Arena, tally: Tally, raw: dict[str, Any]) -> list[Row]:
    """Play all scenarios. `raw`: those that were played before."""
    played = {value["name"]: Played(**value) for value in raw.setdefault("played", [])}
    for scenario in SCENARIOS:
        if scenario.name in played:
            continue
        if tally.over():
            break
        one = played[scenario.name] = _played(arena, scenario, tally)
        raw["played"].append(one.document())
        say(f"{one.name}: exit {one.code}, {one.noticed:.1f} s {' '.join(one.problems)}")
    raw["missing"] = len(SCENARIOS) - len(played)
    bad = [one.name for one in played.values() if one.problems]
    detail = f"{len(played)} of {len(SCENARIOS)} played" + "".join(f"; {name}" for name in bad)
    return [
        *(_of_fault(scenario, played[scenario.name]) for scenario in SCENARIOS if scenario.name in played),
        Row("faults that did not end as they should", len(bad) + raw["missing"], "", 0, 0, detail),
    ]


def _of_fault(scenario: Scenario, one: Played) -> Row:
    lost = f", {one.failed} of them failed while nothing served" if one.failed > one.unexcused else ""
    more = "".join(f", {what} {seconds:.1f} s" for what, seconds in one.more.items())
    detail = f"exit {one.code}; {one.requests:,} requests{lost}, {one.unexcused} failed while something did{more}"
    aim = 1.5 if scenario.within == 3 else None
    limit = scenario.within if scenario.within < 1e9 else None
    what = "noticed" if scenario.code else "deployed all the same"
    return Row(f"{one.name}: {what}", one.noticed, "s", limit, aim, detail)


def _played(arena: Arena, scenario: Scenario, tally: Tally) -> Played:
    """Play a scenario; one that could not be played to its end is one with a problem, and the next one is played."""
    try:
        return play(arena, scenario, tally.add, LOAD)
    except (AssertionError, OSError) as error:
        return Played(scenario.name, -1, scenario.code, 0.0, 0, 0, 0, "", [str(error)])


def until_enough(arena: Arena, tally: Tally, requests: int, raw: dict[str, Any]) -> list[Row]:
    """Deploy on, until all parts together (`raw` says how many the others made) have made so many requests."""
    while (wanted := requests - raw["elsewhere"] - tally.requests.total()) > 0 and not tally.over():
        with tally.clients(arena, "keep-alive=12 new=20 answer=2 upload=2 sse=2x3 ws=2x3") as client:
            while client.counts()["requests"] < min(wanted, 100_000) and not tally.over():
                arena.deploy("--version", arena.another()).ok()
                say(f"{wanted - client.counts()['requests']:,} requests are missing")
                time.sleep(5)
    short = raw["missing"] = max(0, wanted)
    return [Row("requests short of the number", short, "", 0, 0, f"{requests:,} were to be made")]
