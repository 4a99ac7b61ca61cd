"""Looking at hosts without a run: each for itself, so that one that is away hides no other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from slipway.errors import BadInput, SlipwayError
from slipway.settings.model import Host
from slipway.target.compose.facts import HostFacts
from slipway.target.compose.session import HostSession, LoginRefused
from slipway.target.compose.workplace import Workplace, unprovisioned


@contextlib.contextmanager
def session(place: Workplace, host: Host) -> Iterator[HostSession]:
    """Open a session with one host.

    Raises:
        BadInput: its host key is unknown or not the known one.
        SlipwayError: it can't be reached, or has not been provisioned; the message says how.
    """
    opened = HostSession(host, place.access)
    try:
        with opened:
            yield opened
    except LoginRefused as error:
        raise unprovisioned(place, error) from error
    finally:
        opened.close()  # where it did not get as far as the block


def first(place: Workplace) -> contextlib.AbstractContextManager[HostSession]:
    """Open a session with the host that keeps the lease. Raises as `session`."""
    return session(place, place.env.hosts[0])


def facts(place: Workplace, opened: HostSession) -> HostFacts:
    """Return the facts of one host."""
    _, question = place.look()
    name = opened.host.name
    return HostFacts(name, place.ask({name: opened}, question)[name])


def everywhere(place: Workplace) -> tuple[dict[str, HostFacts], dict[str, SlipwayError]]:
    """Look at all hosts, side by side.

    Returns:
        The facts of the hosts that answered, and of each other one why not, both in the environment's order.

    Raises:
        BadInput: a host key is unknown or not the known one.
    """

    def one(host: Host) -> HostFacts | SlipwayError:
        try:
            with session(place, host) as opened:
                return facts(place, opened)
        except BadInput:
            raise
        except SlipwayError as error:
            return error

    with ThreadPoolExecutor(len(place.env.hosts)) as pool:
        found = {h.name: answer for h, answer in zip(place.env.hosts, pool.map(one, place.env.hosts), strict=True)}
    answered = {name: f for name, f in found.items() if isinstance(f, HostFacts)}
    return answered, {name: e for name, e in found.items() if isinstance(e, SlipwayError)}
