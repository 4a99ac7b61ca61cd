"""The client for a shell: `python -m tests.support.load URL --profile "keep-alive=32 new=50" --seconds 10 --json`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
from pathlib import Path

from tests.support.load.clients import Clients
from tests.support.load.profile import LASTING, Profile, target_of
from tests.support.load.report import Report
from tests.support.load.samples import Samples


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.support.load", description=__doc__)
    parser.add_argument("url", help="front door, http://host:port")
    parser.add_argument(
        "--profile", default="keep-alive=8", type=Profile.parse, help='such as "keep-alive=32 sse=1x20"'
    )
    parser.add_argument("--target", default="fineasy", type=target_of, help="fineasy, probe, or a Target as JSON")
    parser.add_argument("--seconds", type=float, default=0, help="stop after so long (default: at SIGINT or SIGTERM)")
    parser.add_argument("--requests", type=int, default=0, help="stop after so many requests")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--report", type=Path, help="write the report as JSON to this file")
    parser.add_argument("--samples", type=Path, help="write every request to this file (binary)")
    parser.add_argument("--live", action="store_true", help="take the words counts, stop and cut on standard input")
    return parser.parse_args()


def _counts(clients: Clients) -> str:
    samples = clients.samples
    failed = sum(samples.failures.values())
    ended = len(samples.columns["ok"])
    told = {"requests": ended, "failed": failed, "streams": clients.streams, "releases": samples.answers}
    return json.dumps({**told, "reasons": samples.failures})


async def _commands(clients: Clients, work: asyncio.Task[None]) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while True:
        word = (await reader.readline()).decode().strip()
        if word == "counts":
            print(_counts(clients), flush=True)
        elif word == "cut":
            work.cancel()
            return
        else:  # stop, or the end: whoever started this is gone
            clients.stopping.set()
            return


async def _limits(clients: Clients, seconds: float, requests: int) -> None:
    begun = asyncio.get_running_loop().time()
    while not (requests and len(clients.samples.columns["ok"]) >= requests):
        await asyncio.sleep(0.05)
        if seconds and asyncio.get_running_loop().time() - begun >= seconds:
            break
    clients.stopping.set()


async def _run(arguments: argparse.Namespace) -> Samples:
    samples = Samples()
    clients = Clients(arguments.url, arguments.target, samples)
    loop = asyncio.get_running_loop()
    work = asyncio.create_task(clients.run(arguments.profile.kinds))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, clients.stopping.set)
    helpers = []
    if arguments.live:
        helpers.append(asyncio.create_task(_commands(clients, work)))
    if arguments.seconds or arguments.requests:
        helpers.append(asyncio.create_task(_limits(clients, arguments.seconds, arguments.requests)))
    with contextlib.suppress(asyncio.CancelledError):
        await work
    for helper in helpers:
        helper.cancel()
    return samples


def main() -> int:
    """Run the client. Return 0 where nothing failed, else 1."""
    arguments = _arguments()
    for kind in arguments.profile.kinds:
        target = arguments.target
        paths = {"upload": target.upload, "ws": target.websocket, "answer": target.slow or target.stream}
        needs = paths.get(kind.name, target.stream)
        if kind.name in LASTING and not needs:
            sys.exit(f"the target has nothing to ask for {kind.name}")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 8192), hard), hard))
    samples = asyncio.run(_run(arguments))
    document = samples.summary()
    if arguments.samples:
        samples.save(arguments.samples)
    if arguments.report:
        temporary = arguments.report.with_name(f".{arguments.report.name}.{os.getpid()}")
        temporary.write_text(json.dumps(document))
        temporary.replace(arguments.report)
    if arguments.json:
        print(json.dumps(document))
    elif not arguments.live:
        print(Report(document).text())
    return int(document["failed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
