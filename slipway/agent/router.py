"""What the router does: shares are set and read at its own sockets, never inferred from tags or from files of ours.

`proxy/stacks/<stack>.json` holds what each stack wants of it; it only serves to make the next haproxy.cfg.
"""

from __future__ import annotations

import contextlib
import csv
import re
import time
from collections.abc import Iterator
from typing import Any

from . import balancer, engine, haproxy
from .failure import OperationFailed
from .state import flock, read_json, write, write_json

Row = dict[str, Any]


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the lock of the router: it is one for all stacks of this host, and their runs may coincide."""
    balancer.PROXY.mkdir(parents=True, exist_ok=True)
    with (balancer.PROXY / "lock").open("a") as file:
        if not flock(file.fileno(), 60):
            raise OperationFailed("another stack's run has held the router of this host for a minute")
        yield


def servers(worker: str = "") -> list[Row]:
    """Return the servers as HAProxy sees them now: stack, service, release, name, weight, status, open requests (`scur`).

    Args:
        worker: pid of an old worker, which still ends its requests after a reload (default: the current one).
    """
    answer = balancer.ask(f"@!{worker} show stat", "master.sock") if worker else balancer.ask("show stat -1 4 -1")
    return [
        {
            **_names(r["pxname"], r["svname"]),
            "weight": int(r["weight"] or 0),
            "status": r["status"],
            "up": r["status"].startswith("UP") or r["status"] == "no check",
            "open": int(r["scur"] or 0),
        }
        for r in csv.DictReader(answer.lstrip("# ").splitlines())
        if r["pxname"] and r["svname"] not in ("FRONTEND", "BACKEND")
    ]


def _names(backend: str, server: str) -> Row:
    stack, service = haproxy.names_of_backend(backend)
    return {"stack": stack, "service": service, "release": haproxy.release_of_server(server), "name": server}


def configured() -> list[Row]:
    """Return the servers that the router's file has, and that a router which is started now would load, as up."""
    path = balancer.CONF / "haproxy.cfg"
    rows, backend = [], ""
    for line in path.read_text().splitlines() if path.exists() else []:
        words = line.split()
        if words[:1] == ["backend"]:
            backend = words[1]
        elif words[:1] == ["server"]:
            weight = int(words[words.index("weight") + 1])
            rows.append({**_names(backend, words[1]), "weight": weight, "status": "", "up": True, "open": 0})
    return rows


def sending() -> list[Row]:
    """Return the servers as they are, or, where no router runs, as they will be once it does."""
    try:
        return servers()
    except OperationFailed:
        return configured()


def shares(stack: str) -> dict[str, dict[str, float]]:
    """Return per service the share of new requests that each release gets now, in percent, from the running router.

    Raises:
        OperationFailed: the router does not answer.
    """
    return shares_of([r for r in servers() if r["stack"] == stack])


def shares_of(rows: list[Row]) -> dict[str, dict[str, float]]:
    """Return what servers make of a service's requests: percent by service and release; 0 for all where none is up."""
    result: dict[str, dict[str, float]] = {}
    for service in sorted({r["service"] for r in rows}):
        of = [r for r in rows if r["service"] == service]
        total = sum(r["weight"] for r in of if r["up"])
        result[service] = {
            release: round(100 * sum(r["weight"] for r in of if r["up"] and r["release"] == release) / total, 1)
            if total
            else 0.0
            for release in sorted({r["release"] for r in of})
        }
    return result


def weights_of(rows: list[Row]) -> dict[str, dict[str, int]]:
    """Return per service the weight of each release that has any: who would get requests if all servers were up."""
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        if row["weight"]:
            of = found.setdefault(row["service"], {})
            of[row["release"]] = of.get(row["release"], 0) + row["weight"]
    return found


def sends_to(stack: str) -> set[str]:
    """Return the releases of a stack that get new requests, or would if their servers were up."""
    return {r["release"] for r in sending() if r["stack"] == stack and r["weight"]}


def open_requests(stack: str, release: str) -> int:
    """Return how many requests a release still answers, over the current and the old workers.

    An old worker that would still send requests of idle keep-alive clients to the release counts as one.
    """

    def mine(rows: list[Row]) -> list[Row]:
        return [r for r in rows if r["stack"] == stack and r["release"] == release]

    total: int = sum(r["open"] for r in mine(servers()))
    for worker in _old_workers():
        rows = mine(servers(worker))
        total += sum(r["open"] for r in rows)
        if any(r["weight"] for r in rows) and _frontend_connections(worker):
            total += 1
    return total


def retire(stack: str, release: str) -> None:
    """Have the router forget the servers of a release that is about to stop; one that gets requests is left alone.

    They leave its file, so that one that starts looks up no names that nobody has: that can take seconds each. In the running
    worker they stay, unchecked: Docker's DNS does not say that a container is gone, and checks would go on at its address, which
    the next release's container may get. The kernel, asking for it in vain by then, would hold up that one's first requests.
    """
    with alone():
        plan, rows = wanted(stack), [r for r in sending() if r["stack"] == stack and r["release"] == release]
        if any(row["weight"] for row in rows):
            return
        if plan and any(r["id"] == release for r in plan["releases"]):
            left = [r for r in plan["releases"] if r["id"] != release]
            write_json(balancer.PROXY / "stacks" / f"{stack}.json", {**plan, "releases": left})
            write_config(all_wanted())
        watched = [row for row in rows if not row["status"].startswith("MAINT")]
        for row in watched if balancer.answers() else []:
            balancer.ask(f"set server {haproxy.backend_name(stack, row['service'])}/{row['name']} state maint")


