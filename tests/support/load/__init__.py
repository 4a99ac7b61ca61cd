"""A client that runs beside a deploy, checks every answer, and counts.

    with load.running("http://127.0.0.1:8080", "keep-alive=32 new=50 sse=1x20") as client:
        ...
        client.wait(requests=1000)
    report = client.report
    assert not report.failed, report.text()

It runs in a process of its own, so that the test's own work does not slow its clock. `python -m tests.support.load --help` is the
same for a shell. What each kind of client does stands in `clients.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.support import priority
from tests.support.load.profile import FINEASY, KINDS, PROBE, Profile, Target
from tests.support.load.report import Report
from tests.support.load.samples import percentile

__all__ = ["FINEASY", "KINDS", "PROBE", "Client", "Profile", "Report", "Target", "percentile", "running"]

_ROOT = Path(__file__).resolve().parents[3]


class Client:
    """A running client. It ends by itself when the process that started it is gone."""

    def __init__(self, url: str, profile: Profile, target: Target, folder: Path, first: bool = False) -> None:
        self.report: Report = Report({}, None)
        """What was counted; empty until `stop`."""
        self._result, self._samples = folder / "report.json", folder / "samples"
        self._counts: dict[str, Any] = {}
        argv = [sys.executable, "-m", "tests.support.load", url, "--profile", profile.text(), "--live"]
        argv += ["--target", json.dumps(asdict(target)), "--report", str(self._result), "--samples", str(self._samples)]
        environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
        self._process = subprocess.Popen(
            argv,
            cwd=_ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=first,
        )
        if first:
            priority.first(self._process.pid)
        self.counts()

    def counts(self) -> Mapping[str, Any]:
        """Return what is known now: `requests`, `failed`, `open` (begun, not ended) and `releases` (answers by release)."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("counts\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the client ended by itself with exit code {self._process.wait()}"
        self._counts = json.loads(line)
        return self._counts

    def wait(
        self, *, requests: int = 0, release: str = "", failed: int = 0, streams: int = 0, within: float = 60
    ) -> None:
        """Wait until so much has happened. Raise AssertionError if it does not within `within` seconds.

        Args:
            requests: so many requests have ended, since the client's start.
            release: that release has answered.
            failed: so many have failed.
            streams: so many streams (of all kinds that last) are open.
            within: seconds.
        """
        deadline = time.monotonic() + within
        while True:
            now = self.counts()
            enough = now["requests"] >= requests and now["failed"] >= failed and now["streams"] >= streams
            if enough and (not release or now["releases"].get(release)):
                return
            assert time.monotonic() < deadline, f"after {within} s the client has seen {now}"
            time.sleep(0.05)

    def stop(self, *, cut: bool = False, within: float = 120) -> Report:
        """End the client and return its report. Requests and streams in hand are waited for, or, with `cut`, given up uncounted."""
        if self._process.poll() is None and self._process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write("cut\n" if cut else "stop\n")
                self._process.stdin.close()
            self._process.stdin = None
        try:
            code = self._process.wait(within)
        finally:
            self._process.kill()
            if self._process.stdout:
                self._process.stdout.close()
        assert code in (0, 1), f"the client itself broke, exit code {code}"
        if not self.report.requests:
            self.report = Report.read(self._result, self._samples)
        return self.report


@contextlib.contextmanager
def running(
    url: str, profile: str | Profile = "keep-alive=8", target: Target = FINEASY, *, first: bool = False
) -> Iterator[Client]:
    """Run a client while the block runs; its `report` is there when the block has ended.

    Args:
        url: the front door, `http://host:port`.
        profile: how many clients of which kinds, such as `"keep-alive=32 new=50 sse=1x20"` (see `Profile.parse`).
        target: which paths it asks for, and what they must answer.
        first: it waits for no processor, where that can be had: it stands for clients on other machines.
    """
    wanted = profile if isinstance(profile, Profile) else Profile.parse(profile)
    with tempfile.TemporaryDirectory(prefix="slipway-load-") as folder:
        client = Client(url, wanted, target, Path(folder), first)
        try:
            yield client
        except BaseException:
            with contextlib.suppress(Exception):
                client.stop(cut=True, within=10)
            raise
        client.stop()
