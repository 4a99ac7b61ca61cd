"""Outages of what a deploy stands on: the network, disks, the registry, the engine, the router, a clock. Blocks undo theirs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from slipway.lab import engine
from tests.support.faults.arena import Arena
from tests.support.site import eventually

_SSH = (("INPUT", "--dport"), ("OUTPUT", "--sport"))
RELEASES = "/var/lib/slipway/stacks/probe/releases"
PULLS = "/var/lib/docker/tmp"
SKEWED = str(Path(__file__).with_name("skewed"))
"""Folder with what makes every Python process with it in its PYTHONPATH believe that it is SKEW seconds later."""


def cut(arena: Arena) -> None:
    """Drop all that goes over SSH, in both directions, without a word: as a broken line does."""
    for chain, port in _SSH:
        arena.on("iptables", "--wait", "--insert", chain, "--protocol", "tcp", port, "22", "--jump", "DROP")


def heal(arena: Arena) -> None:
    """End what `cut` began."""
    for chain, port in _SSH:
        argv = ("--delete", chain, "--protocol", "tcp", port, "22", "--jump", "DROP")
        arena.on("iptables", "--wait", *argv, check=False)


def cut_for(arena: Arena, seconds: float) -> None:
    """Cut the line, and heal it after so many seconds, beside what goes on."""
    cut(arena)
    threading.Timer(seconds, heal, [arena]).start()


@contextlib.contextmanager
def slow_registry(arena: Arena) -> Iterator[None]:
    """Let only some hundred packets a second through from the registry: a pull takes long enough to be disturbed."""
    match = ("INPUT", "--protocol", "tcp", "--sport", "5000")
    few = ("--match", "limit", "--limit", "400/s", "--limit-burst", "100", "--jump", "ACCEPT")
    arena.on("iptables", "--wait", "--insert", *match, "--jump", "DROP")
    arena.on("iptables", "--wait", "--insert", *match, *few)
    try:
        yield
    finally:
        arena.on("iptables", "--wait", "--delete", *match, *few)
        arena.on("iptables", "--wait", "--delete", *match, "--jump", "DROP")


def await_pull(arena: Arena) -> None:
    """Wait until the engine is in the middle of a layer."""
    eventually(lambda: arena.on("sh", "-c", f"find {PULLS} -name 'GetImageBlob*' -size +100k"), within=40, every=0.1)


@contextlib.contextmanager
def dead_registry(arena: Arena) -> Iterator[None]:
    """Kill the registry. What waits for its answers learns that it is gone; new connections are refused."""
    name = arena.checkout.container(arena.env).removesuffix("app1") + "registry"
    engine.docker("kill", name)
    try:
        yield
    finally:
        engine.docker("start", name)


@contextlib.contextmanager
def full_disk(arena: Arena, folder: str) -> Iterator[None]:
    """Put a volume without a free byte in the place of a folder; what was in it is there too."""
    volume = "/run/full"
    size = int(arena.on("du", "--summarize", "--block-size=1K", folder).split()[0]) + 64
    arena.on(
        "sh", "-c", f"mkdir {volume} && mount -t tmpfs -o size={size}k tmpfs {volume} && cp -a {folder}/. {volume}"
    )
    arena.on("sh", "-c", f"chown --reference={folder} {volume}; chmod --reference={folder} {volume}")
    arena.on("sh", "-c", f"cat /dev/zero > {volume}/ballast; mount --bind {volume} {folder}", check=False)
    try:
        yield
    finally:
        arena.on("sh", "-c", f"umount --lazy {folder}; umount --lazy {volume}; rmdir {volume}")


def restart_engine(arena: Arena) -> None:
    """Restart the Docker daemon."""
    arena.on("systemctl", "restart", "docker")


def kill_router(arena: Arena) -> None:
    """Kill all of HAProxy with SIGKILL. The engine starts it again."""
    arena.on("sh", "-c", "kill -KILL $(docker inspect --format '{{.State.Pid}}' slipway-proxy)")


def restart_database(arena: Arena) -> None:
    """Restart Postgres, as an administrator does."""
    arena.on("docker", "restart", "probe-accessories-database-1")


def reboot(arena: Arena) -> None:
    """Reboot the host, now."""
    arena.on("systemctl", "reboot", check=False)
