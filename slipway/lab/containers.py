"""The containers a lab is made of: list, run, revive, move, remove. Whatever carries the lab's label is the lab's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slipway.errors import SlipwayError
from slipway.lab import engine, names, places

PORT_TAKEN = ("port is already allocated", "address already in use", "ports are not available")
"""What an engine says when somebody else listens on a port that a container publishes."""


class PortTakenError(SlipwayError):
    """Somebody took a port between looking and publishing."""


@dataclass(frozen=True)
class Found:
    """A container as the engine has it."""

    name: str
    state: str
    """created, running, paused, restarting, exited or dead."""
    lab: str
    owner: str
    spec: str
    """Hash of what it was made from; another wish needs another container."""
    networks: tuple[str, ...]
    """Those it is on (the engine starts a container without a network that was removed meanwhile)."""


def of_checkout() -> dict[str, Found]:
    """Return all lab containers of this checkout by name: one call."""
    labels = (f'{{{{.Label "{label}"}}}}' for label in (names.LAB, names.OWNER, "slipway.spec"))
    fields = ("{{.Names}}", "{{.State}}", *labels, "{{.Networks}}")
    mine = f"label={names.CHECKOUT}={places.CHECKOUT}"
    done = engine.docker("ps", "--all", "--filter", mine, "--format", "\t".join(fields))
    found = {}
    for line in done.out.splitlines():
        name, state, lab, owner, spec, networks = line.split("\t")
        found[name] = Found(name, state, lab, owner, spec, tuple(networks.split(",")))
    return found


def run(name: str, image: str, options: Sequence[str]) -> None:
    """Start a container that outlives the engine's restarts, in the background.

    Raises:
        PortTakenError: a published port is used by somebody else; the container is gone again.
        SlipwayError: it did not start.
    """
    argv = ["run", "--detach", "--name", name, "--restart", "always", *options, image]
    done = engine.docker(*argv, check=False)
    if done.code == 0:
        return
    engine.docker("rm", "--force", name, check=False)
    if any(words in done.err for words in PORT_TAKEN):
        raise PortTakenError("a port is taken", where=name, seen=done.tail(3))
    raise SlipwayError("the container did not start", where=name, seen=done.tail(5), todo="inv lab.down, then again")


def revive(found: Found) -> bool:
    """Bring a stopped or paused container back as it was. Tell whether it runs."""
    if found.state in ("running", "restarting"):
        return True
    verb = "unpause" if found.state == "paused" else "start"
    return engine.docker(verb, found.name, check=False).code == 0


def keep_contents(name: str, lab: str) -> str:
    """Make an image of a container's files, remove it, and return the image: to run it with other options."""
    image = f"slipway-lab-moved:{name.removeprefix('slipway-')}"
    engine.docker("commit", "--change", f"LABEL {names.MOVED}={names.lab_id(lab)}", name, image)
    engine.docker("rm", "--force", name)
    return image


def remove_lab(lab: str) -> bool:
    """Remove everything on the engine that belongs to a lab. Tell whether there was anything.

    Raises:
        SlipwayError: something could not be removed.
    """
    mine = ("--quiet", "--filter", f"label={names.LAB}={names.lab_id(lab)}")
    moved = ("--quiet", "--filter", f"label={names.MOVED}={names.lab_id(lab)}")
    names_there = pushed(names.part(lab, "registry"))
    containers = engine.docker("ps", "--all", *mine).out.split()
    if containers:
        engine.docker("rm", "--force", "--volumes", *containers)
    volumes = engine.docker("volume", "ls", *mine).out.split()
    if volumes:
        engine.docker("volume", "rm", "--force", *volumes)
    networks = engine.docker("network", "ls", *mine).out.split()
    for network in networks:
        _detach_guests(network)
        engine.docker("network", "rm", network)
    images = list(dict.fromkeys(engine.docker("images", *moved).out.split()))
    if images:
        engine.docker("rmi", "--force", *images)
    if names_there:
        engine.docker("rmi", *names_there, check=False)
    return bool(containers or volumes or networks or images or names_there)


def has_backups(lab: str) -> bool:
    """Tell whether there is a volume with a lab's backups."""
    return engine.docker("volume", "inspect", names.backups(lab), check=False).code == 0


def remove_backups(lab: str) -> None:
    """Remove a lab's backups. Raises SlipwayError where a container still has them."""
    engine.docker("volume", "rm", "--force", names.backups(lab))


def pushed(registry: str) -> list[str]:
    """Return the names that images have on this engine because they were pushed to the registry in a container."""
    binding = '{{range index .HostConfig.PortBindings "5000/tcp"}}{{.HostPort}}{{end}}'
    port = engine.docker("inspect", "--format", binding, registry, check=False).out.strip()
    if not port:
        return []
    listed = engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}").out.split()
    return [image for image in listed if image.startswith(f"127.0.0.1:{port}/") and not image.endswith(":<none>")]


def _detach_guests(network: str) -> None:
    """Disconnect containers that are not the lab's: a network with anybody on it cannot be removed."""
    guests = engine.docker("network", "inspect", "--format", "{{range $id, $_ := .Containers}}{{$id}} {{end}}", network)
    for guest in guests.out.split():
        engine.docker("network", "disconnect", "--force", network, guest, check=False)
