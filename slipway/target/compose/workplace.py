"""Where a verb works: the environment with its lab's hosts put in, the stack, its secrets, and how to log in."""

from __future__ import annotations

import contextlib
import os
import secrets as random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway import report
from slipway.errors import BadInput, SlipwayError
from slipway.host import sshkey
from slipway.plan.operation import Operation
from slipway.settings import load
from slipway.settings.model import Environment, Host, Registry, Stack, StackEntry
from slipway.target.compose import lease
from slipway.target.compose.facts import HostFacts
from slipway.target.compose.session import Access, HostSession, LoginRefused

if TYPE_CHECKING:
    from slipway.host.verify import Suite, VerifyResult
    from slipway.lab.state import LabHost, LabRegistry, LabState


@dataclass(frozen=True)
class Workplace:
    """What every verb that acts on hosts works with."""

    env: Environment
    entry: StackEntry
    stack: Stack
    access: Access
    secrets: Mapping[str, str] = field(repr=False)
    registry_password: str | None = field(default=None, repr=False)
    lab: LabState | None = None
    backup_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def url(self) -> str:
        """The front door's address, as a person on this machine opens it."""
        if self.lab:
            return f"http://127.0.0.1:{self.lab.hosts[0].published[self.entry.port]}"
        host = self.entry.domain or self.env.hosts[0].address
        return f"http://{host}" + ("" if self.entry.port == 80 else f":{self.entry.port}")

    @property
    def auth(self) -> dict[str, str] | None:
        """The registry's credentials for pulling."""
        registry = self.env.registry
        if not registry or not registry.username or not self.registry_password:
            return None
        return {
            "username": registry.username,
            "password": self.registry_password,
            "serveraddress": registry.seen_by_hosts,
        }

    @contextlib.contextmanager
    def sessions(self) -> Iterator[dict[str, HostSession]]:
        """Open a session with every host, side by side; close them in the end.

        Raises:
            LoginRefused: a host has not been provisioned.
            BadInput: a host key is unknown or not the known one.
            SlipwayError: a host can't be reached.
        """
        opened = [HostSession(host, self.access) for host in self.env.hosts]
        with contextlib.ExitStack() as stack:
            for session in opened:
                stack.callback(session.close)
            with ThreadPoolExecutor(len(opened)) as pool:
                list(pool.map(lambda s: s.__enter__(), opened))
            yield {session.host.name: session for session in opened}

    def look(self) -> tuple[str, Operation]:
        """Return the operation that has a host tell its facts, and the word with which it tells secrets."""
        challenge = random.token_hex(16)
        params = {"challenge": challenge, "secrets": sorted(self.secrets)}
        return challenge, Operation("facts", "look at the host", params)

    def ask(self, sessions: Mapping[str, HostSession], question: Operation) -> dict[str, dict[str, Any]]:
        """Return what every host answers, side by side."""
        with ThreadPoolExecutor(len(sessions)) as pool:
            told = pool.map(lambda s: s.perform(self.stack.name, [question])[0], sessions.values())
            return dict(zip(sessions, told, strict=True))


def find(
    env_name: str,
    stack_name: str | None,
    *,
    yes: bool = False,
    start: bool = True,
    mounts: Sequence[Path] = (),
    secrets: bool = True,
) -> Workplace | None:
    """Return the workplace of an environment; a lab environment's lab is started.

    Args:
        env_name: as in `--env`.
        stack_name: as in `--stack` (None: the first).
        yes: agree to installing a container engine.
        start: start the lab where it does not run; otherwise None is returned for a lab that is not there.
        mounts: folders of this machine that a lab's hosts see at the same path.
        secrets: read the secrets, which needs the vault's password; verbs that give none to a host do without.

    Raises:
        BadInput: settings or stack are wrong, secrets are missing or can't be opened; the environment is on a cluster.
        SlipwayError: there is no engine, or the lab does not start.
    """
    env, entry, stack = load.load(env_name, stack_name)
    if env.target == "kubernetes":
        raise BadInput(
            f"this verb does not work on a cluster yet, and {env_name} is on one", where=f"envs/{env_name}.yml",
            todo="docs/kubernetes.md tells what works, and what to do instead",
        )  # fmt: skip
    lab = _lab(env, yes, start, mounts)
    if env.lab and lab is None:
        return None
    if lab:
        env = _with_lab(env, lab)
        access = Access(Path(lab.key_file), Path(lab.known_hosts))
    else:
        sshkey.offer()
        access = Access(None, load.root() / "envs" / "known_hosts")
    if not secrets:
        return Workplace(env, entry, stack, access, {}, None, lab)
    values, password, backup = _secrets(env, stack)
    return Workplace(env, entry, stack, access, values, password, lab, backup)


def _secrets(env: Environment, stack: Stack) -> tuple[dict[str, str], str | None, dict[str, str]]:
    from slipway.settings import secrets

    values = {name: secret.reveal() for name, secret in secrets.read(env, stack).items()}
    password = secrets.registry_password(env)
    backup = {n: s.reveal() for n, s in secrets.backup_secrets(env).items()} if stack.kept else {}
    return values, password.reveal() if password else None, backup


def _lab(env: Environment, yes: bool, start: bool, mounts: Sequence[Path]) -> LabState | None:
    if not env.lab:
        return None
    from slipway.lab import engine, lab

    if not start:
        return lab.state(env.name)
    engine.ensure(yes)
    owner = os.environ.get("SLIPWAY_LAB_OWNER")  # tests: the lab goes when this process does
    ports = tuple(sorted({s.port for s in env.stacks}))
    return lab.up(
        env.name,
        hosts=env.lab.hosts,
        kind=env.lab.kind,
        ports=ports,
        mounts=mounts,
        owner_pid=int(owner) if owner else None,
        settings=lambda: _settings_in_lab(env),
    )


