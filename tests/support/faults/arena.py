"""Where faults are made: a checkout with a lab that serves the stack `probe`, and versions of it in the lab's registry."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.support import checkout as checkouts
from tests.support import load, stacks
from tests.support.checkout import Checkout, Running
from tests.support.faults import census
from tests.support.faults.census import Census
from tests.support.site import Site

_DATABASE = """
  database:
    image: postgres:17
    environment: {POSTGRES_HOST_AUTH_METHOD: trust}
    expose: ["5432"]
    volumes: ["database:/var/lib/postgresql/data"]
    healthcheck: {test: [CMD, pg_isready, -U, postgres], interval: 60s, start_period: 20s, start_interval: 200ms}
    x-slipway: {backup: none}

volumes:
  database:
"""
LOAD = "keep-alive=2x0.1 new=5 answer=1 upload=1 sse=1x3 ws=1x3"
"""One of each kind of client, light enough that deploys go on as they would."""


@dataclass
class Arena(Site):
    """The stack `probe` in a lab of its own."""

    hosts: tuple[str, ...] = ("app1",)
    versions: list[str] = field(default_factory=list)
    _store: Iterator[int] = field(default_factory=lambda: itertools.count(1000))

    def push(self, name: str, mode: str = "good", ballast: int = 0, **behaviour: object) -> str:
        """Put a version into the registry: an image layer differs from all others, of `ballast` MB. Return its name."""
        stacks.behave(self.checkout, name, mode, **behaviour)
        weight = self.checkout.path / "compose/probe/web/ballast"
        weight.write_bytes(random.Random(name).randbytes(ballast * 1_000_000))
        self.checkout.inv("push", "--env", self.env, "--stack", self.stack, "--version", name).ok()
        weight.unlink()
        return name

    def fill(self, count: int) -> None:
        """See that there are so many good versions."""
        self.versions += [self.push(f"v{n}") for n in range(len(self.versions) + 1, count + 1)]

    def another(self) -> str:
        """Return a version that is not live: the one that was asked for longest ago."""
        label = self.get().json()["label"]
        name = next(v for v in self.versions if v != label)
        self.versions.remove(name)
        self.versions.append(name)
        return name

    def change_store(self) -> None:
        """Change the accessory's section of the stack file."""
        text = self.checkout.read("compose/probe/compose.yaml")
        head, _, rest = text.partition('appendonly, "yes"')
        tail = rest[rest.index(", --save") :]
        number = next(self._store)
        self.checkout.write("compose/probe/compose.yaml", f'{head}appendonly, "yes", --maxclients, "{number}"{tail}')

    def start_as(self, program: list[str], *argv: str) -> Running:
        """Start a verb on this stack by way of another program."""
        verb, *more = argv
        return self.checkout.start_as(program, verb, "--env", self.env, "--stack", self.stack, *more)

    def client(
        self, profile: str = LOAD, host: str = "app1", *, near: bool = False
    ) -> contextlib.AbstractContextManager[load.Client]:
        """Return a client at a front door, for `with`.

        `near`: at the host's own address, not by way of 127.0.0.1; and ahead of all else on this machine, as from another one.
        """
        address = {h["name"]: h["address"] for h in self.checkout.lab(self.env)["hosts"]}[host]
        return load.running(
            f"http://{address}:{self.port}" if near else self.url(host), profile, load.PROBE, first=near
        )

    def rest(self) -> dict[str, Census]:
        """Return what is on each host once it has tidied up."""
        return {host: census.settled(self, host) for host in self.hosts}

    def processes(self) -> dict[int, str]:
        """Return this machine's processes that a command of this checkout started, but for the lab's own: id -> command line."""
        mine = str(self.checkout.path)
        found = {}
        for folder in checkouts.PROC.glob("[0-9]*"):
            try:
                argv = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                where = str((folder / "cwd").readlink())
            except OSError:
                continue
            if (where.startswith(mine) or mine in argv) and "slipway.lab.keeper" not in argv and argv:
                found[int(folder.name)] = argv[:160]
        return found


def _add_database(checkout: Checkout) -> None:
    """Give `probe` a Postgres, and starts the time that they need on a machine that is busy with faults.

    Health is asked for more often: an engine that was restarted knows of none before it has asked once.
    """
    text = checkout.read("compose/probe/compose.yaml").replace("start_within: 4s", "start_within: 8s")
    text = text.replace("STORE: store:6379", "STORE: store:6379\n      DATABASE: database:5432")
    text = text.replace("\nvolumes:\n", _DATABASE, 1).replace("interval: 60s", "interval: 10s")
    checkout.write("compose/probe/compose.yaml", text)


@contextlib.contextmanager
def ready(versions: int = 4, hosts: int = 1) -> Iterator[Arena]:
    """Make a checkout, its lab (from provisioned hosts), so many versions, and deploy three of them; remove all in the end."""
    checkout = checkouts.make()
    try:
        stacks.add_probe(checkout)
        _add_database(checkout)
        stacks.environment(checkout, "faults", "[{name: probe, port: 8300}]", hosts=hosts, keep_releases="3")
        checkout.commit("a stack to break")
        arena = Arena(checkout, "faults", "probe", 8300, tuple(f"app{n}" for n in range(1, hosts + 1)))
        arena.fill(versions)
        for name in arena.versions[:3]:
            arena.deploy("--version", name).ok()
        yield arena
    finally:
        checkout.remove()
