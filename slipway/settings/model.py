"""Typed values: what an environment and a stack are. No file, network or clock is touched here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from slipway.settings import patterns
from slipway.settings.base import Model, Seconds
from slipway.settings.keeping import Backup, Clean, Kept, ServiceBackup
from slipway.settings.logs import LogFile, Logs
from slipway.settings.patterns import Address, Name, PublicKey, RegistryPath, ShortName, UrlPath, User

MOST_REPLICAS = 99
"""With names of stacks and services this short, a container's name always is one that DNS can look up."""


class Host(Model):
    """A machine that releases run on."""

    name: Name = Field(description="what messages call it", examples=["app1"])
    address: Address = Field(description="DNS name or IP address that SSH connects to", examples=["app1.example.com"])
    port: int = Field(default=22, ge=1, le=65535, description="SSH port", examples=[2222])
    user: User = Field(
        default="deploy", description="user that deploys; `inv provision` creates it", examples=["deploy"]
    )
    admin: User = Field(
        default="admin", description="user with sudo that `inv provision` logs in as", examples=["ubuntu"]
    )
    private_address: Address | None = Field(
        default=None,
        description="address that the environment's other hosts reach it at (default: `address`)",
        examples=["10.0.0.11"],
    )


class Registry(Model):
    """Where images live."""

    push: RegistryPath = Field(
        description="host[:port][/path] that this machine pushes to", examples=["registry.example.com/slipway"]
    )
    pull: RegistryPath | None = Field(
        default=None,
        description="the same registry as the hosts see it (default: `push`)",
        examples=["10.0.0.5:5000/slipway"],
    )
    insecure: bool = Field(default=False, description="speaks plain HTTP", examples=[True])
    mirror: bool = Field(
        default=False, description="serves official images too: hosts use it as registry mirror", examples=[True]
    )
    username: str | None = Field(
        default=None,
        min_length=1,
        description="user; the password is `registry.password` in the vault",
        examples=["ci"],
    )

    @property
    def seen_by_hosts(self) -> str:
        """The name hosts pull from."""
        return self.pull or self.push


class Lab(Model):
    """Throw-away hosts on this machine stand in for rented ones."""

    hosts: int = Field(default=1, ge=1, le=4, description="how many hosts", examples=[2])
    kind: Literal["bare", "provisioned"] = Field(
        default="bare",
        description="new hosts start `bare`, as if they were rented; or from an image kept of a `provisioned` one,"
        " which is quicker to try other things with",
        examples=["provisioned"],
    )


class Kubernetes(Model):
    """The cluster that releases run on, with `target: kubernetes`. What runs there: [kubernetes.md](kubernetes.md)."""

    context: str = Field(
        min_length=1,
        description="the kubeconfig's context; a verb uses no other one",
        examples=["gke_acme_europe-west1_main"],
    )
    kubeconfig: str | None = Field(
        default=None,
        min_length=1,
        description="the kubeconfig (default: kubectl's own, `$KUBECONFIG` or `~/.kube/config`)",
        examples=["~/.kube/acme"],
    )
    strategy: Literal["rolling", "blue-green"] = Field(
        default="rolling",
        description="`rolling`: pods are replaced by and by; `blue-green`: the new release starts whole beside the old one,"
        " which stays for a rollback until the next deploy",
        examples=["blue-green"],
    )
    runner: str = Field(
        default="python:3.13-slim-trixie",
        pattern=patterns.IMAGE,
        description="image with python3, 3.9 or later, that pods of backups and restores run Slipway's own part in",
        examples=["registry.example.com/python:3.13-slim-trixie"],
    )


class VaultPassword(Model):
    """Where the password of `envs/<env>.vault.yml` comes from: a `file` or a `command`."""

    file: str | None = Field(
        default=None,
        min_length=1,
        description="file that holds it, outside the repo (`~` is the home folder)",
        examples=["~/.config/slipway/staging.password"],
    )
    command: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="command that prints it: program and arguments",
        examples=[["pass", "show", "slipway/production"]],
    )


