"""A checkout with a lab that serves a stack: what tests of deploys ask of it, past Slipway where they can."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.checkout import Checkout, Result
from tests.support.visitor import Answer, Visitor, get

SLACK = 5.0
"""What a test allows over a promised time, since others may use the machine; `inv bench` measures the promises."""
_SEEN = Path(__file__).with_name("seen.py").read_text()
PATIENCE = 3.0
"""How much longer than on a quiet machine tests wait for what they wait for; where it comes sooner that costs nothing."""


@dataclass
class Site:
    """One stack in one lab environment of a checkout."""

    checkout: Checkout
    env: str
    stack: str
    port: int

    def inv(self, verb: str, *argv: str, **env: str) -> Result:
        """Run a verb on this stack."""
        return self.checkout.inv(verb, "--env", self.env, "--stack", self.stack, *argv, **env)

    def start(self, verb: str, *argv: str) -> Any:
        """Start a verb on this stack, beside the test."""
        return self.checkout.start(verb, "--env", self.env, "--stack", self.stack, *argv)

    def deploy(self, *argv: str) -> Result:
        """Deploy the tree."""
        return self.inv("deploy", *argv)

    def deploy_with(self, **env: str) -> Result:
        """Deploy the tree with other environment variables."""
        return self.inv("deploy", **env)

    def url(self, host: str = "app1") -> str:
        """Return the front door of a host, as this machine sees it."""
        published = {h["name"]: h for h in self.checkout.lab(self.env)["hosts"]}[host]["published"]
        return f"http://127.0.0.1:{published[str(self.port)]}"

    def get(self, path: str = "/", host: str = "app1", name: str = "") -> Answer:
        """Ask the front door of a host once; `name` is the Host header."""
        return get(self.url(host), path, host=name)

    def visitor(self, path: str = "/", host: str = "app1", pause: float = 0.05) -> Visitor:
        """Return a visitor who comes again and again."""
        return Visitor(self.url(host), path, pause)

    def status(self) -> dict[str, Any]:
        """Return the status document."""
        found = self.inv("status", "--format", "json")
        assert found.code in (0, 1), found.text
        return dict(found.json())

    def live(self) -> str:
        """Return the release that answers at the front door."""
        release = self.get().release
        assert release, "no X-Release in the answer"
        return release

    def on(self, *argv: str, host: str = "app1", check: bool = True) -> str:
        """Run a command on a host as root."""
        return self.checkout.on(self.env, *argv, host=host, check=check)

    def python(self, code: str, *argv: str, host: str = "app1") -> str:
        """Run Python on a host as root."""
        return self.checkout.on(self.env, "python3", "-", *argv, host=host, stdin=code)

    def containers(self, host: str = "app1") -> dict[str, dict[str, Any]]:
        """Return the stack's containers by name: id, state, release, service, started (as the engine says it)."""
        found: dict[str, dict[str, Any]] = self._seen(host, "containers")["containers"]
        return found

    def _seen(self, host: str, *parts: str) -> dict[str, Any]:
        return dict(json.loads(self.python(_SEEN, self.stack, *parts, host=host)))

    def running(self, host: str = "app1") -> dict[str, int]:
        """Return how many containers run, by release."""
        found: dict[str, int] = {}
        for container in self.containers(host).values():
            if container["state"] == "running" and container["release"]:
                found[container["release"]] = found.get(container["release"], 0) + 1
        return found

    def releases(self, host: str = "app1") -> set[str]:
        """Return the releases that have a folder on a host."""
        return set(self._seen(host, "releases")["releases"])

    def router(self, command: str, host: str = "app1") -> str:
        """Say something to the router at its socket, by hand."""
        code = (
            "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect('/var/lib/slipway/proxy/run/admin.sock')\n"
            "s.sendall(sys.argv[1].encode() + b'\\n')\nprint(s.makefile().read())\n"
        )
        return self.python(code, command, host=host)

    def weights(self, host: str = "app1") -> dict[str, int]:
        """Return the weight of each of the stack's servers in the router."""
        found: dict[str, int] = self._seen(host, "weights")["weights"]
        return found

    def settled(self, host: str = "app1") -> dict[str, Any]:
        """Return the footprint once it stays the same: after a deploy old releases end without anybody waiting for them."""
        seen: list[dict[str, Any]] = []

        def steady() -> bool:
            seen.append(self.footprint(host))
            return len(seen) > 1 and seen[-2] == seen[-1]

        eventually(steady, within=60, every=1.0)
        return seen[-1]

    def footprint(self, host: str = "app1") -> dict[str, Any]:
        """Return all that a deploy may leave on a host: containers, networks, images, folders, shares."""
        return self._seen(host, "containers", "networks", "images", "releases", "weights")


def eventually(condition: Callable[[], Any], within: float, every: float = 0.2) -> Any:
    """Return what `condition` returns once that is true; fail where it is not within so many seconds (of a quiet machine)."""
    until = time.monotonic() + within * PATIENCE
    while not (found := condition()):
        assert time.monotonic() < until, f"not so within {within * PATIENCE:g} s"
        time.sleep(every)
    return found


def seconds_of(result: Result, step: str) -> float:
    """Return how long a step took, as the command printed it."""
    found = re.search(rf"[✓✗] {re.escape(step)}.*\(([\d.]+) s\)", result.text)
    assert found, f"no step {step!r} in {result.text}"
    return float(found[1])
