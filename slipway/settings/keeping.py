"""What an environment says of backups, and what a stack says it keeps, as typed values."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from slipway.settings import patterns
from slipway.settings.base import Model, Seconds
from slipway.settings.patterns import Address, Copy, Repository, ShortName

LAB_FOLDER = "/var/backups/slipway"
"""Where a lab's hosts see the volume that outlives them."""

RESTIC = "restic/restic:0.18.0"
"""The image that restic comes from; its version is Debian's, so that a lab without internet has the same one."""

FolderPath = Annotated[str, Field(pattern=patterns.FOLDER)]
Column = Annotated[str, Field(pattern=patterns.COLUMN)]
Table = Annotated[str, Field(pattern=patterns.TABLE)]
SecretName = Annotated[str, Field(min_length=1)]


class Keep(Model):
    """How many backups are kept: the newest of each of the last days, weeks, months, years that have one."""

    daily: int = Field(default=7, ge=0, description="days", examples=[14])
    weekly: int = Field(default=5, ge=0, description="weeks", examples=[8])
    monthly: int = Field(default=12, ge=0, description="months", examples=[24])
    yearly: int = Field(default=3, ge=0, description="years", examples=[10])


class Backup(Model):
    """Where the environment's backups go, when they are made, and how long they are kept."""

    repository: Repository = Field(
        description="restic repository: a folder on the first host, or a URL of restic's (`rest:`, `s3:`, `b2:`, `azure:`,"
        " `gs:`, `swift:`). A lab's hosts share `/var/backups/slipway`, a volume that outlives them",
        examples=["rest:https://backup.example.com/slipway/"],
    )
    copies: tuple[Copy, ...] = Field(
        default=(),
        description="further repositories that each good backup is copied to, `sftp:` and `rclone:` included",
        examples=[["s3:https://s3.example.com/slipway"]],
    )
    environment: dict[Annotated[str, Field(pattern=patterns.VARIABLE)], SecretName] = Field(
        default_factory=dict,
        description="variables that restic needs for a repository, and the names of their values below `backup` in the vault",
        examples=[{"AWS_SECRET_ACCESS_KEY": "s3_secret"}],
    )
    keep: Keep = Field(default_factory=Keep, description="how many backups are kept")
    schedule: str = Field(
        default="*-*-* 02:30:00",
        pattern=patterns.CALENDAR,
        description="when the host makes one by itself, as systemd.time(7) writes it (up to 15 minutes later)",
        examples=["*-*-* 00/6:15:00"],
    )
    drill: str = Field(
        default="Sun *-*-* 05:30:00",
        pattern=patterns.CALENDAR,
        description="when the host proves by itself that the newest one restores",
        examples=["Wed *-*-* 04:00:00"],
    )
    late_after: Seconds = Field(
        default=26 * 3600.0, description="age from which `status` shows the last good backup in red", examples=["8h"]
    )
    least: int = Field(
        default=50,
        ge=0,
        le=100,
        description="per cent of the last backup's size below which a new one is not plausible",
        examples=[80],
    )
    before_migrations: bool = Field(
        default=True, description="a deploy that migrates makes a backup first", examples=[False]
    )
    fresh: Seconds = Field(
        default=600.0, description="age up to which an existing backup will do for that", examples=["1h"]
    )
    image: str = Field(
        default=RESTIC, pattern=patterns.IMAGE, description="restic's image", examples=["restic/restic:0.18.1"]
    )


class ServiceBackup(Model):
    """What of a service is kept. A kind alone stands for the mapping: `backup: none`, `backup: postgres`."""

    kind: Literal["postgres", "redis", "files", "none"] = Field(
        description="`postgres`, `redis`: the database, by its own tools; `files`: folders and files; `none`: nothing",
        examples=["postgres"],
    )
    database: str | None = Field(
        default=None,
        min_length=1,
        description="Postgres: the database (default: `POSTGRES_DB`, else the user's name)",
        examples=["shop"],
    )
    user: str | None = Field(
        default=None,
        min_length=1,
        description="Postgres: who reads it (default: `POSTGRES_USER`, else `postgres`)",
        examples=["shop"],
    )
    password: SecretName | None = Field(
        default=None,
        description="name of the service's secret with its password (default: the file that `POSTGRES_PASSWORD_FILE` names)",
        examples=["postgres_password"],
    )
    tables: tuple[Table, ...] = Field(
        default=(),
        description="Postgres: these tables only, `[schema.]table` (default: the whole database)",
        examples=[["ai_analysis_results"]],
    )
    paths: tuple[FolderPath, ...] = Field(
        default=(),
        description="files: folders and files inside the service (default: all its volumes). `none`: volumes that are not"
        " kept (default: all)",
        examples=[["/app/ml_models"]],
    )
    before: tuple[str, ...] = Field(
        default=(), description="command that runs in the service before it is read", examples=[["make-snapshot"]]
    )
    after: tuple[str, ...] = Field(
        default=(), description="command that runs in the service once it was read", examples=[["remove-snapshot"]]
    )


class External(Model):
    """A Postgres database that somebody else runs, and this stack keeps the data of."""

    name: ShortName = Field(description="what backups call it", examples=["main"])
    host: Address = Field(description="where it is", examples=["db.example.com"])
    port: int = Field(default=5432, ge=1, le=65535, description="its port", examples=[6543])
    database: str = Field(min_length=1, description="the database", examples=["shop"])
    user: str = Field(min_length=1, description="who reads it, and owns it where it is restored", examples=["shop"])
    password: SecretName = Field(description="name of the secret with the user's password", examples=["database"])
    image: str = Field(
        pattern=patterns.IMAGE, description="image with the tools of the server's version", examples=["postgres:16"]
    )
    tables: tuple[Table, ...] = Field(
        default=(), description="these tables only (default: the whole database)", examples=[["fraud_alerts"]]
    )


class Clean(Model):
    """A table whose old rows may be deleted."""

    table: Table = Field(description="the table, `[schema.]table`", examples=["ai_analysis_results"])
    column: Column = Field(description="when a row was made: a column of a time or a date", examples=["created_at"])
    service: ShortName | None = Field(
        default=None,
        description="the kept Postgres service, or external database, it is in (default: the only one)",
        examples=["postgres"],
    )


class Kept(Model):
    """One thing that a stack keeps, with all defaults put in. `host` is given for a database that somebody else runs."""

    service: str
    kind: Literal["postgres", "redis", "files"]
    database: str = ""
    user: str = ""
    password: str | None = None
    tables: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    host: str | None = None
    port: int = 5432
    image: str | None = None