class StackEntry(Model):
    """What an environment says about one stack."""

    name: ShortName = Field(description="the folder below compose/ (20 letters at most)", examples=["fineasy"])
    domain: str | None = Field(
        default=None,
        pattern=patterns.DOMAIN,
        description="host name the router answers to (default: any)",
        examples=["www.example.com"],
    )
    port: int = Field(default=80, ge=1, le=65535, description="port of the front door on each host", examples=[8080])
    replicas: dict[str, Annotated[int, Field(ge=1, le=MOST_REPLICAS)]] = Field(
        default_factory=dict, description="replicas per service, over the stack's own", examples=[{"api": 4}]
    )
    settings: dict[str, str] = Field(
        default_factory=dict, description="values for `${NAME}` in the stack file", examples=[{"LOG_LEVEL": "DEBUG"}]
    )


class Environment(Model):
    """One environment: `envs/<name>.yml`, validated."""

    name: Name
    target: Literal["compose", "kubernetes"] = Field(
        default="compose",
        description="where releases run: on `hosts` (or a `lab`), or on a cluster",
        examples=["compose"],
    )
    kubernetes: Kubernetes | None = Field(default=None, description="the cluster, with `target: kubernetes`")
    hosts: tuple[Host, ...] = Field(default=(), description="the machines, first one first (leave out with `lab`)")
    lab: Lab | None = Field(default=None, description="throw-away hosts on this machine instead of `hosts`")
    registry: Registry | None = Field(default=None, description="where images are pushed (the lab brings its own)")
    vault_password: VaultPassword | None = Field(
        default=None, description="where the password of the secrets comes from (a lab makes its own)"
    )
    stacks: tuple[StackEntry, ...] = Field(
        min_length=1, description="the stacks, first one first; a name alone stands for an entry with defaults"
    )
    development: bool = Field(
        default=False,
        description="deploy with compose.dev.yaml, source mounted, no releases",
        examples=[True],
    )
    deploy_keys: tuple[PublicKey, ...] = Field(
        default=(),
        description="SSH public keys that may deploy (default: those that the hosts' `admin` accepts)",
        examples=[["ssh-ed25519 AAAA... ci"]],
    )
    allow_dirty: bool = Field(
        default=False, description="accept a working tree with uncommitted changes", examples=[True]
    )
    keep_warm: Seconds = Field(
        default=3600.0, description="how long the predecessor stays running for a rollback", examples=["2h"]
    )
    keep_releases: int = Field(default=5, ge=1, description="verified releases kept on hosts", examples=[10])
    max_draining: int = Field(default=2, ge=1, description="old releases with open requests side by side", examples=[3])
    settle: Seconds = Field(
        default=0.0, description="how long deploy watches the new release after the switch", examples=["60s"]
    )
    logs: Logs = Field(default_factory=Logs, description="how long logs are kept")
    backup: Backup | None = Field(default=None, description="where backups go and when (default: there are none)")

    def stack(self, name: str | None) -> StackEntry:
        """Return the entry of stack `name`, or the first one. Raise KeyError if there is none of that name."""
        return self.stacks[0] if name is None else {s.name: s for s in self.stacks}[name]


class Build(Model):
    """A service's `build:` section."""

    context: str = Field(description="folder, absolute")
    dockerfile: str = "Dockerfile"
    target: str | None = None
    args: dict[str, str] = Field(default_factory=dict)


class Route(Model):
    """How the router finds a service."""

    path: str = Field(default="/", pattern=patterns.PREFIX, description="path prefix", examples=["/api"])
    port: int = Field(ge=1, le=65535, description="port the service listens on", examples=[8000])
    timeout: Seconds = Field(default=60.0, description="longest silence of an answer", examples=["60s"])


class Health(Model):
    """How a service says that it lives and that it can serve (HTTP paths on the route's port)."""

    live: UrlPath = Field(
        default="/health",
        description="answers 200 while the process works",
        examples=["/health"],
    )
    ready: UrlPath = Field(
        default="/health",
        description="answers 200 when it can serve",
        examples=["/health/ready"],
    )
    start_within: Seconds = Field(default=60.0, description="longest time from start to ready", examples=["2m"])


