"""Where benchmarks are measured: a checkout with a lab of its own, and as many really different versions as are wanted."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Iterator

from tests.support import checkout as checkouts
from tests.support.checkout import Checkout, Result

ENV, STACK = "bench", "fineasy"


class Stage:
    """A lab with the stack `fineasy` live, and versions of it in the lab's registry."""

    def __init__(self, checkout: Checkout) -> None:
        self.checkout = checkout
        self.images: dict[str, dict[str, str]] = {}

    def inv(self, *argv: str, timeout: float = 900) -> Result:
        """Run `inv ARGV --env bench`; it must succeed."""
        return self.checkout.inv(*argv, "--env", ENV, timeout=timeout).ok()

    def version(self, name: str) -> str:
        """Put a version into the registry whose images differ in a layer from all others. Return its name."""
        self.checkout.write(
            f"compose/{STACK}/api/app/edition.py", f'"""Which edition this is."""\n\nEDITION = "{name}"\n'
        )
        said = self.inv("push", "--version", name).out
        self.images[name] = dict(re.findall(r"^(\w+)  (\S+@sha256:\w+)", said, re.MULTILINE))
        assert self.images[name].keys() == {"api", "worker"}, said
        return name

    def live(self) -> str:
        """Return the id of the live release."""
        return str(self.inv("status", "--format", "json").json()["release"]["id"])

    def url(self) -> str:
        """Return the front door."""
        host = self.checkout.lab(ENV)["hosts"][0]
        return f"http://127.0.0.1:{next(iter(host['published'].values()))}"

    def settle(self, within: float = 60) -> None:
        """Wait until the host has tidied up after the last command, which it does by itself, and the machine is quiet."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            busy = self.checkout.on(
                ENV, "sh", "-c", "ps -eo args | grep '[c]urrent.pyz reap'; docker ps -q | wc -l", check=False
            )
            time.sleep(1)
            after = self.checkout.on(
                ENV, "sh", "-c", "ps -eo args | grep '[c]urrent.pyz reap'; docker ps -q | wc -l", check=False
            )
            if busy == after and "reap" not in after:
                return


@contextlib.contextmanager
def ready() -> Iterator[Stage]:
    """Make a checkout, its lab (from a provisioned host) and a first release; remove all in the end, after SIGTERM too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    checkout = checkouts.make()
    try:
        checkout.write(
            f"envs/{ENV}.yml",
            "lab: {hosts: 1, kind: provisioned}\nallow_dirty: true\nstacks:\n  - {name: fineasy, port: 8080}\n",
        )
        checkout.commit("an environment for benchmarks")
        stage = Stage(checkout)
        stage.inv("deploy", "--yes")
        yield stage
    finally:
        checkout.labs.add(ENV)
        checkout.remove()


def say(words: str) -> None:
    """Tell what is being measured."""
    print(f"… {words}", file=sys.stderr if not os.environ.get("CI") else sys.stdout, flush=True)
