"""What a stack file says under `x-slipway`, as typed values."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from slipway.settings.base import Model, Seconds
from slipway.settings.keeping import Clean, External, ServiceBackup
from slipway.settings.logs import LogFile
from slipway.settings.model import Health, Migration, Route, Smoke


class ServiceExtras(Model):
    """`x-slipway` of a service."""

    role: Literal["app", "accessory", "job"] | None = Field(
        default=None,
        description="`app` is replaced by each release; `accessory` keeps data and is not; `job` runs once in each"
        " deploy, before the release starts (default: `app` where there is a `build:`, else `accessory`)",
        examples=["app"],
    )
    phase: int = Field(
        default=1, ge=1, description="lower numbers are deployed first (of jobs: run first)", examples=[2]
    )
    route: Route | None = Field(default=None, description="how the router finds the service (default: it does not)")
    health: Health | None = Field(
        default=None, description="HTTP health on the route's port (default: the container's own health check)"
    )
    drain: Seconds = Field(
        default=600.0, description="how long requests that are open at the switch may go on", examples=["10m"]
    )
    logs: tuple[LogFile, ...] = Field(
        default=(), description="files that it writes besides its standard output, for the host to rotate"
    )
    backup: tuple[ServiceBackup, ...] = Field(
        default=(),
        description="what backups keep of it: a kind (`postgres`, `redis`, `files`, `none`), a mapping, or a list of both. Each"
        " volume of a stack has to be kept, or to be named as not kept",
    )


class StackExtras(Model):
    """`x-slipway` at the top of a stack file."""

    migrate: Migration | None = Field(default=None, description="how the database gets to the release's shape")
    smoke: tuple[Smoke, ...] = Field(default=(), description="requests that prove that the stack does its job")
    external: tuple[External, ...] = Field(
        default=(), description="databases outside (Cloud SQL, RDS, Supabase) whose data this stack keeps"
    )
    clean: tuple[Clean, ...] = Field(default=(), description="tables whose old rows may be deleted")
