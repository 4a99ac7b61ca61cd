"""Bring a lab up, and take it down. `up` may be called at any time: it makes what is missing, and no more."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from slipway import process, report
from slipway.errors import SlipwayError
from slipway.lab import containers, engine, frozen, hosts, images, machine, names, owner, places, planned, stock
from slipway.lab import state as states
from slipway.lab.containers import Found, PortTakenError
from slipway.lab.state import LabHost, LabState
from slipway.settings.keeping import LAB_FOLDER


def up(
    name: str,
    hosts: int = 1,
    kind: Literal["bare", "provisioned"] = "bare",
    ports: tuple[int, ...] = (80,),
    mounts: Iterable[str | Path] = (),
    *,
    disk_mb: int = 0,
    owner_pid: int | None = None,
    settings: Callable[[], str] = str,
) -> LabState:
    """Make sure that lab `name` is up, and return it: hosts that accept `admin` by SSH, and a registry.

    What runs is left alone; stopped hosts are brought back with their contents; missing parts are made.

    Args:
        name: the lab; each checkout has its own of that name.
        hosts: how many hosts; surplus ones are removed.
        kind: what new hosts start from: "bare", or a frozen copy of a "provisioned" one (bare, if none is frozen:
            see the host's `kind`).
        ports: ports of each host that are published on free ports of 127.0.0.1.
        mounts: folders of this machine to mount in each host at the same path.
        disk_mb: size of a new host's disk for images and volumes (default: no limit), to run full in a test.
        owner_pid: process that the lab shall not outlive, even if that is killed (default: it stays until `down`).
        settings: asked, where a host is to be made, for the digest of what it will be provisioned with: one that was frozen
            like that is taken before others.

    Raises:
        SlipwayError: an image can neither be pulled nor built, or a container or host does not come up.
        BadInput: `name` is no name for a lab.
    """
    whose = owner.of_process(owner_pid) if owner_pid else ""
    found = _sweep(name)
    with places.lock(f"lab-{names.lab_id(name)}"):
        have = _kept(name, whose)
        wanted = planned.plan(
            have,
            name,
            hosts=hosts,
            # It is about hosts that are not there yet.
            kind=kind if kind == "bare" or (have and len(have.hosts) >= hosts) or frozen.lookup() else "bare",
            ports=ports,
            mounts=tuple(str(Path(mount).resolve()) for mount in mounts),
            disk_mb=disk_mb,
            owner=whose,
        )
        if wanted == have and _all_run(wanted, found):
            return wanted
        with report.step(f"Start the lab {name}") as step:
            wanted = _converge(wanted, settings)
            step.done(_words(wanted))
        return wanted


def _kept(name: str, whose: str) -> LabState | None:
    """Return the lab as it was last brought up; None, with nothing left of it, where its owner is gone or there is none.

    Raises SlipwayError where it is another's than `whose` (an owner; "": nobody asks).
    """
    have = states.load(name)
    if have is None or not owner.lives(have.owner):
        containers.remove_lab(name)
        shutil.rmtree(states.folder(name), ignore_errors=True)
        return None
    if whose and have.owner != whose:
        raise SlipwayError(
            f"the lab {name} is somebody else's",
            seen=f"it belongs to process {have.owner}" if have.owner else "it stays until it is taken down",
            todo=f"choose another name, or type: inv lab.down --env {name}",
        )
    return have


def down(name: str, *, data: bool = False) -> bool:
    """Remove lab `name` with all its parts, also what only its labels tell. Nothing there: nothing is done.

    Args:
        name: the lab.
        data: remove its backups, too; a lab of that name has them otherwise when it is brought up again.

    Returns:
        Whether it had backups: with `data` they are gone now, too.

    Raises:
        SlipwayError: something could not be removed.
    """
    with places.lock(f"lab-{names.lab_id(name)}", remove=True):
        containers.remove_lab(name)
        shutil.rmtree(states.folder(name), ignore_errors=True)
        backups = containers.has_backups(name)
        if data:
            containers.remove_backups(name)
        return backups


def state(name: str) -> LabState | None:
    """Return lab `name` as it was last brought up, or None. It may have been stopped since."""
    return states.load(name)


def _sweep(name: str) -> dict[str, Found]:
    """Remove the other labs whose owners are gone; return all lab containers of this checkout."""
    found = containers.of_checkout()
    stale = {one.lab.partition("-")[2] for one in found.values() if not owner.lives(one.owner)}
    for path in (places.home() / "lab").glob("*/lab.json"):
        other = states.load(path.parent.name)
        if other and not owner.lives(other.owner):
            stale.add(other.name)
    for lab in stale - {name}:
        down(lab, data=True)
    return containers.of_checkout() if stale - {name} else found


def _all_run(wanted: LabState, found: dict[str, Found]) -> bool:
    boxes = {host.container: _spec(wanted, host) for host in wanted.hosts}
    boxes[names.part(wanted.name, "registry")] = _spec(wanted, None)
    file = Path(wanted.known_hosts)
    known = file.read_text() if file.exists() else ""
    mine = [one for one in found.values() if one.name in boxes and wanted.network in one.networks]
    running = {one.name: one.spec for one in mine if one.state == "running"}
    return running == boxes and all(host.address in known for host in wanted.hosts)


def _converge(wanted: LabState, settings: Callable[[], str]) -> LabState:
    """Make every part of the lab that is missing or stopped; return the lab with the ports it got in the end."""
    machine.need("ssh", "openssh-client")
    images.ensure_all([images.HOST, stock.REGISTRY])
    key = _keys(wanted)
    states.save(wanted)
    if wanted.owner:
        owner.keep(wanted.name)
    found = {one.name: one for one in containers.of_checkout().values() if one.lab == names.lab_id(wanted.name)}
    wanted = _network(wanted)
    expected = {names.part(wanted.name, "registry"), *(host.container for host in wanted.hosts)}
    for surplus in set(found) - expected:
        engine.docker("rm", "--force", "--volumes", surplus)
        engine.docker("volume", "rm", "--force", f"{surplus}-docker", check=False)
    wanted = _registry(wanted, found)
    with ThreadPoolExecutor(max_workers=4) as pool:
        made = list(pool.map(lambda host: _host(wanted, host, key, found, settings), wanted.hosts))
        wanted = replace(wanted, hosts=tuple(made))
        states.save(wanted)
        keys = list(pool.map(hosts.await_boot, wanted.hosts))
        pairs = zip(wanted.hosts, keys, strict=True)
        lines = [f"{host.address},[{host.address}]:{host.port} {line}" for host, own in pairs for line in own]
        places.write(Path(wanted.known_hosts), "\n".join(lines) + "\n")
        list(pool.map(lambda host: hosts.await_login(wanted, host), wanted.hosts))
    return wanted


def _keys(wanted: LabState) -> str:
    """Return the public half of the lab's key; make the pair at first use."""
    key = Path(wanted.key_file)
    if not key.exists():
        places.private(key.parent)
        process.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "slipway-lab", "-f", key])
    return key.with_suffix(".pub").read_text().strip()


