"""SIGKILL of the deployer, anywhere: what the next run makes of it, and what is left over."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.support.checkout import Result
from tests.support.faults.arena import Arena
from tests.support.faults.census import Census, left_over
from tests.support.site import eventually

Before = Mapping[str, Census]


class Clients(Protocol):
    """Who asks all through: a load client, or several."""

    def counts(self) -> Mapping[str, Any]:
        """Return what is known now: `failed`, `reasons`."""
        ...


NEXT = ("same", "another", "rollback")
"""What is run after a kill, in turns: the same command, a deploy of another version, a rollback."""
DRIFT = (
    "systemctl disable --quiet --now slipway-reap.timer && chmod 0777 /var/lib/slipway/stacks &&"
    " sed -i s/^PasswordAuthentication.no/PasswordAuthentication\\ yes/ /etc/ssh/sshd_config.d/0-slipway.conf &&"
    " nft add rule inet slipway input tcp dport 9999 accept && systemctl reload ssh &&"
    " systemctl set-property user.slice CPUWeight=100"
)
"""What somebody changed on a host by hand, so that provisioning has something to do in several roles."""


@dataclass
class Kill:
    """One kill, and what came after it.

    Args:
        verb: what was killed.
        where: the boundary, or the moment.
        killed: whether it was in time: the run may have ended before.
        then: the next run (see `NEXT`).
        seconds: how long that took.
        problems: in words; empty where all is as it should be.
    """

    verb: str
    where: str
    killed: bool
    then: str = ""
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return the kill in words, a line for each problem."""
        told = f"{self.verb}, killed at {self.where}, then {self.then} ({self.seconds:.1f} s)"
        return "\n    ".join([told if self.killed else f"{told}; it had ended before", *self.problems])


def prepare(arena: Arena, verb: str) -> list[str]:
    """Bring the arena to where `verb` has something to do. Return the command."""
    if verb == "deploy":
        return ["deploy", "--version", arena.another()]
    if verb == "rollback":
        arena.deploy("--version", arena.another()).ok()
    elif verb == "accessory.apply":
        arena.change_store()
    elif verb == "provision":
        arena.on("sh", "-c", DRIFT)
    return [verb]


def boundaries(arena: Arena, verb: str) -> list[str]:
    """Return the boundaries of a verb, by a whole run."""
    done, seen = _run(arena, prepare(arena, verb), 0)
    done.ok()
    return seen


def _run(arena: Arena, argv: Sequence[str], at: int) -> tuple[Result, list[str]]:
    with tempfile.NamedTemporaryFile() as log:
        program = [".venv/bin/python", "-m", "tests.support.faults.killed", str(at), log.name]
        done = arena.start_as(program, *argv).result()
        return done, Path(log.name).read_text().splitlines()


def kill_at(
    arena: Arena, verb: str, number: int, then: str, clients: Clients, before: Before, prepared: Sequence[str] = ()
) -> Kill:
    """Kill a verb at its boundary `number` (from 1 on), go on, and look. `prepared`: the command, where it has something to do."""
    argv = list(prepared) or prepare(arena, verb)
    done, seen = _run(arena, argv, number)
    if (
        done.code != -9
    ):  # shorter than the run that was counted: a release was still warm, say. Then at its last boundary.
        done.ok()
        number, argv = len(seen), prepare(arena, verb)
        done, seen = _run(arena, argv, number)
    kill = Kill(verb, f"{number}: {seen[-1] if seen else 'nothing'}", done.code == -9)
    return _go_on(arena, kill, argv, then, clients, before)


def kill_in_turn(arena: Arena, verb: str, numbers: Sequence[int], then: str, clients: Clients, before: Before) -> Kill:
    """Kill a verb, kill the run that goes on from there, and so on: each at a further boundary. Then go on to the end, and look."""
    argv = prepare(arena, verb)
    seen = [_run(arena, argv, number) for number in numbers[:-1]]
    kill = kill_at(arena, verb, numbers[-1], then, clients, before, prepared=argv)
    kill.killed = kill.killed and all(done.code == -9 for done, _ in seen)
    kill.where = "; ".join([*(f"{n}: {words[-1]}" for n, (_, words) in zip(numbers, seen, strict=False)), kill.where])
    return kill


def kill_after(arena: Arena, verb: str, seconds: float, then: str, clients: Clients, before: Before) -> Kill:
    """Kill a verb so long after its start, go on, and look."""
    argv = prepare(arena, verb)
    running = arena.start(argv[0], *argv[1:])
    time.sleep(seconds)
    killed = running.process.poll() is None
    running.kill()
    return _go_on(arena, Kill(verb, f"after {seconds:.3f} s", killed), argv, then, clients, before)


def _go_on(arena: Arena, kill: Kill, argv: list[str], then: str, clients: Clients, before: Before) -> Kill:
    kill.then = then
    failed = clients.counts()["failed"]
    command = {"same": argv, "rollback": ["rollback"]}.get(then) or ["deploy", "--version", arena.another()]
    done = arena.inv(*command)
    kill.seconds = done.seconds
    if done.code != 0 or "Traceback" in done.err:
        kill.problems.append(f"`inv {' '.join(command)}` exited {done.code}: {done.out}{done.err}")
    if then == "another" and kill.verb in ("accessory.apply", "provision"):
        arena.inv(*argv).ok()  # a deploy leaves their work to them
    kill.problems += _looked_at(arena, command, before)
    if clients.counts()["failed"] > failed:
        kill.problems.append(f"requests failed: {clients.counts()['reasons']}")
    return kill


def _looked_at(arena: Arena, command: list[str], before: Before) -> list[str]:
    status = arena.status()
    found = [] if status["healthy"] else [f"status: {status['problems']}"]
    found += ["status tells of an unfinished run"] if status["unfinished"] else []
    for host in arena.hosts:
        answer = arena.get(host=host)
        if answer.status != 200 or answer.release != status["release"]["id"]:
            found.append(f"{host}: {answer.status} {answer.release}, and not {status['release']['id']}")
        elif command[0] == "deploy" and answer.json()["label"] != command[-1]:
            found.append(f"{host}: {command[-1]} does not answer: {answer}")
        if (answer := arena.get("/store", host=host)).status != 200:
            found.append(f"{host}: the store does not answer: {answer}")
    return found + left_over(before, arena.rest()) + _left_here(arena)


def _left_here(arena: Arena) -> list[str]:
    """Return the processes of killed commands that went on living on this machine; and end them, so that each is told once."""
    with contextlib.suppress(AssertionError):
        eventually(lambda: not arena.processes(), within=20, every=0.5)
    left = arena.processes()
    for number in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    return [f"process on the deployer's machine: {argv}" for argv in left.values()]


def spread(count: int, of: int, seed: int) -> list[int]:
    """Return `count` numbers from 1 to `of`: one by chance from each of as many equal stretches."""
    chance = random.Random(seed)
    edges = [1 + of * i // count for i in range(count + 1)]
    return [chance.randrange(a, b) for a, b in itertools.pairwise(edges)]


def in_turns(seed: int) -> Iterator[str]:
    """Yield what is run next after each kill; the seed says with what it begins."""
    while True:
        yield NEXT[seed % len(NEXT)]
        seed += 1