class Service(Model):
    """One service of a stack, with Compose's own keys in `compose`.

    Those are interpolated, without `build`, x- keys and what `depends_on` says of services in other projects.
    """

    name: str
    role: Literal["app", "accessory", "job"] = Field(description="app: replaced by each release; accessory: keeps data")
    phase: int = Field(default=1, description="lower numbers are deployed first")
    replicas: int = Field(default=1, ge=1)
    image: str | None = None
    build: Build | None = None
    route: Route | None = None
    health: Health | None = Field(default=None, description="HTTP health (default: the container's own health check)")
    drain: Seconds = Field(default=600.0, description="how long open requests may go on after the switch")
    secrets: tuple[str, ...] = ()
    backup: tuple[ServiceBackup, ...] = ()
    logs: tuple[LogFile, ...] = ()
    compose: dict[str, Any] = Field(default_factory=dict, description="the service's Compose section")


class Migration(Model):
    """How the stack's database gets to the shape that a release expects. More: [migrations.md](migrations.md)."""

    kind: Literal["sql", "alembic", "command"] = Field(
        default="command",
        description="`sql`: a folder of numbered files; `alembic`: Alembic's folder; `command`: a tool of the stack's own,"
        " of which Slipway knows no more than what `pending` prints",
        examples=["sql"],
    )
    service: str = Field(description="the app service whose image carries the migrations", examples=["api"])
    path: str = Field(description="folder of the migrations, below the stack's", examples=["api/migrations"])
    inside: str | None = Field(
        default=None,
        description="the same folder in the image (default: as it lies below the build context, in the working directory)",
        examples=["/app/migrations"],
    )
    database: str | None = Field(
        default=None, description="the accessory that is the Postgres (`sql`, `alembic`)", examples=["postgres"]
    )
    command: tuple[str, ...] = Field(
        default=(),
        description="`command`: brings the schema to what the image expects; `alembic`: how the image's Alembic is"
        " called (default: `[alembic]`), Slipway adds `upgrade REVISION`",
        examples=[["./manage", "upgrade"]],
    )
    pending: tuple[str, ...] = Field(
        default=(),
        description="`command`: prints one line for each waiting migration, nothing when none is",
        examples=[["./manage", "pending"]],
    )
    lock_timeout: Seconds = Field(
        default=2.0,
        description="how long a migration waits for a lock, and all that comes behind it as well; it is tried five"
        " times, with pauses (`sql`, `alembic`)",
        examples=["500ms"],
    )
    statement_timeout: Seconds = Field(
        default=300.0, description="the longest that a statement may take (`sql`, `alembic`)", examples=["30m"]
    )


class Smoke(Model):
    """One request and the answer that proves the stack does its job."""

    name: str = Field(min_length=1, description="what the report calls it", examples=["scores a payment"])
    method: Literal["GET", "POST", "PUT", "DELETE"] = Field(default="GET", description="HTTP method", examples=["POST"])
    path: UrlPath = Field(description="path and query", examples=["/v1/score"])
    json_body: Any = Field(default=None, alias="json", description="request body", examples=[{"amount": 12}])
    status: int = Field(default=200, ge=100, le=599, description="expected status", examples=[201])
    contains: str | None = Field(default=None, description="text the answer's body must contain", examples=['"score"'])
    expect: dict[str, Any] = Field(
        default_factory=dict, description="JSON keys of the answer and their values", examples=[{"model_version": "1"}]
    )

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Stack(Model):
    """A system: `compose/<name>/compose.yaml`, read and validated."""

    name: str
    folder: str = Field(description="absolute path of compose/<name>")
    services: tuple[Service, ...]
    migrate: Migration | None = None
    smoke: tuple[Smoke, ...] = ()
    kept: tuple[Kept, ...] = Field(default=(), description="what backups keep, in the order of the file")
    clean: tuple[Clean, ...] = ()
    volumes: dict[str, Any] = Field(default_factory=dict, description="Compose's top-level volumes")
    secrets: tuple[str, ...] = Field(default=(), description="names of the secrets that services use")
    overlay: dict[str, Any] = Field(default_factory=dict, description="compose.dev.yaml, for development")

    def of_role(self, role: str) -> tuple[Service, ...]:
        """Return the services of one role, in phase order, then as the file has them."""
        return tuple(sorted((s for s in self.services if s.role == role), key=lambda s: s.phase))

    def service(self, name: str) -> Service:
        """Return the service called `name`. Raise KeyError if there is none."""
        return {s.name: s for s in self.services}[name]
