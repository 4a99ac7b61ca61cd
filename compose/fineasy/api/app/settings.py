"""Settings from the environment; secrets from files that `NAME_FILE` points to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

API = Path(__file__).resolve().parent.parent
"""The folder that holds app/, migrations/, model/ and alembic.ini."""


class SettingError(Exception):
    """A setting that the service cannot start with."""


def secret(name: str, environ: Mapping[str, str]) -> str | None:
    """Return secret `name` from the file that `<name>_FILE` names, else from variable `<name>`, else None."""
    path = environ.get(f"{name}_FILE")
    if not path:
        return environ.get(name) or None
    try:
        return Path(path).read_text(encoding="utf-8").strip() or None
    except OSError as error:
        raise SettingError(f"{name}_FILE: cannot read {path}: {error.strerror}") from error


@dataclass(frozen=True)
class Settings:
    """What differs from one place to another."""

    database_url: str
    redis_url: str
    database_password: str | None = field(repr=False)
    redis_password: str | None = field(repr=False)
    release: str
    version: str
    log_level: str
    cors_origins: tuple[str, ...]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Return the settings in `environ`. Raise SettingError if one is missing or wrong."""
        if missing := [name for name in ("DATABASE_URL", "REDIS_URL") if not environ.get(name)]:
            raise SettingError(f"set {' and '.join(missing)}")
        level = environ.get("LOG_LEVEL", "INFO").upper()
        if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise SettingError(f"LOG_LEVEL is {level!r}, not one of DEBUG, INFO, WARNING, ERROR")
        return cls(
            database_url=environ["DATABASE_URL"],
            redis_url=environ["REDIS_URL"],
            database_password=secret("POSTGRES_PASSWORD", environ),
            redis_password=secret("REDIS_PASSWORD", environ),
            release=environ.get("SLIPWAY_RELEASE") or "dev",
            version=environ.get("SLIPWAY_VERSION") or "dev",
            log_level=level,
            cors_origins=tuple(part.strip() for part in environ.get("CORS_ORIGINS", "").split(",") if part.strip()),
        )