def _network(wanted: LabState) -> LabState:
    """Make sure that the lab's network is there; return the lab, moved where another network took its subnet meanwhile."""
    if engine.docker("network", "inspect", wanted.network, check=False).code == 0:
        return wanted
    labels = names.labels(wanted.name, wanted.owner)
    try:
        engine.docker("network", "create", "--driver", "bridge", "--subnet", wanted.subnet, *labels, wanted.network)
    except SlipwayError as error:
        elsewhere = planned.moved(wanted)
        if "overlap" not in error.seen or elsewhere.subnet == wanted.subnet:
            raise
        states.save(elsewhere)
        return _network(elsewhere)
    return wanted


def _registry(wanted: LabState, found: dict[str, Found]) -> LabState:
    name, port = names.part(wanted.name, "registry"), wanted.registry.push.rpartition(":")[2]
    have = found.get(name)
    if have and _as_wanted(have, wanted, None) and containers.revive(have):
        return wanted
    if have:
        engine.docker("rm", "--force", name)
    image = stock.ensure(make=any(host.kind == "provisioned" for host in wanted.hosts))
    labels = names.labels(wanted.name, wanted.owner)
    engine.docker("volume", "create", *labels, f"{name}-data")  # what the image has there is copied into it
    address = str(ip_network(wanted.subnet)[2])
    options = [
        *("--network", wanted.network, "--ip", address, "--network-alias", "registry.lab"),
        *("--publish", f"127.0.0.1:{port}:5000", "--env", "REGISTRY_STORAGE_DELETE_ENABLED=true"),
        *("--volume", f"{name}-data:/var/lib/registry", *labels, "--label", f"slipway.spec={_spec(wanted, None)}"),
    ]
    try:
        containers.run(name, image, options)
    except PortTakenError:
        from slipway.lab import free

        push = f"127.0.0.1:{free.port(int(port) + 1)}"
        return _registry(replace(wanted, registry=replace(wanted.registry, push=push)), {})
    return wanted


def _host(wanted: LabState, host: LabHost, key: str, found: dict[str, Found], settings: Callable[[], str]) -> LabHost:
    """Make sure that one host runs; return it with the ports it got."""
    have = found.get(host.container)
    image = images.HOST
    if not have and host.kind == "provisioned":
        image = frozen.lookup(settings()) or image
    if have:
        if _as_wanted(have, wanted, host) and containers.revive(have):
            return host
        image = containers.keep_contents(host.container, wanted.name)
    labels = names.labels(wanted.name, wanted.owner)
    size = ("--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", f"o=size={host.disk_mb}m") if host.disk_mb else ()
    engine.docker("volume", "create", *labels, *size, f"{host.container}-docker")
    engine.docker("volume", "create", *names.backup_labels(wanted.name, wanted.owner), names.backups(wanted.name))
    while True:
        options = [
            *("--network", wanted.network, "--ip", host.address, "--network-alias", host.name),
            *("--volume", f"{host.container}-docker:/var/lib/docker", *labels),
            *("--volume", f"{names.backups(wanted.name)}:{LAB_FOLDER}"),
            *("--label", f"slipway.spec={_spec(wanted, host)}", *hosts.options(host, key)),
        ]
        try:
            containers.run(host.container, image, options)
        except PortTakenError:
            others = {port for one in wanted.hosts if one.name != host.name for port in one.published.values()}
            host = planned.other_port(host, others)
            continue
        return host


def _as_wanted(have: Found, wanted: LabState, host: LabHost | None) -> bool:
    """Tell whether a container is what it would be made as now, running or not."""
    return have.spec == _spec(wanted, host) and wanted.network in have.networks


def _spec(wanted: LabState, host: LabHost | None) -> str:
    """Return the hash of what a container (the registry's, for None) is run with; the engine cannot change it later."""
    facts = (wanted.network, wanted.subnet, wanted.owner)
    own = (
        (wanted.registry.push,)
        if host is None
        else (host.address, sorted(host.published.items()), host.mounts, LAB_FOLDER)
    )
    return hashlib.sha256(repr((facts, own)).encode()).hexdigest()[:12]


def _words(lab: LabState) -> str:
    hosts_ = ", ".join(f"{host.name} {host.address}" for host in lab.hosts)
    return f"{hosts_}; registry {lab.registry.push}"


__all__ = ["LabHost", "LabState", "SlipwayError", "down", "state", "up"]
