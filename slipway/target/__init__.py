"""Where releases run: hosts over SSH (`compose`), or a cluster (`kubernetes`). Both answer one protocol, `Target`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from slipway.plan.outcome import Outcome
from slipway.settings import load


class Target(Protocol):
    """The verbs that act on where releases run. A verb that has no meaning on a target raises BadInput, and says what does it."""

    def deploy(
        self,
        env: str,
        stack: str | None,
        version: str | None,
        *,
        build: bool,
        plan_only: bool,
        cut: bool,
        yes: bool,
        images: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Bring a version live, without losing a request."""

    def rollback(self, env: str, stack: str | None, to: str | None, *, plan_only: bool, yes: bool) -> Outcome:
        """Go back to an earlier verified release."""

    def migrate(
        self, env: str, stack: str | None, version: str | None, *, contract: bool, plan_only: bool, yes: bool
    ) -> Outcome:
        """Run waiting migrations without a deploy."""

    def migrate_status(self, env: str, stack: str | None) -> dict[str, Any]:
        """Return what the database has had and what waits."""

    def push(self, env: str, stack: str | None, version: str | None, *, yes: bool) -> tuple[str, Mapping[str, Any]]:
        """Build and push what the registry lacks."""

    def build(self, env: str, stack: str | None, version: str | None, *, yes: bool) -> Iterator[str]:
        """Build a stack's images on this machine."""

    def provision(self, env: str, stack: str | None, *, plan_only: bool, yes: bool) -> Iterator[str]:
        """Make machines ready for releases."""

    def verify(self, env: str, stack: str | None, step: str | None) -> None:
        """Run the Testinfra suites by hand."""

    def accessory_apply(self, env: str, stack: str | None, *, plan_only: bool, yes: bool) -> Iterator[str]:
        """Make the accessories what the settings say."""

    def lock_show(self, env: str, stack: str | None) -> str:
        """Return words for who has the lease."""

    def lock_freeze(self, env: str, stack: str | None, message: str | None) -> str:
        """Freeze deploys, or end that."""


def of(env: str) -> Target:
    """Return the target that an environment names.

    Raises:
        BadInput: there is no such environment.
    """
    if on_cluster(env):
        from slipway.target.kubernetes import verbs as cluster

        return cluster
    from slipway.target.compose import verbs as hosts

    return hosts


def on_cluster(env: str) -> bool:
    """Tell whether an environment is on a cluster. Raises as `of`."""
    return load.target(env) == "kubernetes"
