"""What all suites share: the facts they check a host against, the host itself, and what it is asked in one go.

A suite gets the facts (what Slipway believes) as JSON and looks at the host (what is true). slipway/host/verify.py
starts one process a host with these variables:

    SLIPWAY_VERIFY_HOST      the host's name in the facts
    SLIPWAY_VERIFY_URL       the host as --hosts names it
    SLIPWAY_VERIFY_FACTS     JSON file; it may come later than this process, which warms up meanwhile
    SLIPWAY_VERIFY_PARENT    who started it: without them nobody will bring the facts
    SLIPWAY_VERIFY_RESULTS   JSON file that the results are written to
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.backend.ssh import SshBackend
from testinfra.host import Host

from tests.verify.look import Logs, Release, Server, look_at_logs, look_at_release, look_at_server

_results: dict[str, Any] = {"passed": 0, "skipped": [], "failures": []}


def pytest_configure(config: pytest.Config) -> None:
    """Connect, then wait for the facts: both end before the first check, side by side with the deploy."""
    connection = testinfra.get_host(os.environ["SLIPWAY_VERIFY_URL"], ssh_config=config.option.ssh_config)
    try:
        connection.run("true")
    except RuntimeError as error:  # ssh itself failed: Testinfra's way to say so
        _results["unreachable"] = error.args[0].stderr
        _write_results()
        pytest.exit("unreachable", returncode=pytest.ExitCode.INTERNAL_ERROR)
    config.stash[_FACTS] = _await_facts(Path(os.environ["SLIPWAY_VERIFY_FACTS"]))


_FACTS = pytest.StashKey[dict[str, Any]]()


def _await_facts(path: Path) -> dict[str, Any]:
    parent = int(os.environ["SLIPWAY_VERIFY_PARENT"])
    while not path.exists():
        if os.getppid() != parent:  # whoever was to bring the facts was killed, and left its files to us
            _tidy(path.parent)
            pytest.exit("nobody waits for results", returncode=pytest.ExitCode.INTERRUPTED)
        time.sleep(0.01)
    facts: dict[str, Any] = json.loads(path.read_text())
    if not facts:
        pytest.exit("called off", returncode=pytest.ExitCode.INTERRUPTED)
    return facts


def _tidy(folder: Path) -> None:
    """Do what whoever started this would have done: close the connections, which persist for a while, remove the files."""
    for socket in (folder / "s").iterdir():
        subprocess.run(["ssh", "-F", "none", "-S", socket, "-O", "exit", "host"], capture_output=True, check=False)
    shutil.rmtree(folder, ignore_errors=True)


def _write_results() -> None:
    path = Path(os.environ["SLIPWAY_VERIFY_RESULTS"])
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(_results))
    temporary.replace(path)


def _name(nodeid: str) -> str:
    """Return a check's name without the host, which the results know anyway: `replicas_run[api]`."""
    name = nodeid.partition("::")[2].removeprefix("test_")
    host = "ssh://" + SshBackend.parse_hostspec(os.environ["SLIPWAY_VERIFY_URL"].removeprefix("ssh://")).name
    return name.replace(f"[{host}]", "").replace(f"{host}-", "").replace(f"-{host}", "")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep each check's outcome."""
    name = _name(report.nodeid)
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        message = crash.message if crash else str(report.longrepr)
        _results["failures"].append([name, message.removeprefix("AssertionError: ").split("\nassert ")[0]])
    elif report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if "got empty parameter set" not in reason:  # a stack without accessories has none to check
            _results["skipped"].append([name, reason.removeprefix("Skipped: ")])
    elif report.when == "call":
        _results["passed"] += 1


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A suite that cannot be read is a failure."""
    if report.failed:
        _results["failures"].append([report.nodeid, str(report.longrepr)])


def pytest_sessionfinish() -> None:
    """Hand the results over."""
    _write_results()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Check per service, so that a failure names it: `service`, `routed` and `accessory` are names of this host's.

    `migrated` is the database that Slipway migrates, `by_itself` the service whose own tool does, where that is this host.
    """
    facts = metafunc.config.stash[_FACTS]
    apps = [name for name, service in facts.get("services", {}).items() if service["role"] == "app"]
    mine = os.environ["SLIPWAY_VERIFY_HOST"]
    migrate = facts.get("migrate") or {}
    where = {migrate["database"] or migrate["service"]} if migrate.get("host") == mine else set()
    own = migrate.get("kind") == "command"
    names = {
        "migrated": [] if own else sorted(where),
        "by_itself": sorted(where) if own else [],
        "service": apps,
        "routed": [name for name in apps if facts["services"][name].get("route")],
        "accessory": [name for name, value in facts.get("accessories", {}).items() if value["host"] == mine],
    }
    if "rotated" in metafunc.fixturenames:
        files = facts["provision"].get("rotated_files", [])
        ids = [f"{file['service']} {file['path']}" for file in files]
        metafunc.parametrize("rotated", range(len(files)), ids=ids, scope="module")
    for fixture in names.keys() & set(metafunc.fixturenames):
        metafunc.parametrize(fixture, names[fixture], scope="module")


@pytest.fixture(scope="session")
def facts(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What Slipway believes."""
    return request.config.stash[_FACTS]


@pytest.fixture(scope="session")
def host_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """What Slipway believes of this host."""
    return facts.get("hosts", {}).get(os.environ["SLIPWAY_VERIFY_HOST"], {})


@pytest.fixture(scope="module")
def root(host: Host) -> Any:
    """Commands inside run as root (the admin's sudo)."""
    with contextlib.nullcontext() if host.user().name == "root" else host.sudo():
        yield host


@pytest.fixture(scope="module")
def server(root: Host, facts: dict[str, Any], host_facts: dict[str, Any]) -> Server:
    """What root sees of the host, asked at once."""
    return look_at_server(root, host_facts["user"])


@pytest.fixture(scope="module")
def logs(root: Host, facts: dict[str, Any], host_facts: dict[str, Any]) -> Logs:
    """What root sees of logs, asked at once."""
    return look_at_logs(root, host_facts["user"], facts["provision"].get("rotated_files", []))


@pytest.fixture(scope="module")
def release(host: Host, facts: dict[str, Any]) -> Release:
    """What the deploying user sees of the stack, asked at once."""
    return look_at_release(host, facts)