def _old_workers() -> list[str]:
    answer = balancer.ask("show proc", "master.sock")
    return re.findall(r"^(\d+)\s+worker", answer.partition("# old workers")[2], re.M)


def _frontend_connections(worker: str) -> int:
    rows = csv.DictReader(balancer.ask(f"@!{worker} show stat -1 1 -1", "master.sock").lstrip("# ").splitlines())
    return sum(int(r["scur"] or 0) for r in rows if r.get("svname") == "FRONTEND")


def wanted(stack: str) -> dict[str, Any] | None:
    """Return what a stack wanted of the router last (see `haproxy.render`), None where it never wanted anything."""
    value = read_json(balancer.PROXY / "stacks" / f"{stack}.json")
    return value if isinstance(value, dict) else None


def all_wanted() -> list[dict[str, Any]]:
    """Return what every stack wants, with the weights that its servers really have.

    A run that was killed may have written what it never got to tell the router: no other stack's run may do that for it.
    """
    stacks = [v for p in sorted((balancer.PROXY / "stacks").glob("*.json")) if (v := read_json(p))]
    return [_as_it_is(stack, [r for r in sending() if r["stack"] == stack["stack"]]) for stack in stacks]


def _as_it_is(plan: dict[str, Any], rows: list[Row]) -> dict[str, Any]:
    real = {(r["release"], r["service"]): r["weight"] for r in rows}
    if not any(real.values()):
        return plan
    releases = [
        {**release, "weights": {s: real.get((release["id"], s), 0) for s in release["weights"]}}
        for release in plan["releases"]
    ]
    return {**plan, "releases": releases}


def write_config(stacks: list[dict[str, Any]]) -> None:
    """Write haproxy.cfg for these stacks."""
    # The official image reads it as user 99: readable for all, inside a folder that only the deploy user enters.
    balancer.CONF.mkdir(parents=True, exist_ok=True)
    balancer.CONF.chmod(0o755)
    write(balancer.CONF / "haproxy.cfg", haproxy.render(stacks), 0o644)


def apply(plan: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Make the router do what `plan` (see `haproxy.render`) says of a stack. Return the shares it then gives.

    Where only weights change they are set at the runtime socket: at once, for open connections too. New servers need a reload,
    which is loss-free: the old worker ends what it has begun. The files are written first, so a router that is restarted in
    between comes up with the new shares; they are taken back where HAProxy refuses.

    Raises:
        OperationFailed: HAProxy refuses the configuration (the old one stays), or does not answer.
    """
    with alone():
        path = balancer.PROXY / "stacks" / f"{plan['stack']}.json"
        before, others = wanted(plan["stack"]), [s for s in all_wanted() if s["stack"] != plan["stack"]]
        write_json(path, plan)
        write_config([*others, plan])
        try:
            if before is None or _shape(before) != _shape(plan) or not _knows(plan) or _older_than_its_servers(plan):
                balancer.reload("HAProxy refused the new configuration; the old one goes on")
        except OperationFailed:
            if before is None:
                path.unlink()
            else:
                write_json(path, before)
            write_config(all_wanted())
            raise
        _set_weights(plan)
        return shares(plan["stack"])


def _set_weights(plan: dict[str, Any]) -> None:
    # What takes requests first: a backend whose servers all have weight 0, for however short a time, answers 503.
    for (service, server), weight in sorted(_weights(plan).items(), key=lambda w: -w[1]):
        balancer.ask(f"set weight {haproxy.backend_name(plan['stack'], service)}/{server} {weight}")


def _weights(plan: dict[str, Any]) -> dict[tuple[str, str], int]:
    """Return the weight that a plan gives each server, by service and server name."""
    return {
        (service, haproxy.server_name(release["id"], number)): weight
        for release in plan["releases"]
        for service, weight in release["weights"].items()
        for number in range(1, len(release["servers"].get(service, [])) + 1)
    }


def _shape(plan: dict[str, Any]) -> Any:
    """Return a plan without its weights: what needs a reload where it changes."""
    releases = [{k: v for k, v in r.items() if k != "weights"} for r in plan["releases"]]
    return {**plan, "releases": releases}


def _knows(plan: dict[str, Any]) -> bool:
    """Tell whether the running worker knows every server of the plan, and those that are to take requests as up.

    A killed deployer may have written the file only; and a server that was down is looked up and checked anew by a new worker
    at its start, while the old one would need seconds to notice that it is there.
    """
    up = {(r["service"], r["name"]): r["up"] for r in servers() if r["stack"] == plan["stack"]}
    return all(server in up and (up[server] or not weight) for server, weight in _weights(plan).items())


def _older_than_its_servers(plan: dict[str, Any]) -> bool:
    """Tell whether a container that is to take requests was started after the running worker looked its address up.

    It may have another one now; the worker would send requests to nobody until its checks and Docker's DNS tell.
    """
    uptime = re.search(r"^Uptime_sec: (\d+)$", balancer.ask("show info"), re.M)
    worker = time.time() - float(uptime[1]) - 1 if uptime else 0.0  # whole seconds, rounded down
    serving = {
        name
        for release in plan["releases"]
        for service, names in release["servers"].items()
        if release["weights"].get(service)
        for name in names
    }
    found = engine.containers(slipway_stack=plan["stack"])
    started = [engine.moment(c["State"]["StartedAt"]) for c in found if c["Name"].lstrip("/") in serving]
    return any(at > worker for at in started)
