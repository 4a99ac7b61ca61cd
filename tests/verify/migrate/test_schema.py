"""After a migration: the release's own image says that nothing waits."""

from __future__ import annotations

from typing import Any

import pytest
from testinfra.host import Host


@pytest.fixture(scope="module")
def answer(host: Host, facts: dict[str, Any]) -> Any:
    """What the stack's `pending` command said, in a container of the release, or in one made for this."""
    stack, release, migrate = facts["stack"], facts["release"], facts["migrate"]
    if not migrate:
        pytest.skip(f"stack {stack} has no migrations")
    labels = {"slipway.stack": stack, "slipway.release": release, "slipway.service": migrate["service"]}
    filters = [word for key, value in labels.items() for word in ("--filter", f"label={key}={value}")]
    found = host.check_output("docker ps --quiet" + " %s" * len(filters), *filters).split()
    if found:
        argv = ["docker", "exec", found[0], *migrate["pending"]]
    else:
        file = f"/var/lib/slipway/stacks/{stack}/releases/{release}/compose.yaml"
        argv = ["docker", "compose", "-p", f"{stack}-{release}", "-f", file, "run", "--rm", "--no-deps", "-T"]
        argv += [migrate["service"], *migrate["pending"]]
    return host.run(" ".join(["%s"] * len(argv)), *argv)


def test_pending_command_works(answer: Any) -> None:
    assert answer.rc == 0, f"it exited {answer.rc}: {answer.stderr.strip()[-500:]}"


def test_no_migration_waits(answer: Any) -> None:
    waiting = answer.stdout.strip().splitlines()
    assert not waiting, f"{len(waiting)} wait: {', '.join(waiting[:10])}"
