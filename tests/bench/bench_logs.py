"""`inv bench logs`: `inv logs` over three hosts, against `zgrep` on all of them at once. More in docs/benchmarks.md.

Exit code 1 where a must is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from slipway.host import ssh
from slipway.settings.model import Host
from tests.bench import table
from tests.bench.stage import say
from tests.bench.table import Row
from tests.support import checkout as checkouts
from tests.support import stacks
from tests.support.site import Site, eventually
from tests.support.visitor import get

_ENV, _HOSTS, _PORT = "bench", ("app1", "app2", "app3"), 8310
_LINES = 1_000_000
_WANTED = 100

# What a removed container left, as Slipway keeps it: there are so many lines nowhere else.
_OLD = """
import gzip, json, sys
lines, begin = int(sys.argv[1]), int(sys.argv[2])
name = "/var/lib/slipway/logs/scribe/old-%d" % lines
with gzip.open(name + ".gz", "wt", compresslevel=1) as file:
    for n in range(lines):
        at = begin + n // 1000
        time = "2026-01-%02dT%02d:%02d:%02d.%03dZ" % (1 + at // 86400, at // 3600 % 24, at // 60 % 60, at % 60, n % 1000)
        file.write('{"log":"{\\\\"level\\\\":\\\\"info\\\\",\\\\"n\\\\":%d}\\\\n","stream":"stdout","time":"%s"}\\n' % (n, time))
    until = time[:-1] + "000000Z"
meta = {"service": "web", "release": "old", "container": "old", "from": "2026-01-01T00:00:00Z", "until": until}
open(name + ".json", "w").write(json.dumps(meta))
"""


def main() -> int:
    """Measure, print, write. Return the exit code."""
    arguments = _arguments()
    raw: dict[str, Any] = {}
    with _ready() as site:
        rows = [_search(site, arguments.turns, raw), _memory(site, arguments.long, raw)]
    command = "inv bench logs" + (" --long" if arguments.long else "")
    print(table.text(rows))
    print(f"\n{table.write('logs', command, rows, raw)}")
    if arguments.document:
        table.document_it("logs")
    return int(any(row.verdict == "MISSED" for row in rows))


@contextlib.contextmanager
def _ready() -> Iterator[Site]:
    """Make a checkout and its lab of three hosts with the stack `scribe`; remove all in the end, after SIGTERM too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    checkout = checkouts.make()
    try:
        stacks.add_scribe(checkout)
        checkout.edit("compose/scribe/compose.yaml", "command: [python, scribe.py, pen]", "command: [sleep, infinity]")
        stacks.environment(checkout, _ENV, f"[{{name: scribe, port: {_PORT}}}]", hosts=len(_HOSTS))
        checkout.commit("a stack that has much to say")
        site = Site(checkout, _ENV, "scribe", _PORT)
        site.deploy("--yes").ok()
        _fill(site)
        yield site
    finally:
        checkout.labs.add(_ENV)
        checkout.remove()


def _fill(site: Site) -> None:
    """Have the services say a million lines, and wait until the engines have zipped what they rotated."""
    say(f"{_LINES} lines on {len(_HOSTS)} hosts")
    for seed, host in enumerate(_HOSTS):
        for turn in range(4):
            get(site.url(host), f"/requests?lines={-(-_LINES // 12)}&seed={seed * 4 + turn}", timeout=120)

    def zipped() -> bool:
        left = "ls /var/lib/docker/containers/*/*-json.log.1 2>/dev/null | wc -l"
        return all(site.on("sh", "-c", left, host=host) == "0" for host in _HOSTS)

    eventually(zipped, within=120, every=1.0)


def _search(site: Site, turns: int, raw: dict[str, Any]) -> Row:
    """Look for the wanted lines, ours and by hand in turns."""
    lab = site.checkout.lab(_ENV)
    hosts = [Host(name=h["name"], address=h["address"], port=h["port"], admin=h["admin"]) for h in lab["hosts"]]
    config = Path(site.checkout.path) / "ssh_config"
    config.write_text(ssh.config(hosts, key_file=Path(lab["key_file"]), known_hosts=Path(lab["known_hosts"])))
    zgrep = "sudo sh -c 'zgrep -hF \\\\\\\"ERROR\\\\\\\" /var/lib/docker/containers/*/*-json.log*'"

    def by_hand() -> float:
        def one(host: Host) -> int:
            argv = ["ssh", "-F", str(config), "-p", str(host.port), f"{host.admin}@{host.address}", zgrep]
            done = subprocess.run(argv, capture_output=True, text=True, check=True)
            return len(done.stdout.splitlines())

        began = time.monotonic()
        with ThreadPoolExecutor(len(hosts)) as pool:
            found = sum(pool.map(one, hosts))
        took = time.monotonic() - began
        assert found >= _WANTED, f"zgrep found {found} lines"
        return took

    def ours() -> float:
        done = site.inv("logs", "--field", "level=error").ok()
        assert len(done.out.splitlines()) >= _WANTED, done.out
        return done.seconds

    times: dict[str, list[float]] = {"ours": [], "by hand": []}
    by_hand(), ours()
    for _ in range(turns):
        times["by hand"].append(by_hand())
        times["ours"].append(ours())
    raw["search"] = times
    mine, hand = (statistics.median(times[name]) for name in ("ours", "by hand"))
    say(f"ours {mine:.2f} s, zgrep {hand:.2f} s")
    detail = f"{mine:.2f} s, zgrep {hand:.2f} s; medians of {turns}, in turns; {_LINES:,} lines, one in 10,000 wanted"
    return Row("a search over three hosts, against zgrep on all at once", mine / hand, "x", 1.3, 1.0, detail)


def _memory(site: Site, long: bool, raw: dict[str, Any]) -> Row:
    """Read all lines of few and of many; return by how much the memory of the command grew."""
    few, many = 10_000, 10_000_000 if long else 1_000_000
    most: dict[int, float] = {}
    for lines in (few, many):
        say(f"{lines} lines, read whole")
        for host in _HOSTS:
            site.checkout.on(_ENV, "rm", "-rf", "/var/lib/slipway/logs/scribe", host=host)
            site.checkout.on(_ENV, "mkdir", "-p", "/var/lib/slipway/logs/scribe", host=host)
            argv = ["python3", "-", str(-(-lines // len(_HOSTS))), str(_HOSTS.index(host))]
            site.checkout.on(_ENV, *argv, host=host, stdin=_OLD)
            site.checkout.on(_ENV, "chown", "-R", "deploy:deploy", "/var/lib/slipway/logs/scribe", host=host)
        most[lines], told, took = _read(site)
        assert told >= lines, f"{told} lines were told"
        raw[f"memory {lines}"] = {"MB": most[lines], "seconds": took, "lines": told}
        say(f"{most[lines]:.0f} MB, {took:.0f} s")
    detail = f"{most[few]:.1f} MB for {few:,} lines, {most[many]:.1f} MB for {many:,}"
    return Row("memory that reading more lines takes", most[many] - most[few], "MB", 20, 5, detail)


def _read(site: Site) -> tuple[float, int, float]:
    """Read all lines of January. Return the most memory that the command had (MB), the lines, and seconds."""
    argv = [".venv/bin/inv", "logs", "--env", _ENV, "--until", "2026-02-01"]
    began = time.monotonic()
    with subprocess.Popen(argv, cwd=site.checkout.path, stdout=subprocess.PIPE) as process:
        assert process.stdout
        lines = sum(block.count(b"\n") for block in iter(lambda: process.stdout.read(1 << 16), b""))  # type: ignore[union-attr]
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"exit code {process.returncode}"
    return usage.ru_maxrss / 1024, lines, time.monotonic() - began


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_logs", description="reading logs, measured")
    parser.add_argument("--turns", type=int, default=5, help="searches of either kind")
    parser.add_argument("--long", action="store_true", help="read 10,000,000 lines instead of 1,000,000")
    parser.add_argument("--cold", action="store_true", help="nothing: every search opens its own connections")
    parser.add_argument("--document", action="store_true", help="put the table into docs/benchmarks.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
