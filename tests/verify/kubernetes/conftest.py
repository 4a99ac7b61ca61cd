"""What suites for a cluster share: the facts, the API server by way of `kubectl proxy`, pods by Testinfra's kubectl backend.

slipway/target/kubernetes/verify.py starts one process with these variables:

    SLIPWAY_VERIFY_FACTS     JSON file with what Slipway believes; it may come later than this process, which warms up meanwhile
    SLIPWAY_VERIFY_PARENT    who started it: without them nobody will bring the facts
    SLIPWAY_VERIFY_RESULTS   JSON file that the results are written to
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import testinfra

_results: dict[str, Any] = {"passed": 0, "skipped": [], "failures": []}
_FACTS = pytest.StashKey[dict[str, Any]]()


def pytest_configure(config: pytest.Config) -> None:
    """Wait for the facts."""
    path, parent = Path(os.environ["SLIPWAY_VERIFY_FACTS"]), int(os.environ["SLIPWAY_VERIFY_PARENT"])
    while not path.exists():
        if os.getppid() != parent:
            pytest.exit("nobody waits for results", returncode=pytest.ExitCode.INTERRUPTED)
        time.sleep(0.01)
    facts = json.loads(path.read_text())
    if not facts:
        pytest.exit("called off", returncode=pytest.ExitCode.INTERRUPTED)
    config.stash[_FACTS] = facts


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep each check's outcome."""
    name = report.nodeid.partition("::")[2].removeprefix("test_")
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        message = crash.message if crash else str(report.longrepr)
        _results["failures"].append([name, message.removeprefix("AssertionError: ").split("\nassert ")[0]])
    elif report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if "got empty parameter set" not in reason:
            _results["skipped"].append([name, reason.removeprefix("Skipped: ")])
    elif report.when == "call":
        _results["passed"] += 1


def pytest_sessionfinish() -> None:
    """Hand the results over."""
    path = Path(os.environ["SLIPWAY_VERIFY_RESULTS"])
    part = path.with_suffix(".part")
    part.write_text(json.dumps(_results))
    part.replace(path)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Check per service, so that a failure names it."""
    facts = metafunc.config.stash[_FACTS]
    names = {
        "service": list(facts["services"]),
        "routed": [name for name, s in facts["services"].items() if s["routed"]],
        "accessory": list(facts["accessories"]),
    }
    for fixture in names.keys() & set(metafunc.fixturenames):
        metafunc.parametrize(fixture, names[fixture], scope="module")


@pytest.fixture(scope="session")
def facts(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What Slipway believes."""
    return request.config.stash[_FACTS]


_KINDS = {
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments", "Pod": "/api/v1/namespaces/{}/pods",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
}  # fmt: skip


class Connection(http.client.HTTPConnection):
    """HTTP over the Unix socket of `kubectl proxy`, which has the credentials."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Api:
    """What the API server says now."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.items = [
            {"kind": kind, **item} for kind, path in _KINDS.items()
            for item in self._ask(facts["socket"], path.format(facts["namespace"]))["items"]
        ]  # fmt: skip

    def _ask(self, path: str, url: str) -> Any:
        connection = Connection(path)
        connection.request("GET", url)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, f"GET {url}: {answer.status} {text[:300]!r}"
        return json.loads(text)

    def of(self, kind: str, **labels: str) -> list[dict[str, Any]]:
        """Return objects of a kind with these labels (`slipway_service` is `slipway.service`)."""
        wanted = {k.replace("_", "."): v for k, v in labels.items()}
        return [
            i for i in self.items
            if i["kind"] == kind and wanted.items() <= i["metadata"].get("labels", {}).items()
            and "deletionTimestamp" not in i["metadata"]
        ]  # fmt: skip


@pytest.fixture(scope="session")
def _asked(facts: dict[str, Any]) -> Iterator[tuple[Future[Api], ThreadPoolExecutor]]:
    """Ask the API server while pods are looked into."""
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit(Api, facts), pool


@pytest.fixture(scope="session")
def api(_asked: tuple[Future[Api], ThreadPoolExecutor], inside: object) -> Api:
    """The API server."""
    return _asked[0].result()


_LOOK = """\
echo "uid=$(id -u)"
if touch /slipway-was-here 2>/dev/null; then echo writable=yes; rm -f /slipway-was-here; fi
if [ -e /var/run/secrets/kubernetes.io/serviceaccount/token ]; then echo token=yes; fi
for name in "$@"; do echo "secret/$name=$(stat -L -c %a "/run/secrets/$name" 2>&1)"; done
"""


@pytest.fixture(scope="session")
def inside(facts: dict[str, Any], _asked: tuple[Future[Api], ThreadPoolExecutor]) -> dict[str, dict[str, str]]:
    """What one pod of each service looks like from inside, asked side by side: `uid`, `writable`, `token`, `secret/NAME`."""

    def look(service: str) -> dict[str, str]:
        if service not in facts["pods"]:
            return {}
        query = {"container": service, "namespace": facts["namespace"], **facts["cluster"]}
        host = testinfra.get_host(f"kubectl://{facts['pods'][service]}?{urlencode(query)}")
        words = ("%s " * len(facts["services"][service]["secrets"])).strip()
        for _ in range(3):  # a way into a pod may break
            told = host.run(f"sh -c %s look {words}", _LOOK, *facts["services"][service]["secrets"])
            if told.rc == 0 and told.stdout.startswith("uid="):
                return dict(line.partition("=")[::2] for line in told.stdout.splitlines())
        return {"error": f"kubectl exec: exit code {told.rc}, {told.stderr.strip()[-300:]}"}

    return dict(zip(facts["services"], _asked[1].map(look, facts["services"]), strict=True))
