"""The lease from the controller's side: taking it on the environment's first host, and telling who has it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from slipway.errors import BadInput, LeaseHeld, SlipwayError
from slipway.plan.operation import Operation
from slipway.settings.model import Environment
from slipway.target.compose.session import Access, HostError, HostSession, LoginRefused
from slipway.target.who import by, command


def take(above: int = 0, *, despite_freeze: bool = False) -> Operation:
    """Return the operation that takes a stack's lease; its result is `{"fence": number}`.

    Args:
        above: the highest fencing number that any of the environment's hosts has seen.
        despite_freeze: a freeze is about deploys, and this is none.
    """
    holder = {"by": by(), "command": command(), "machine": os.uname().nodename, "controller_pid": os.getpid()}
    params = {"holder": holder, "above": above, "despite_freeze": despite_freeze}
    return Operation("lease.take", "take the lease", params)


def tell(holder: Mapping[str, Any]) -> str:
    """Return words for who holds a lease, or froze deploys."""
    words = f"{holder.get('by', 'somebody')}, since {holder.get('since', 'an unknown time')}"
    return f"{words}: {holder.get('command') or holder.get('message', '')}"


def refused(env: str, stack: str, error: HostError) -> SlipwayError:
    """Return the error for a run that could not begin: somebody has the lease, or the host is not this environment's."""
    if error.lease:
        frozen = "message" in error.lease
        todo = f"ask them; inv lock.release --env {env} ends the freeze" if frozen else "wait for it, or ask them"
        return LeaseHeld(error.what, where=f"{stack} in {env}", seen=tell(error.lease), todo=todo)
    if error.bad_input:
        todo = f"use another host, or remove the stack from there: inv status --env {env}"
        return BadInput(error.what, where=error.where, seen=error.seen, todo=todo)
    return error


@contextlib.contextmanager
def held(env: Environment, access: Access, stacks: Sequence[str]) -> Iterator[None]:
    """Hold the leases of several stacks during the block: what is done concerns their hosts as a whole.

    A host that was never provisioned has none to give, and nobody who deploys.

    Raises:
        LeaseHeld: somebody has one of them.
    """
    session = HostSession(env.hosts[0], access)
    try:
        with contextlib.suppress(LoginRefused):
            session.__enter__()
            for stack in stacks:
                try:
                    session.perform(stack, [take(despite_freeze=True)])
                except HostError as error:
                    raise refused(env.name, stack, error) from error
        yield
    finally:
        session.close()
