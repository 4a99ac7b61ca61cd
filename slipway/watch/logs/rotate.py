"""`inv logs.rotate`: every host rotates what its services write into files, now; then the suite `logs` looks at it."""

from __future__ import annotations

from collections.abc import Iterator

from slipway import report
from slipway.errors import BadInput
from slipway.plan.operation import Operation
from slipway.target.compose import workplace


def rotate(env: str, stack: str | None) -> Iterator[str]:
    """Rotate on all hosts, side by side, and verify it. Yields a line for each file.

    Raises:
        BadInput: settings are wrong, or a host key is; the lab is not up.
        SlipwayError: a host can't be reached, has not been provisioned, or could not rotate a file; or the suite found something.
    """
    place = workplace.find(env, stack, start=False, secrets=False)
    if place is None:
        raise BadInput(f"the lab of {env} is not up", where=f"envs/{env}.yml", todo=f"inv deploy --env {env} starts it")
    with workplace.opened(place, prepare=False, look=False) as hosts, report.step("Rotate files") as step:
        told = place.ask(hosts.sessions, Operation("logs.rotate", "rotate files"))
        step.done(f"{sum(len(t['files']) for t in told.values())} on {len(told)} hosts")
    for host, found in told.items():
        yield from (f"{host}  {file}" for file in found["files"])
    workplace.verify_hosts(place, "logs")
