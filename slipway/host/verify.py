"""Verification: a suite of tests/verify/ run against every host, side by side, over one SSH connection each."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from slipway import report
from slipway.errors import SlipwayError
from slipway.host import ssh
from slipway.host.inventory import variables
from slipway.process import Completed, run
from slipway.settings.model import Environment, Host

Suite = Literal["provision", "migrate", "deploy", "rollback", "backup", "restore", "logs"]

_OF_ADMIN = ("provision", "logs")
"""Suites that look at what only root sees: they log in as the hosts' admin, the others as the user that deploys."""

_LEFT_OUT = (
    *(
        "cacheprovider",
        "debugging",
        "doctest",
        "faulthandler",
        "junitxml",
        "legacypath",
        "logging",
        "monkeypatch",
        "pastebin",
    ),
    *("recwarn", "setuponly", "setupplan", "stepwise", "terminal", "threadexception", "tmpdir", "unittest"),
    *("unraisableexception", "warnings"),
)
"""Parts of pytest that the suites do without; they would be a fifth of its start. What was found comes in a file, not as text."""

_ROOT = Path(__file__).parents[2]
_TESTS = _ROOT / "tests" / "verify"


@dataclass(frozen=True)
class Finding:
    """A check that found something on a host, or that was left out there; `message` says why."""

    host: str
    test: str
    message: str


@dataclass(frozen=True)
class VerifyResult:
    """What a suite found on all hosts."""

    passed: int
    failures: tuple[Finding, ...] = ()
    skipped: tuple[Finding, ...] = ()
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        """How many checks failed."""
        return len(self.failures)

    def text(self) -> str:
        """Return the failures, one a line (for an error's `seen`)."""
        return "\n".join(f"{f.host}: {f.test.replace('_', ' ')}: {f.message}" for f in self.failures)


def verify(
    env: Environment, step: Suite, facts: Mapping[str, Any], *, key_file: Path | None, known_hosts: Path
) -> VerifyResult:
    """Run the suite of `step` against every host of `env`, and return what it found; a failed check is no error here.

    Args:
        env: the environment, with its hosts and registry (a lab's are already in it).
        step: which suite.
        facts: what Slipway believes, see docs/hosts.md. `hosts` and `provision` are added from `env`.
        key_file: private key to log in with; None leaves the choice to the agent and the user's default keys.
        known_hosts: the only file whose host keys count.

    Raises:
        BadInput: a host's key is unknown or has changed.
        SlipwayError: a host cannot be reached, or the suite itself broke.
    """
    with warmed(env, step, key_file=key_file, known_hosts=known_hosts) as verifier:
        return verifier.finish(facts)


@contextlib.contextmanager
def warmed(env: Environment, step: Suite, *, key_file: Path | None, known_hosts: Path) -> Iterator[Verifier]:
    """Give a `Verifier` that imports and connects while the block does something else; clean up after the block."""
    verifier = Verifier(env, step, key_file=key_file, known_hosts=known_hosts)
    try:
        yield verifier
    finally:
        verifier.close()


