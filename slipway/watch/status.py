"""Status of an environment at a glance: what the hosts and the router say now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from slipway import target
from slipway.errors import SlipwayError
from slipway.settings import load
from slipway.settings.units import duration
from slipway.target.compose import lease, look, workplace
from slipway.target.compose.facts import HostFacts, live_release
from slipway.target.compose.workplace import Workplace
from slipway.watch import door

_OF_RELEASE = ("id", "version", "images", "activated_at", "by", "verified")


def status(env: str, stack: str | None) -> dict[str, Any]:
    """Return the status document of a stack in an environment. No secret is read for it.

    Returns:
        `{env, stack, healthy, release, hosts, lease, backup, url, frozen, in_progress, unfinished, problems}`. `healthy`: the
        live release's services are healthy on every host, and the router answers. `traffic` is the share (percent) that the
        router gives now. A host that can't be reached has a `reason`. `in_progress` is the run of who has the lease,
        `unfinished` one that was killed.

    Raises:
        BadInput: settings are wrong, or a host key is.
    """
    if target.on_cluster(env):
        from slipway.target.kubernetes import status as cluster

        return cluster.status(env, stack)
    place = workplace.find(env, stack, start=False, secrets=False)
    if place is None:
        problem = f"the lab of {env} is not up: inv deploy --env {env} starts it"
        return _document(env, stack or load.environment(env).stacks[0].name, None, {}, {}, [problem])
    facts, away = look.everywhere(place)
    live = live_release(facts)
    problems = [p for f in facts.values() for p in _problems(f)]
    if live:
        problems += door.problems(place.url, _recorded(facts, live))
    return _document(env, place.stack.name, place, facts, away, problems)


def _problems(facts: HostFacts) -> list[str]:
    live = facts.live()
    if not facts.router["answers"]:
        return [f"{facts.host}: the router does not answer" if live else f"{facts.host}: nothing is deployed"]
    if live is None:
        return [f"{facts.host}: nothing is deployed"]
    return [] if facts.is_whole(live) else [f"{facts.host}: release {live} is not whole, or shares traffic"]


def _recorded(facts: Mapping[str, HostFacts], release: str) -> Mapping[str, Any]:
    """Return what is recorded of a release, by the first of the hosts that has it."""
    return next((f.releases[release] for f in facts.values() if release in f.releases), {})


def _document(
    env: str,
    stack: str,
    place: Workplace | None,
    facts: Mapping[str, HostFacts],
    away: Mapping[str, SlipwayError],
    problems: list[str],
) -> dict[str, Any]:
    live = live_release(facts)
    hosts = [h.name for h in place.env.hosts] if place else []
    # The lease is the first host's: where that is away, nobody knows.
    first = facts[hosts[0]].raw if hosts and hosts[0] in facts else {}
    run = next((f.raw["unfinished"] for f in facts.values() if f.raw["unfinished"]), None)
    lease = first.get("lease")
    goes_on = bool(run and lease and run.get("fence") == lease.get("fence"))
    problems = [*(f"{name} cannot be reached: {_reason(e)}" for name, e in away.items()), *problems]
    return {
        "env": env,
        "stack": stack,
        "healthy": bool(live) and not problems,
        "release": _release(live, _recorded(facts, live)) if live else None,
        "hosts": [_away(name, away[name]) if name in away else _host(name, facts[name]) for name in hosts],
        "lease": lease,
        "frozen": first.get("frozen"),
        "backup": first.get("backup") or {"last": None, "age_s": None},
        "in_progress": run if goes_on else None,
        "unfinished": None if goes_on else run,
        "problems": problems,
        "url": place.url if place else "",
    }


def _release(live: str, recorded: Mapping[str, Any]) -> dict[str, Any]:
    known = {key: recorded.get(key) for key in _OF_RELEASE}
    known["activated_at"] = recorded.get("live_since") or known["activated_at"]  # it may have come back
    digests = {service: image.partition("@")[2] for service, image in (known["images"] or {}).items()}
    return {**known, "id": live, "images": digests, "verified": bool(known["verified"])}


def _reason(error: SlipwayError) -> str:
    return " ".join(f"{error.what} ({error.seen})".split()) if error.seen else error.what


def _away(name: str, error: SlipwayError) -> dict[str, Any]:
    return {"name": name, "reachable": False, "reason": _reason(error), "services": []}


def _host(name: str, facts: HostFacts) -> dict[str, Any]:
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
    disk = facts.raw.get("disk")
    return {"name": name, "reachable": True, "services": sorted(services, key=lambda s: s["container"]), "disk": disk}


def text(found: Mapping[str, Any]) -> str:
    """Return the status as people read it."""
    release = found["release"]
    head = f"{found['stack']} in {found['env']}: " + ("healthy" if found["healthy"] else "NOT HEALTHY")
    lines = [head]
    if release:
        lines.append(f"  release  {release['id']}, since {release['activated_at']}, by {release['by']}")
    if found["url"]:
        lines.append(f"  url      {found['url']}")
    for host in found["hosts"]:
        lines.append(f"  {host['name']}" + ("" if host["reachable"] else "  cannot be reached"))
        for service in host["services"]:
            share = "" if service["traffic"] is None else f"{service['traffic']:g} %"
            words = (service["container"], service["state"], service["health"], share)
            lines.append("    " + "  ".join(words).rstrip())
        lines += disk_words(host.get("disk"))
    return "\n".join([*lines, *_runs(found), *(f"  ! {p}" for p in found["problems"])])


def disk_words(disk: Mapping[str, Any] | None) -> list[str]:
    """Return a line where the disk was nearly full in the last day: what the host freed, by which rule."""
    note = (disk or {}).get("freed")
    if not disk or not note:
        return []
    at = datetime.fromisoformat(note["at"])
    low = disk["free"] < note["least"]
    if datetime.now(UTC) - at > timedelta(days=1) and not low:
        return []
    gone = note["removed"]
    freed = f"{len(gone)} things removed, {sum(g['bytes'] for g in gone) / 1e6:.0f} MB" if gone else "nothing to free"
    names = ": " + ", ".join(g["what"] for g in gone[:3]) + (", …" if len(gone) > 3 else "") if gone else ""
    now = f"{disk['free'] / 1e6:.0f} MB free now" + (", TOO LITTLE" if low else "")
    return [f"    ! disk nearly full at {note['at'][:16]}Z ({note['before'] / 1e6:.0f} MB free): {freed}{names}; {now}"]


def backup_words(backup: Mapping[str, Any]) -> list[str]:
    """Return lines for the last good backup; one that is late, or missing, or failed since, stands out."""
    if "late" not in backup:
        return []  # nothing is kept
    late = backup["late"] and backup["last"]
    age = f"{backup['set']}, {duration(backup['age_s'])} ago" if backup["last"] else "none yet"
    lines = [f"  backup   {'LATE: ' if late else ''}{age}" + (" (inv backup makes one)" if backup["late"] else "")]
    lines += [f"  ! the last backup {backup['failed']}"] if backup["failed"] else []
    drill = backup.get("drill")
    if drill and drill["verdict"] != "good":
        lines.append(
            f"  ! THE BACKUP {drill['set']} DID NOT RESTORE in the drill of {drill['at']}: {drill['findings'][0]}"
        )
    return lines


def _runs(found: Mapping[str, Any]) -> list[str]:
    """Return lines for what is going on: who has the lease, a freeze, a run that goes on or was killed."""
    lines = backup_words(found["backup"])
    if found["lease"]:
        lines.append(f"  lease    {lease.tell(found['lease'])}")
    if found["frozen"]:
        lines.append(f"  frozen   {lease.tell(found['frozen'])}")
    if run := found["in_progress"]:
        at = f", at {run['in_hand']}" if run.get("in_hand") else ""  # a cluster's journal has no single operations
        lines.append(f"  in progress: {run['verb']} by {run['by']} since {run['at']}{at}")
    if run := found["unfinished"]:
        again = f"`inv deploy --env {found['env']}` goes on"
        at = f" at {run['in_hand']}" if run.get("in_hand") else ""
        lines.append(f"  unfinished: {run['verb']} by {run['by']} since {run['at']} stopped{at}; {again}")
    return lines
