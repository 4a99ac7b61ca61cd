"""The router of this host: one HAProxy for all stacks. Shares are set and read at its own sockets, never inferred."""

from __future__ import annotations

import csv
import re
import socket
import time
from pathlib import Path
from typing import Any

from . import engine, haproxy
from .failure import OperationFailed
from .state import HOME, read_json, write, write_json

CONTAINER = "slipway-proxy"
PROXY = HOME / "proxy"
_CONF = PROXY / "conf"
_RUN = PROXY / "run"


def network(stack: str) -> str:
    """Return the name of the network that a stack's releases, its accessories and the router share."""
    return f"slipway-{stack}"


def wanted(stack: str) -> dict[str, Any] | None:
    """Return what the router's file says of a stack (see `haproxy.render`), None where it does not know it."""
    value = read_json(PROXY / "stacks" / f"{stack}.json")
    return value if isinstance(value, dict) else None


def _all_wanted() -> list[dict[str, Any]]:
    return [v for p in sorted((PROXY / "stacks").glob("*.json")) if (v := read_json(p))]


def ask(command: str, name: str = "admin.sock", timeout: float = 5) -> str:
    """Send one command to one of HAProxy's sockets and return its answer. Raise OperationFailed where it does not answer."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.settimeout(timeout)
            s.connect(str(_RUN / name))
            s.sendall(command.encode() + b"\n")
            s.shutdown(socket.SHUT_WR)  # the master's socket waits for further commands otherwise
            parts = []
            while part := s.recv(65536):
                parts.append(part)
        return b"".join(parts).decode()
    except OSError as error:
        raise OperationFailed("the router does not answer", f"{_RUN / name}: {error}") from error


def servers(worker: str = "") -> list[dict[str, Any]]:
    """Return the servers as HAProxy sees them now: backend, name, weight, status, open requests (`scur`).

    Args:
        worker: pid of an old worker, which still ends its requests after a reload (default: the current one).
    """
    answer = ask(f"@!{worker} show stat", "master.sock") if worker else ask("show stat -1 4 -1")
    rows = csv.DictReader(answer.lstrip("# ").splitlines())
    return [
        {
            "backend": r["pxname"],
            "name": r["svname"],
            "weight": int(r["weight"] or 0),
            "status": r["status"],
            "up": r["status"].startswith("UP") or r["status"] == "no check",
            "open": int(r["scur"] or 0),
        }
        for r in rows
        if r["pxname"] and r["svname"] not in ("FRONTEND", "BACKEND")
    ]


def _old_workers() -> list[str]:
    answer = ask("show proc", "master.sock")
    return re.findall(r"^(\d+)\s+worker", answer.partition("# old workers")[2], re.M)


def _is_of(row: dict[str, Any], stack: dict[str, Any], release: str) -> bool:
    return any(
        row["backend"] == haproxy.backend_name(stack["stack"], route["service"])
        and row["name"].startswith(f"{release}-{route['service']}-")
        for route in stack["routes"]
    )


def shares(stack: str) -> dict[str, dict[str, float]]:
    """Return per service the share of new requests that each release gets now, in percent, from the running router.

    Raises:
        OperationFailed: the router does not answer.
    """
    plan = wanted(stack)
    if plan is None:
        return {}
    now = servers()
    result: dict[str, dict[str, float]] = {}
    for route in plan["routes"]:
        rows = [r for r in now if r["backend"] == haproxy.backend_name(stack, route["service"])]
        total = sum(r["weight"] for r in rows if r["up"])
        result[route["service"]] = {
            release["id"]: round(
                100 * sum(r["weight"] for r in rows if r["up"] and _is_of(r, plan, release["id"])) / total, 1
            )
            if total
            else 0.0
            for release in plan["releases"]
        }
    return result


def open_requests(stack: str, release: str) -> int:
    """Return how many requests a release still answers, over the current and the old workers.

    An old worker that would still send requests of idle keep-alive clients to the release counts as one.
    """
    plan = wanted(stack)
    if plan is None:
        return 0
    total: int = sum(r["open"] for r in servers() if _is_of(r, plan, release))
    for worker in _old_workers():
        rows = [r for r in servers(worker) if _is_of(r, plan, release)]
        total += sum(r["open"] for r in rows)
        if any(r["weight"] for r in rows) and _frontend_connections(worker):
            total += 1
    return total


def _frontend_connections(worker: str) -> int:
    rows = csv.DictReader(ask(f"@!{worker} show stat -1 1 -1", "master.sock").lstrip("# ").splitlines())
    return sum(int(r["scur"] or 0) for r in rows if r.get("svname") == "FRONTEND")


def published(container: dict[str, Any] | None) -> set[int]:
    """Return the ports that the router's container (an inspection, None: there is none) publishes."""
    return {int(p.split("/")[0]) for p in container["HostConfig"]["PortBindings"]} if container else set()


