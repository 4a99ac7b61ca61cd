"""What suits a service's role. Nothing that a stack file says may be without effect: what would be is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

from slipway.settings import composekeys
from slipway.settings.problems import Path, nearest
from slipway.settings.xslipway import ServiceExtras

Role = Literal["app", "accessory", "job"]
Refuse = Callable[[Path, str], None]
"""Notes that the value at a path is wrong."""

_CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")


def role_of(raw: Any) -> Role:
    """Return the role of a service with this Compose section, as far as it can be told where the section is wrong."""
    if not isinstance(raw, dict):
        return "app"
    said = _extras(raw).get("role")
    if said in ("app", "accessory", "job"):
        return cast(Role, said)
    return "app" if "build" in raw else "accessory"


def has_route(raw: Any) -> bool:
    """Return whether a service with this Compose section has a route, as far as it can be told."""
    return not isinstance(raw, dict) or (role_of(raw) == "app" and _extras(raw).get("route") is not None)


def _extras(raw: Any) -> dict[str, Any]:
    extras = raw.get("x-slipway") if isinstance(raw, dict) else None
    return extras if isinstance(extras, dict) else {}


def check(refuse: Refuse, at: Path, raw: dict[str, Any], extras: ServiceExtras | None) -> None:
    """Refuse what does not suit the role of the service at `at`: keys of Compose, then those of `x-slipway`."""
    role = role_of(raw)
    if role == "accessory":
        _accessory(refuse, at, raw)
    elif "ports" in raw:
        refuse((*at, "ports"), "the router is the way in: give the service a route under x-slipway")
    if role == "job":
        for key in ("restart", "healthcheck", "stop_grace_period", "stop_signal"):
            if key in raw:
                refuse((*at, key), "has no effect: a job runs once, to its end, and its exit code counts")
    if not isinstance(raw.get("extra_hosts", []), (list, dict)):
        refuse((*at, "extra_hosts"), "should be a list of name:address, or a mapping")
    if extras is not None:
        _check_extras(refuse, (*at, "x-slipway"), role, extras)


def _accessory(refuse: Refuse, at: Path, raw: dict[str, Any]) -> None:
    if "build" in raw:
        refuse((*at, "build"), "an accessory runs a published image: give it one, or make it an app or a job")
    if not isinstance(raw.get("ports", []), list):
        refuse((*at, "ports"), "should be a list")
    expose = raw.get("expose", [])
    if not isinstance(expose, list):
        refuse((*at, "expose"), "should be a list")
        return
    for index, port in enumerate(expose):
        if not (str(port).isascii() and str(port).isdigit() and 1 <= int(str(port)[:6]) <= 65535):
            refuse((*at, "expose", index), "should be a port, 1 to 65535: the environment's other hosts may reach it")


def _check_extras(refuse: Refuse, path: Path, role: Role, extras: ServiceExtras) -> None:
    said = extras.model_fields_set
    if role != "app" and extras.route:
        refuse((*path, "route"), "only an app service has a route")
    if extras.health and not extras.route:
        refuse((*path, "health"), "needs a route: its port is where health answers (else use `healthcheck`)")
    if "drain" in said and not extras.route:
        refuse((*path, "drain"), "needs a route (without one `stop_grace_period` says how long work may go on)")
    if "phase" in said and role == "accessory":
        refuse((*path, "phase"), "has no effect: an accessory is not part of a release")


def check_deploy(refuse: Refuse, path: Path, role: Role, deploy: dict[str, Any]) -> None:
    """Refuse keys of `deploy:` that Compose leaves to Swarm, and those that a job has no use for."""
    for key in deploy:
        if key in composekeys.DEPLOY_SWARM:
            refuse((*path, key), "has no effect: Compose leaves it to Swarm")
        elif key not in composekeys.DEPLOY:
            refuse((*path, key), f"unknown key{nearest(key, composekeys.DEPLOY)}")
    if role == "job" and "restart_policy" in deploy:
        refuse((*path, "restart_policy"), "has no effect: a job runs once")
    resources = deploy.get("resources")
    if resources is None:
        return
    if not isinstance(resources, dict):
        refuse((*path, "resources"), "should be a mapping")
        return
    for kind, values in resources.items():
        if kind not in composekeys.RESOURCES:
            refuse((*path, "resources", kind), f"unknown key{nearest(kind, composekeys.RESOURCES)}")
            continue
        known = composekeys.RESOURCES[kind]
        for key in values if isinstance(values, dict) else ():
            if key not in known:
                words = f"has no effect: Compose takes {' and '.join(sorted(known))} here"
                refuse((*path, "resources", kind, key), words)


def dependencies(refuse: Refuse, at: Path, services: dict[str, Any]) -> Any:
    """Return `depends_on` of the service at `at`, without what stands in another project by the time it starts.

    Refuse what would not be waited for: a release starts by phases, and Compose is not asked for any order.
    """
    name, path = str(at[-1]), (*at, "depends_on")
    raw = services[name]["depends_on"]
    if not isinstance(raw, (list, dict)) or not all(isinstance(n, str) for n in raw):
        refuse(path, "should be a list or a mapping of services")
        return None
    role = role_of(services[name])
    for index, other in enumerate(raw):
        where = (*path, other if isinstance(raw, dict) else index)
        if other not in services:
            refuse(where, f"the stack has no service {other[:60]}{nearest(other, services)}")
        elif words := _in_vain(name, other, services):
            refuse(where, words)
        elif isinstance(raw, dict) and role != "accessory":
            _condition(refuse, where, raw[other], role_of(services[other]))
    kept = [n for n in raw if role != "job" and role_of(services.get(n)) == role]
    return kept if isinstance(raw, list) else {n: raw[n] for n in kept}


def _in_vain(name: str, other: str, services: dict[str, Any]) -> str:
    """Return why the service `name` cannot wait for the service `other`; "" where it can."""
    me, it = role_of(services[name]), role_of(services[other])
    if me == "accessory":
        return "" if it == me else f"{other} is replaced by each release: an accessory cannot wait for it"
    if it == "accessory" or (me, it) == ("app", "job"):
        return ""  # they were started, or have ended, before
    if me == "job":
        if it == "app":
            return f"jobs run before {other} starts"
        order = list(services)
        first = (_phase(services[other]), order.index(other)) < (_phase(services[name]), order.index(name))
        return "" if first else f"{other} runs later: jobs run by phase, then in the order of the file"
    mine, its = services[name], services[other]
    # Within a phase, what takes no requests starts once the rest has passed the gate.
    after = _phase(its) == _phase(mine) and has_route(its) and not has_route(mine)
    if _phase(its) < _phase(mine) or after:
        return ""
    return f"{other} does not start before it: give {name} a higher phase under x-slipway"


def _phase(section: Any) -> int:
    phase = _extras(section).get("phase", 1)
    return phase if isinstance(phase, int) else 1


def _condition(refuse: Refuse, where: Path, said: Any, role: Role) -> None:
    if not isinstance(said, dict):
        refuse(where, "should be a mapping with a condition")
        return
    for key in said:
        if key != "condition":
            refuse((*where, key), "has no effect: a release starts whole")
    condition = said.get("condition", "service_started")
    if condition not in _CONDITIONS:
        refuse(
            (*where, "condition"), f"should be one of {', '.join(_CONDITIONS)}{nearest(str(condition), _CONDITIONS)}"
        )
    elif condition == "service_completed_successfully" and role != "job":
        refuse((*where, "condition"), "is for jobs: this service does not end")
