"""One deployer at a time: others are told who; a dead one frees the lease at once, and the next run tidies up after it."""

from __future__ import annotations

import contextlib
import getpass
import re
import time
from pathlib import Path

from tests.support import stacks
from tests.support.site import SLACK, Site, eventually

LEASE = "/var/lib/slipway/stacks/probe/lease"


def held(probe: Site) -> bool:
    """Tell whether somebody holds the lease: the lock itself says so."""
    return probe.on("sh", "-c", f"flock --nonblock {LEASE} true && echo free", check=False) != "free"


def processes_of(folder: Path) -> list[str]:
    """Return the commands that run from a folder on this machine, but for the keepers of its labs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_text().replace("\0", " "))
    return [line for line in found if str(folder) in line and "keeper" not in line]


def test_a_second_deployer_is_told_who_has_the_lease(probe: Site) -> None:
    stacks.behave(probe.checkout, "slow", "sick")  # the gate waits 4 s for it
    live = probe.live()
    with probe.visitor() as visitor:
        first = probe.start("deploy")
        eventually(lambda: held(probe), within=30, every=0.1)
        begun = time.monotonic()
        second = probe.deploy().exits(3)
        assert time.monotonic() - begun < 4 * SLACK, "2 s of waiting, and the start of a command"
        assert getpass.getuser() in second.err
        assert "inv deploy --env lab" in second.err, "it says which command"
        shown = probe.inv("lock.show").ok()
        status = probe.status()
        first.result().exits(1)
    assert status["in_progress"]["by"].startswith(getpass.getuser())
    assert status["unfinished"] is None
    assert re.search(rf"held by {getpass.getuser()}@\S+, since 20\d\d-", shown.out)
    visitor.happy()
    assert probe.live() == live
    assert probe.inv("lock.show").ok().out.strip() == "free"


def test_a_killed_deployer(probe: Site) -> None:
    """Its lease falls within a second, what served still serves, and the next deploy leaves nothing of it."""
    stacks.behave(probe.checkout, "killed", "sick")
    live, before, running = probe.live(), probe.settled(), set(probe.running())
    with probe.visitor() as visitor:
        deployer = probe.start("deploy")
        eventually(lambda: set(probe.running()) - running, within=40, every=0.1)
        deployer.kill()
        eventually(lambda: not held(probe), within=1.5 * SLACK, every=0.05)  # a second, and the look
        eventually(lambda: not processes_of(probe.checkout.path), within=10)
        status = probe.status()
        assert status["healthy"], "an unfinished run is shown, not counted"
        assert status["unfinished"]["verb"] == "deploy"
        assert status["release"]["id"] == live
        left = probe.releases() - set(before["releases"])
        assert left, "there is something to tidy up"

        stacks.behave(probe.checkout, "after the kill")
        probe.deploy().ok()
    visitor.happy()
    assert probe.get().json()["label"] == "after the kill"
    assert not left & probe.releases()
    assert not left & set(probe.running())
    status = probe.status()
    assert status["unfinished"] is None
    assert not [n for n in probe.footprint()["networks"] if any(release in n for release in left)]


def test_a_freeze(probe: Site) -> None:
    frozen = probe.inv("lock.acquire", "--message", "the auditors are here").ok()
    try:
        assert "the auditors are here" in frozen.out
        stacks.behave(probe.checkout, "frozen")
        before = probe.settled()
        refused = probe.deploy().exits(3)
        assert "the auditors are here" in refused.err
        assert "inv lock.release" in refused.err
        assert probe.footprint() == before
        assert "the auditors are here" in probe.inv("lock.show").ok().out
        assert probe.status()["healthy"]
    finally:
        probe.inv("lock.release").ok()
    assert probe.inv("lock.show").ok().out.strip() == "free"


def test_nobody_provisions_a_host_that_somebody_deploys_to(probe: Site) -> None:
    stacks.behave(probe.checkout, "meanwhile", "sick")
    deployer = probe.start("deploy")
    eventually(lambda: held(probe), within=30, every=0.1)
    refused = probe.inv("provision").exits(3)
    assert "inv deploy --env lab" in refused.err
    deployer.result().exits(1)