def _listening() -> set[int]:
    """Return the TCP ports that any program of this host listens on (proc(5): /proc/net/tcp, state 0A)."""
    rows = [row.split() for name in ("tcp", "tcp6") for row in _lines(Path("/proc/net") / name)[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A"}


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def ensure(image: str, port: int) -> bool:
    """Make sure that the router runs and publishes `port`. Return whether it had to be made (again).

    A new port needs a new container: that interrupts the other stacks on this host for a moment, and the plan says so.
    """
    found = engine.api("GET", f"/containers/{CONTAINER}/json")
    needed = {port} | {s["port"] for s in _all_wanted()}
    if found and published(found) >= needed:
        if not found["State"]["Running"]:
            engine.api("POST", f"/containers/{CONTAINER}/start")
            _await()
        for stack in _all_wanted():  # a killed run may have made the router and not connected it yet
            connect(stack["stack"])
        return False
    taken = sorted(_listening() & (needed - published(found)))
    if taken:  # before the router is made again, which would close the doors that are open
        raise OperationFailed(
            f"port {', '.join(map(str, taken))} of this host is taken by another program",
            "`ss -tlnp` on the host tells which",
        )
    if found:
        engine.api("DELETE", f"/containers/{CONTAINER}", force="true")
    _write_config(_all_wanted())
    ports = [word for p in sorted(needed) for word in ("-p", f"{p}:{p}")]
    argv = [
        "docker",
        "run",
        "-d",
        "--name",
        CONTAINER,
        "--restart",
        "unless-stopped",
        "--read-only",
        "--cap-drop",
        "ALL",
    ]
    argv += ["--security-opt", "no-new-privileges", "--label", "slipway.role=router", "--pull", "never", *ports]
    argv += ["-v", f"{_CONF}:/usr/local/etc/haproxy:ro", "-v", f"{_RUN}:/run/haproxy", image]
    argv += [
        "haproxy",
        "-S",
        "/run/haproxy/master.sock,mode,666",
        "-f",
        "/usr/local/etc/haproxy/haproxy.cfg",
    ]
    code, _, err = engine.command(argv)
    if code != 0:
        raise OperationFailed("the router did not start", err)
    for stack in _all_wanted():
        connect(stack["stack"])
    _await()
    return True


def _await() -> None:
    for _ in range(100):
        try:
            ask("show info")
            return
        except OperationFailed:
            time.sleep(0.05)
    raise OperationFailed("the router did not start", engine.logs(CONTAINER))


def connect(stack: str) -> None:
    """Make sure that a stack's network exists and that the router is on it."""
    name = network(stack)
    found = engine.api("GET", f"/networks/{name}")
    if not found:
        code, _, err = engine.command(["docker", "network", "create", "--label", f"slipway.stack={stack}", name])
        if code != 0:
            raise OperationFailed(f"network {name} could not be made", err)
        found = {"Containers": {}}
    if CONTAINER not in {c["Name"] for c in found["Containers"].values()}:
        try:
            engine.api("POST", f"/networks/{name}/connect", {"Container": CONTAINER})
        except OperationFailed as error:
            if "already exists" not in error.seen:
                raise


def _write_config(stacks: list[dict[str, Any]]) -> None:
    # The official image reads it as user 99: readable for all, inside a folder that only the deploy user enters.
    _CONF.mkdir(parents=True, exist_ok=True)
    _CONF.chmod(0o755)
    write(_CONF / "haproxy.cfg", haproxy.render(stacks), 0o644)


def apply(plan: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Make the router do what `plan` (see `haproxy.render`) says of a stack. Return the shares it then gives.

    Where only weights change they are set at the runtime socket: at once, for open connections too. New servers need a reload,
    which is loss-free: the old worker ends what it has begun. The file is written first, so a router that is restarted in
    between comes up with the new shares.

    Raises:
        OperationFailed: HAProxy refuses the configuration (the old one stays), or does not answer.
    """
    path = PROXY / "stacks" / f"{plan['stack']}.json"
    before_plan, before = wanted(plan["stack"]), [s for s in _all_wanted() if s["stack"] != plan["stack"]]
    _write_config([*before, plan])
    same = before_plan is not None and _shape(before_plan) == _shape(plan)
    if not same or not _shape_of_running(plan) or _older_than_its_servers(plan):
        answer = ask("reload", "master.sock", timeout=20)
        if "Success=1" not in answer:
            _write_config([*before, *([before_plan] if before_plan else [])])
            raise OperationFailed("HAProxy refused the new configuration; the old one goes on", answer)
    write_json(path, plan)
    _set_weights(plan)
    return shares(plan["stack"])


def _set_weights(plan: dict[str, Any]) -> None:
    # What takes requests first: a backend whose servers all have weight 0, for however short a time, answers 503.
    weights = [(weight, server) for server, weight in _weights(plan).items()]
    for weight, (backend, name) in sorted(weights, key=lambda w: -w[0]):
        ask(f"set weight {backend}/{name} {weight}")


def _weights(plan: dict[str, Any]) -> dict[tuple[str, str], int]:
    """Return the weight that a plan gives each server, by backend and name."""
    return {
        (haproxy.backend_name(plan["stack"], service), haproxy.server_name(release["id"], service, number)): weight
        for release in plan["releases"]
        for service, weight in release["weights"].items()
        for number in range(1, len(release["servers"].get(service, [])) + 1)
    }


def _shape(plan: dict[str, Any]) -> Any:
    """Return a plan without its weights: what needs a reload where it changes."""
    releases = [{k: v for k, v in r.items() if k != "weights"} for r in plan["releases"]]
    return {**plan, "releases": releases}


def _shape_of_running(plan: dict[str, Any]) -> bool:
    """Tell whether the running worker knows every server of the plan, and those that are to take requests as up.

    A killed deployer may have written the file only; and a server that was down is looked up and checked anew by a new worker
    at its start, while the old one would need seconds to notice that it is there.
    """
    up = {(r["backend"], r["name"]): r["up"] for r in servers()}
    return all(server in up and (up[server] or not weight) for server, weight in _weights(plan).items())


def _older_than_its_servers(plan: dict[str, Any]) -> bool:
    """Tell whether a container that is to take requests was started after the running worker looked its address up.

    It may have another one now; the worker would send requests to nobody until its checks and Docker's DNS tell.
    """
    uptime = re.search(r"^Uptime_sec: (\d+)$", ask("show info"), re.M)
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


def sends_to(stack: str, release: str) -> bool:
    """Tell whether a release gets new requests: by the running router, or, where none runs, by what it will load."""
    try:
        return any(share.get(release) for share in shares(stack).values())
    except OperationFailed:
        releases = (wanted(stack) or {"releases": []})["releases"]
        return any(r["id"] == release and any(r["weights"].values()) for r in releases)
