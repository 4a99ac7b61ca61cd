"""Provisioning: ansible/provision.yml run against an environment's hosts; its events are progress, its end a value."""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from slipway import report
from slipway.errors import BadInput, SlipwayError
from slipway.host import ssh
from slipway.host.events import Change, Events, Trouble
from slipway.host.inventory import ANSIBLE, NOTHING, Needs, digest, inventory, needs, variables
from slipway.process import Completed, run
from slipway.settings.model import Environment

__all__ = ["Needs", "ProvisionResult", "digest", "needs", "preview", "provision", "variables"]

_STATE = ANSIBLE.parent / ".slipway" / "ansible"


@dataclass(frozen=True)
class ProvisionResult:
    """What provisioning changed, or would change."""

    changes: tuple[Change, ...] = ()

    @property
    def total(self) -> int:
        """How many changes there were on all hosts."""
        return len(self.changes)


def preview(env: Environment, *, key_file: Path | None, known_hosts: Path, needed: Needs = NOTHING) -> ProvisionResult:
    """Return what `provision` would change, without changing anything (Ansible's --check --diff)."""
    return provision(env, key_file=key_file, known_hosts=known_hosts, needed=needed, check=True)


def provision(
    env: Environment, *, key_file: Path | None, known_hosts: Path, needed: Needs = NOTHING, check: bool = False
) -> ProvisionResult:
    """Bring every host of `env` to the state that ansible/ describes. Idempotent.

    Args:
        env: the environment, with its hosts and registry (a lab's are already in it).
        key_file: private key of the hosts' `admin`; None leaves the choice to the agent and the user's default keys.
        known_hosts: the only file whose host keys count.
        needed: what its stacks need of the hosts.
        check: only tell what would change.

    Raises:
        BadInput: a host's key is unknown or has changed, or `user` and `admin` are one; nothing was touched.
        SlipwayError: a host cannot be reached, or a task failed.
    """
    _refuse_one_user_for_both(env)
    title = f"{'Compare' if check else 'Provision'} {', '.join(host.name for host in env.hosts)}"
    with report.step(title) as step, tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        events = Events(say=step.say)
        path, config = Path(folder) / "inventory.json", Path(folder) / "ssh_config"
        config.write_text(ssh.config(env.hosts, key_file=key_file, known_hosts=known_hosts))
        path.write_text(json.dumps(inventory(env, needed, key_file=key_file, ssh_config=config)))
        completed = _run(path, events, check=check)
        _judge(env, events, completed, known_hosts)
        result = ProvisionResult(tuple(events.changes))
        step.done(_outcome(result, check=check))
    for note, names in events.notes.items():
        report.say(f"  {', '.join(sorted(names))}: {note}")
    return result


def _refuse_one_user_for_both(env: Environment) -> None:
    same = [host for host in env.hosts if host.user in (host.admin, "root")]
    if same:
        # Provisioning takes sudo and all groups but docker from the user that deploys.
        names, user = ", ".join(host.name for host in same), same[0].user
        todo = f"set `user` of {names} to one that `inv provision` may create, e.g. deploy"
        raise BadInput(f"{user} cannot be the user that deploys: it administers the host", where=names, todo=todo)


def _run(inventory_file: Path, events: Events, *, check: bool) -> Completed:
    program = Path(sys.executable).with_name("ansible-playbook")
    argv: list[str | Path] = [program, "--inventory", inventory_file, "provision.yml"]
    return run(
        [*argv, *(["--check", "--diff"] if check else [])],
        cwd=ANSIBLE,
        env=_environment(inventory_file.parent),
        check=False,
        on_line=events.feed,
    )


def _environment(folder: Path) -> dict[str, str]:
    """Return the variables that make a run independent of the person's own Ansible settings, and leave no litter."""
    values = {
        "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"),
        "ANSIBLE_HOME": str(_STATE),
        "ANSIBLE_STDOUT_CALLBACK": "slipway",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder),
        "ANSIBLE_NOCOLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "",
        # Ansible refuses to work where the locale is not UTF-8.
        "LC_ALL": "C.UTF-8",
    }
    mitogen = importlib.util.find_spec("ansible_mitogen")
    if mitogen and mitogen.submodule_search_locations:
        # Keeps one Python process on each host instead of copying a module for each task: three times as fast.
        strategies = Path(mitogen.submodule_search_locations[0]) / "plugins" / "strategy"
        values |= {"ANSIBLE_STRATEGY_PLUGINS": str(strategies), "ANSIBLE_STRATEGY": "mitogen_linear"}
        values["ANSIBLE_SSH_ARGS"] = "-o ControlMaster=no"
    else:
        values["ANSIBLE_SSH_ARGS"] = "-o ControlMaster=auto -o ControlPersist=15s"
    return values


def _judge(env: Environment, events: Events, completed: Completed, known_hosts: Path) -> None:
    """Raise the error that the run's events tell."""
    hosts = {host.name: host for host in env.hosts}
    failures = [_failure(trouble) for trouble in events.troubles if not trouble.unreachable]
    failures += [
        ssh.failure(hosts[t.host], hosts[t.host].admin, known_hosts, t.message)
        for t in events.troubles
        if t.unreachable
    ]
    for failure in failures:
        report.annotate(str(failure), title=failure.where)
    if failures:
        # What is bad input goes first: its exit code says that a person has to change something.
        first, *rest = sorted(failures, key=lambda error: -error.exit_code)
        for other in rest:
            report.say(str(other))
        raise first
    if completed.code != 0 or not events.finished:
        raise SlipwayError(f"ansible-playbook exited {completed.code}", seen="\n".join(events.words[-15:]))


def _failure(trouble: Trouble) -> SlipwayError:
    if "sudo: a password is required" in trouble.message or "Missing sudo password" in trouble.message:
        return SlipwayError(
            "the admin user needs a password for sudo",
            where=trouble.host,
            todo="give it `NOPASSWD:ALL` in /etc/sudoers.d, at least while you provision",
        )
    message = "\n".join(trouble.message.strip().splitlines()[-12:])
    todo = "`inv provision` again once that is mended: it goes on where it stopped"
    return SlipwayError(f"provisioning failed at “{trouble.task}”", where=trouble.host, seen=message, todo=todo)


def _outcome(result: ProvisionResult, *, check: bool) -> str:
    if not result.total:
        return "nothing to change" if check else "nothing changed"
    noun = "change" if result.total == 1 else "changes"
    return f"{result.total} {noun}{' waiting' if check else ''}"