class Verifier:
    """A suite that has been started ahead: one process a host waits for the facts. Use it through `warmed`."""

    def __init__(self, env: Environment, step: Suite, *, key_file: Path | None, known_hosts: Path) -> None:
        self.env, self.step, self.known_hosts = env, step, known_hosts
        # A socket's path has at most 108 bytes: below /tmp, whatever TMPDIR says.
        self._folder = Path(tempfile.mkdtemp(prefix="slipway-", dir="/tmp"))
        self._config = self._folder / "config"
        self._facts = self._folder / "facts.json"
        self._sockets = self._folder / "s"
        self._sockets.mkdir()
        self._config.write_text(
            ssh.config(env.hosts, key_file=key_file, known_hosts=known_hosts, control_dir=self._sockets)
        )
        self._pool = ThreadPoolExecutor(max_workers=len(env.hosts))
        self._runs: dict[str, Future[Completed]] = {h.name: self._pool.submit(self._run, h) for h in env.hosts}

    def finish(self, facts: Mapping[str, Any]) -> VerifyResult:
        """Give the processes the facts, and return what they found. See `verify` for the arguments and errors."""
        started = time.monotonic()
        with report.step(f"Verify {self.step}") as step:
            self._hand_over(complete(self.env, facts))
            found = {host.name: self._result(host) for host in self.env.hosts}
            result = merge(found, time.monotonic() - started)
            step.done(_outcome(result))
        return result

    def close(self) -> None:
        """End what still waits, close the connections, remove the files."""
        if not self._facts.exists():
            self._hand_over({})  # no facts: called off
        self._pool.shutdown()
        for socket in self._sockets.iterdir():
            run(["ssh", "-F", "none", "-S", socket, "-O", "exit", "host"], check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _hand_over(self, facts: Mapping[str, Any]) -> None:
        part = self._facts.with_suffix(".part")
        part.write_text(json.dumps(facts))
        part.replace(self._facts)

    def _run(self, host: Host) -> Completed:
        argv: list[str | Path] = [sys.executable, "-m", "pytest", "-c", _TESTS / "pytest.ini", "-p", "testinfra.plugin"]
        url = self._url(host)
        argv += [word for name in _LEFT_OUT for word in ("-p", f"no:{name}")]  # there: its settings are read too late
        argv += [f"--hosts={url}", f"--ssh-config={self._config}", _TESTS / self.step]
        return run(
            argv,
            cwd=_ROOT,
            env={
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                "PYTEST_ADDOPTS": "",
                "PYTHONDONTWRITEBYTECODE": "",
                "SLIPWAY_VERIFY_HOST": host.name,
                "SLIPWAY_VERIFY_URL": url,
                "SLIPWAY_VERIFY_FACTS": str(self._facts),
                "SLIPWAY_VERIFY_PARENT": str(os.getpid()),
                "SLIPWAY_VERIFY_RESULTS": str(self._results(host)),
            },
            check=False,
        )

    def _url(self, host: Host) -> str:
        """Return how Testinfra names a host: by the address, as a person's own ssh configuration does."""
        address = f"[{quote(host.address, safe=':')}]" if ":" in host.address else host.address
        return f"ssh://{self._user(host)}@{address}:{host.port}"

    def _user(self, host: Host) -> str:
        return host.admin if self.step in _OF_ADMIN else host.user

    def _results(self, host: Host) -> Path:
        return self._folder / f"{host.name}.json"

    def _result(self, host: Host) -> dict[str, Any]:
        """Wait for a host's process and return its results."""
        completed = self._runs[host.name].result()
        path = self._results(host)
        results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        if results.get("unreachable") is not None:
            raise ssh.failure(host, self._user(host), self.known_hosts, results["unreachable"])
        if not results or completed.code not in (0, 1):
            seen = completed.tail() or "\n".join(message for _, message in results.get("failures", []))
            raise SlipwayError(
                f"the {self.step} suite broke off (exit code {completed.code})", where=host.name, seen=seen
            )
        return results


def _outcome(result: VerifyResult) -> str:
    parts = [f"{result.passed} checks passed", *([f"{result.failed} failed"] if result.failed else [])]
    # The same check is left out on every host for the same reason: once is enough.
    reasons = dict.fromkeys(f"{s.test.replace('_', ' ')} ({s.message})" for s in result.skipped)
    return ", ".join(parts) + (f"; left out: {', '.join(reasons)}" if reasons else "")


def complete(env: Environment, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return `facts` with what the environment itself says: `env`, `hosts` and, unless given, `provision`."""
    given = facts.get("hosts", {})
    hosts = {
        h.name: {"address": h.address, "port": h.port, "user": h.user, "admin": h.admin, **given.get(h.name, {})}
        for h in env.hosts
    }
    return {"provision": variables(env), **facts, "env": env.name, "hosts": hosts}


def merge(found: Mapping[str, Mapping[str, Any]], seconds: float) -> VerifyResult:
    """Return the hosts' results (name -> `passed`, `failures`, `skipped`) as one."""

    def findings(key: str) -> tuple[Finding, ...]:
        return tuple(Finding(host, test, message) for host, r in found.items() for test, message in r[key])

    return VerifyResult(sum(r["passed"] for r in found.values()), findings("failures"), findings("skipped"), seconds)
