"""Status of an environment at a glance: what the hosts and the router say now."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from slipway.errors import BadInput, SlipwayError
from slipway.target.compose import workplace
from slipway.target.compose.facts import HostFacts, live_release
from slipway.target.compose.workplace import Workplace

_EMPTY: dict[str, Any] = {
    "id": None,
    "version": None,
    "images": {},
    "activated_at": None,
    "by": None,
    "verified": False,
}


def status(env: str, stack: str | None) -> dict[str, Any]:
    """Return the status document of a stack in an environment.

    Returns:
        `{env, stack, healthy, release, hosts, lease, backup, url, unfinished, problems}`. `healthy`: the live release's services
        are healthy on every host, and the router answers. `traffic` is the share (percent) that the router gives now.

    Raises:
        BadInput: settings are wrong, or a host key is.
    """
    place = workplace.find(env, stack, start=False)
    if place is None:
        return _document(
            env, stack or "", {}, None, [f"the lab of {env} is not up: inv deploy --env {env} starts it"], ""
        )
    try:
        with workplace.opened(place, prepare=False) as hosts:
            facts = dict(hosts.facts)
    except BadInput:
        raise
    except SlipwayError as error:
        return _document(env, place.stack.name, {}, place, [str(error)], place.url)
    problems = [p for f in facts.values() for p in _problems(f)]
    if live_release(facts):
        problems += _front_door(place)
    return _document(env, place.stack.name, facts, place, problems, place.url)


def _problems(facts: HostFacts) -> list[str]:
    live = facts.live()
    if not facts.router["answers"]:
        return [f"{facts.host}: the router does not answer" if live else f"{facts.host}: nothing is deployed"]
    if live is None:
        return [f"{facts.host}: nothing is deployed"]
    return [] if facts.is_whole(live) else [f"{facts.host}: release {live} is not whole, or shares traffic"]


def _front_door(place: Workplace) -> list[str]:
    """Return what is wrong with the front door as seen from here: [] where it answers."""
    routed = [s for s in place.stack.of_role("app") if s.route and s.health]
    if not routed:
        return []
    health = routed[0].health
    path = health.ready if health else "/"
    parts = urlsplit(place.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=5)
    try:
        # A lab's address is this machine's: the router knows the stack by its name.
        connection.request("GET", path, headers={"Host": place.entry.domain} if place.entry.domain else {})
        answer = connection.getresponse()
        body = answer.read(500).decode(errors="replace")
        return [] if answer.status == 200 else [f"{place.url}{path} answers {answer.status}: {body}"]
    except OSError as error:
        return [f"{place.url}{path} does not answer: {error}"]
    finally:
        connection.close()


def _document(
    env: str, stack: str, facts: Mapping[str, HostFacts], place: Workplace | None, problems: list[str], url: str
) -> dict[str, Any]:
    live = live_release(facts) if facts else None
    first = next(iter(facts.values()), None)
    meta = first.releases.get(live or "", {}) if first else {}
    release = {**_EMPTY, **{k: meta.get(k) for k in _EMPTY if k in meta}} if live else None
    names = [h.name for h in place.env.hosts] if place else []
    return {
        "env": env,
        "stack": stack,
        "healthy": bool(live) and not problems,
        "release": release,
        "hosts": [_host(name, facts.get(name)) for name in names],
        "lease": first.raw["lease"] if first else None,
        "frozen": first.raw["frozen"] if first else None,
        "backup": {"last": None, "age_s": None},
        "unfinished": first.raw["unfinished"] if first else None,
        "problems": problems,
        "url": url,
    }


def _host(name: str, facts: HostFacts | None) -> dict[str, Any]:
    if facts is None:
        return {"name": name, "reachable": False, "services": []}
    shares = facts.shares() if facts.router["answers"] else {}
    services = [
        {
            "service": c["service"],
            "release": c["release"] or None,
            "state": c["state"],
            "health": c["health"],
            "image": c["image"],
            "container": c["name"],
            "traffic": shares.get(c["service"], {}).get(c["release"]),
        }
        for c in facts.raw["containers"]
    ]
    return {"name": name, "reachable": True, "services": sorted(services, key=lambda s: s["container"])}


def text(found: Mapping[str, Any]) -> str:
    """Return the status as people read it."""
    release = found["release"]
    head = f"{found['stack']} in {found['env']}: " + ("healthy" if found["healthy"] else "NOT HEALTHY")
    lines = [head]
    if release:
        lines.append(f"  release  {release['id']}, since {release['activated_at']}, by {release['by']}")
    lines.append(f"  url      {found['url']}")
    for host in found["hosts"]:
        lines.append(f"  {host['name']}" + ("" if host["reachable"] else "  cannot be reached"))
        for service in host["services"]:
            share = "" if service["traffic"] is None else f"{service['traffic']:g} %"
            words = (service["container"], service["state"], service["health"], share)
            lines.append("    " + "  ".join(words).rstrip())
    if found["lease"]:
        lines.append(f"  lease    {workplace.tell_lease(found['lease'])}")
    if found["frozen"]:
        lines.append(f"  frozen   {workplace.tell_lease(found['frozen'])}")
    if found["unfinished"]:
        run = found["unfinished"]
        lines.append(
            f"  unfinished: {run['verb']} by {run['by']} since {run['at']} stopped at {run['in_hand']}; `inv deploy` goes on"
        )
    return "\n".join(lines + [f"  ! {p}" for p in found["problems"]])
