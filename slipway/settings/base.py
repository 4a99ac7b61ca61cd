"""What all settings share: unknown keys are errors, values never change, durations are seconds."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from slipway.settings.units import parse_duration

Seconds = Annotated[float, BeforeValidator(parse_duration)]
"""A duration: written `90`, `90s`, `10m`, `1h30m`; kept in seconds."""


class Model(BaseModel):
    """Base of all settings: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
