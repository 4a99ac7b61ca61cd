"""Lines of several hosts in the order of time, in constant memory."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from queue import Empty, Queue

from slipway.watch.logs.feeds import Feed, Line, Part

_PATIENCE = 1.0
"""Seconds for which a line of what comes waits for hosts that may have an earlier one."""

Tell = Callable[[Feed, Part], None]
Idle = Callable[[], None]


def past(feeds: Sequence[Feed], tell: Tell, idle: Idle) -> Iterator[Line]:
    """Yield what there is of all hosts.

    Args:
        feeds: the hosts.
        tell: called with what is no line: a host went away, or has something to say.
        idle: called before it waits.
    """
    return heapq.merge(*(_of(feed, tell, idle) for feed in feeds), key=lambda line: line.time)


def _of(feed: Feed, tell: Tell, idle: Idle) -> Iterator[Line]:
    while True:
        try:
            part = feed.next(block=False)
        except Empty:
            idle()
            part = feed.next()
        if part.error or part.words:
            tell(feed, part)
        yield from part.lines
        if part.ends or part.live or part.error:
            if part.live:
                feed.took()
            return
        if not part.words:
            feed.took()


def coming(
    feeds: Sequence[Feed], away: Collection[str], arrivals: Queue[Part], tell: Tell, idle: Idle
) -> Iterator[Line]:
    """Yield what comes, until no host has anything more to say.

    A line waits until every host that is there has said that it has none before it, a second at most: clocks differ.

    Args:
        feeds: the hosts.
        away: names of those that are away now.
        arrivals: where parts of all hosts come.
        tell: as of `past`.
        idle: as of `past`.
    """
    open_ones = set(feeds)
    upto = {feed: "" for feed in feeds if feed.host not in away}
    waiting: list[tuple[str, int, float, Line]] = []
    number = itertools.count()
    while open_ones or waiting:
        part = _next(arrivals, idle)
        if part:
            if part.error or part.words:
                tell(part.feed, part)
            now = time.monotonic()
            for line in part.lines:
                heapq.heappush(waiting, (line.time, next(number), now, line))
            if part.ends:
                open_ones.discard(part.feed)
            if part.ends or part.error:
                upto.pop(part.feed, None)
            else:
                upto[part.feed] = max(upto.get(part.feed, ""), part.upto)
            if not (part.words or part.error):
                part.feed.took()
        safe, late = min(upto.values(), default="~"), time.monotonic() - _PATIENCE
        while waiting and (waiting[0][0] <= safe or waiting[0][2] <= late):
            yield heapq.heappop(waiting)[3]


def _next(arrivals: Queue[Part], idle: Idle) -> Part | None:
    try:
        return arrivals.get(block=False)
    except Empty:
        idle()
    try:
        return arrivals.get(timeout=0.1)
    except Empty:
        return None
