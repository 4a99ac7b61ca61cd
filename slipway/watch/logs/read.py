"""`inv logs`: asks the hosts, merges what they say, prints it while it comes."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from queue import Queue

from slipway import report, streams, target
from slipway.errors import BadInput, SlipwayError
from slipway.target.compose import look, workplace
from slipway.target.compose.workplace import Workplace
from slipway.watch.logs import merge, query, show
from slipway.watch.logs.feeds import Feed, Line, Part
from slipway.watch.logs.query import Query, Typed


def logs(env: str, stack: str | None, typed: Typed, *, as_json: bool) -> int:
    """Print the lines that are asked for, while they come. No secret is read for it.

    Returns:
        1 where a host could not tell all of its lines (which is said), else 0.

    Raises:
        BadInput: settings are wrong, a host key is, or what was typed.
        SlipwayError: no host tells anything.
    """
    if target.on_cluster(env):
        return _on_cluster(env, stack, typed, as_json=as_json)
    place = workplace.find(env, stack, start=False, secrets=False)
    if place is None:
        raise BadInput(f"the lab of {env} is not up", where=f"envs/{env}.yml", todo=f"inv deploy --env {env} starts it")
    if place.env.development:
        todo = f"docker compose -p {place.stack.name}-{env} logs --follow"
        raise BadInput("what is in development is Compose's own affair", where=f"envs/{env}.yml", todo=todo)
    asked = query.understood(typed, place.env, place.stack)
    reading = _Reading(place, asked)
    tell = show.as_json if as_json else show.as_text(_colours())
    try:
        with contextlib.closing(reading):
            _print(reading.lines(), tell)
    except KeyboardInterrupt:
        if not asked.follow:
            raise
    return int(bool(reading.away) and not asked.follow)


def _on_cluster(env: str, stack: str | None, typed: Typed, *, as_json: bool) -> int:
    """Print what pods say. Arguments and errors as `logs`."""
    from slipway.target.kubernetes import workplace as cluster
    from slipway.target.kubernetes.logs import PodLogs

    place = cluster.find(env, stack, with_secrets=False)
    nodes = tuple(n.strip() for n in typed.host.split(",") if n.strip())
    asked = query.understood(dataclasses.replace(typed, host=""), place.env, place.stack)
    tell = show.as_json if as_json else show.as_text(_colours())
    with cluster.connected(place) as session:
        reading = PodLogs(session, asked.params, nodes)
        try:
            found = reading.coming() if asked.follow else reading.past()
            _print((Line(*line) for line in found), tell, at_once=asked.follow)
        except KeyboardInterrupt:
            if not asked.follow:
                raise
    for words in reading.lost:
        report.err(f"! {words}: lines of it are missing")
    return int(bool(reading.lost))


def _colours() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")


def _print(lines: Iterator[Line], tell: Callable[[Line], str], *, at_once: bool = False) -> None:
    try:
        for line in lines:
            sys.stdout.write(tell(line) + "\n")
            if at_once:
                sys.stdout.flush()
        sys.stdout.flush()
    except BrokenPipeError:  # its reader has seen enough
        streams.forget(sys.stdout)


class _Reading:
    """Reading all hosts."""

    def __init__(self, place: Workplace, asked: Query) -> None:
        self.env, self.asked = place.env.name, asked
        self.away: dict[str, SlipwayError] = {}
        self._arrivals: Queue[Part] = Queue()
        hosts = [h for h in place.env.hosts if h.name in asked.hosts]
        self._feeds = [
            Feed(h.name, place.stack.name, asked.params, functools.partial(look.session, place, h), self._arrivals)
            for h in hosts
        ]

    def close(self) -> None:
        """Leave the hosts alone."""
        for feed in self._feeds:
            feed.close()

    def lines(self) -> Iterator[Line]:
        """Yield the lines."""
        idle = sys.stdout.flush
        found = merge.past(self._feeds, self._tell, idle)
        count = self.asked.tail
        yield from found if count is None else deque(found, maxlen=count)
        if len(self.away) == len(self._feeds) and not self.asked.follow:
            raise next(iter(self.away.values()))
        if self.asked.follow:
            yield from merge.coming(self._feeds, set(self.away), self._arrivals, self._tell, idle)

    def _tell(self, feed: Feed, part: Part) -> None:
        """Say on standard error what is no line of a service."""
        sys.stdout.flush()
        if isinstance(part.error, BadInput):
            raise part.error
        if part.words:
            self.away.pop(feed.host, None)
            report.err(f"! {feed.host}: {part.words}")
        elif part.error and feed.host not in self.away:
            self.away[feed.host] = part.error
            seen = f" ({' '.join(part.error.seen.split())})" if part.error.seen else ""
            goes_on = "; it is tried again and again" if self.asked.follow else ""
            report.err(f"! {feed.host}: {part.error.what}{seen}: lines of it are missing{goes_on}")
