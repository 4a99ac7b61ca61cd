"""What a plan on a cluster is made from: a release to be, and all that is known of where it is to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slipway.plan.operation import Operation
from slipway.target.kubernetes.facts import Facts
from slipway.target.kubernetes.kinds import Manifest
from slipway.target.kubernetes.manifests import Values
from slipway.target.kubernetes.overlay import Overlay


@dataclass(frozen=True)
class Release:
    """A release to be.

    Args:
        id: of it.
        version: of it.
        images: by service.
        manifests: with its id in them, without secrets' values (see `slipway.target.kubernetes.manifests.released`).
        meta: what is recorded besides.
    """

    id: str
    version: str
    images: Mapping[str, str]
    manifests: Sequence[Manifest]
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """All that a plan is made from.

    Args:
        cluster: what the environment calls it: the context.
        facts: what there is.
        values: settings and secrets.
        overlay: what kustomize rendered; None for a rollback, which needs none.
        beside: blue-green.
        settle: seconds to watch.
        migrate: what runs the migrations; None where there are none.
        keep: releases that stay recorded.
        where_is: tells `file:line` of a manifest, "" where it stands in no file.
    """

    cluster: str
    facts: Facts
    values: Values
    overlay: Overlay | None = None
    beside: bool = False
    settle: float = 0.0
    migrate: Operation | None = None
    keep: int = 5
    where_is: Callable[[Manifest], str] = field(default=lambda _: "", repr=False, compare=False)

    @property
    def stack(self) -> str:
        """The stack's name."""
        return self.values.stack.name