def _settings_in_lab(env: Environment) -> str:
    """Return the digest of what a lab's only host is provisioned with; "" where hosts know each other's addresses."""
    from slipway.host.inventory import digest, needs
    from slipway.lab.state import LabHost, LabRegistry

    if env.lab is None or env.lab.hosts != 1:
        return ""
    host = LabHost("app1", container="", address="host.invalid")
    alike = _in_lab(env, (host,), LabRegistry(push="registry.invalid"))
    try:
        return digest(alike, needs([load.stack(env, entry.name) for entry in env.stacks]))
    except BadInput:  # who provisions it tells that
        return ""


def _with_lab(env: Environment, lab: LabState) -> Environment:
    return _in_lab(env, lab.hosts, lab.registry)


def _in_lab(env: Environment, hosts: Sequence[LabHost], registry: LabRegistry) -> Environment:
    own = tuple(Host(name=h.name, address=h.address, port=h.port, user=h.user, admin=h.admin) for h in hosts)
    named = Registry(push=registry.push, pull=registry.pull, insecure=True, mirror=True)
    return env.model_copy(update={"hosts": own, "registry": named})


@dataclass(frozen=True)
class Open:
    """Sessions with every host, and what the hosts said when they were opened.

    Args:
        place: where.
        sessions: by host.
        about: what is to be known before a run begins (see `slipway.agent.facts.about`).
        facts: all that is true there; {} where nobody asked yet.
        challenge: the word with which secrets are told in them.
    """

    place: Workplace
    sessions: Mapping[str, HostSession]
    about: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, HostFacts] = field(default_factory=dict)
    challenge: str = ""

    def again(self) -> Open:
        """Return the same with fresh facts."""
        challenge, question = self.place.look()
        told = self.place.ask(self.sessions, question)
        facts = {name: HostFacts(name, raw) for name, raw in told.items()}
        return Open(self.place, self.sessions, told, facts, challenge)


@contextlib.contextmanager
def opened(place: Workplace, *, prepare: bool, look: bool = True) -> Iterator[Open]:
    """Open sessions with every host and look at them.

    Args:
        place: where.
        prepare: provision a lab's hosts first, where they are not, or not by this playbook and these settings.
        look: ask for all facts; a run does that itself, once it has the lease.

    Raises:
        SlipwayError: a rented host has not been provisioned; the message says how.
    """
    for may_provision in (prepare and place.lab is not None, False):
        try:
            with place.sessions() as sessions:
                about = place.ask(sessions, Operation("host.about", "look at the host"))
                outdated = _outdated(place, about)
                if not (outdated and may_provision):
                    for name in outdated if prepare else ():
                        report.say(
                            f"! {name} was provisioned otherwise: inv provision --env {place.env.name} brings it up to date"
                        )
                    hosts = Open(place, sessions, about)
                    yield hosts.again() if look else hosts
                    return
        except LoginRefused as error:
            if not may_provision:
                raise unprovisioned(place, error) from error
        provision(place)


def unprovisioned(place: Workplace, error: LoginRefused) -> SlipwayError:
    """Return the error of a host that has not been provisioned, with what to type."""
    todo = f"inv provision --env {place.env.name}"
    return SlipwayError(error.what, where=error.where, seen=error.seen, todo=todo)


def _outdated(place: Workplace, about: Mapping[str, Mapping[str, Any]]) -> list[str]:
    from slipway.host.inventory import digest, needs

    wanted = digest(place.env, needs(all_stacks(place)))
    return [name for name, told in about.items() if (told["provisioned"] or {}).get("digest") != wanted]


def provision(place: Workplace) -> None:
    """Provision the hosts and verify them, while nobody deploys to them.

    Raises:
        LeaseHeld: somebody does.
        SlipwayError: the playbook or its verification failed.
    """
    from slipway.host import inventory, provision

    keys = place.access
    needed = inventory.needs(all_stacks(place))
    with lease.held(place.env, keys, [stack.name for stack in place.env.stacks]):
        provision.provision(place.env, needed=needed, key_file=keys.key_file, known_hosts=keys.known_hosts)
        verify_hosts(place)
    if place.lab and place.env.lab and place.env.lab.kind == "provisioned":
        from slipway.lab import frozen

        settings = inventory.digest(place.env, needed) if len(place.env.hosts) == 1 else ""
        frozen.freeze(place.lab.hosts[0], settings)


def all_stacks(place: Workplace) -> list[Stack]:
    """Return every stack of the environment: hosts are provisioned for all of them."""
    return [place.stack if e.name == place.stack.name else load.stack(place.env, e.name) for e in place.env.stacks]


def verify_hosts(place: Workplace, suite: Suite = "provision") -> None:
    """Run `provision` or `logs`, which compare hosts with the environment. Raise SlipwayError where it fails."""
    from slipway.host import inventory, verify

    keys = place.access
    facts = {"provision": inventory.variables(place.env, inventory.needs(all_stacks(place)))}
    found = verify.verify(place.env, suite, facts, key_file=keys.key_file, known_hosts=keys.known_hosts)
    refuse_findings(place, suite, found)


def refuse_findings(place: Workplace, step: str, found: VerifyResult) -> None:
    """Raise SlipwayError where a suite found something that is not as it should be."""
    for finding in found.failures:
        report.annotate(finding.message, title=f"{finding.host}: {finding.test}")
    if found.failed:
        todo = f"mend it; inv verify --env {place.env.name} --step {step} looks again"
        raise SlipwayError(f"{found.failed} checks of the suite {step} failed", seen=found.text(), todo=todo)
