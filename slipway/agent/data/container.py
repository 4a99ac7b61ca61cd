"""A throw-away container with restic in it, of whatever image has the tools that the work needs.

The dump of a database then runs beside restic in one container of the server's own image: nothing of the stream passes through
the engine, and restic knows how the dump ended.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from .. import engine
from ..failure import OperationFailed
from ..state import StackHome, write_json
from . import keep, pod, program

RESTIC = "/slipway/restic"
"""Where a container finds restic."""
PASSWORD = "/run/slipway-password"  # noqa: S105 - where a container finds that of a database
AUTHORITIES = "/slipway/ca.pem"
"""The certificates of authorities, from restic's image too: a database's image has none."""
SECRETS = "/run/slipway"
TASK = engine.TASK
"""The label that tells throw-away containers of data from others."""
CACHE = "slipway-restic-cache"

# Credentials of the storage are variables to restic: from files, since `docker inspect` shows those that a container is given.
_PRELUDE = f"""
for f in {SECRETS}/env.*; do [ -e "$f" ] && export "${{f##*/env.}}=$(cat "$f")"; done
"""
# `docker run` takes one network.
_CONNECTED = """
network=$1; name=$2; shift 2
"$@" > /dev/null && docker network connect "$network" "$name" && exec docker start --attach --interactive "$name"
"""
_AGAIN = "retrying after"
_FULL = re.compile(r"\b507\b|no space left|quota", re.IGNORECASE)
"""What restic's words have where a storage is full."""
_TOLD = 200
"""Lines of standard error that are kept."""


@dataclass
class Done:
    """How a container ended: exit code, standard output (where nobody was told its lines), the last of standard error."""

    code: int
    out: str = ""
    err: str = ""


@dataclass(frozen=True)
class Job:
    """A throw-away container.

    Args:
        home: the stack's folder.
        run: name of the run that it belongs to.
        name: what it does, in a word.
        document: what the stack keeps.
        image: its image (default: restic's).
        network: as `docker run --network` (default: none for a repository that is a path, else the engine's own).
        second: one more network, by name.
        mounts: more of `docker run --volume`.
        variables: environment variables; no secrets.
        capabilities: more than reading all files.
        tell: told when restic tries something again: it goes on with that for a quarter of an hour.
    """

    home: StackHome
    run: str
    name: str
    document: keep.Document
    image: str = ""
    network: str = ""
    second: str = ""
    mounts: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    tell: Callable[[str], None] = lambda _: None

    @property
    def container(self) -> str:
        """Its name."""
        return f"slipway-{self.home.stack}-{self.run}-{self.name}"

    @property
    def restic(self) -> str:
        """The command, for scripts. A repository on the host's own disk needs no cache; another one, who signed whom."""
        local = keep.is_local(self.document.repository)
        return RESTIC + (" --no-cache" if local else "") + (f" --cacert {AUTHORITIES}" if self._authorities else "")

    @property
    def _authorities(self) -> Path | None:
        if pod.NAME:
            return Path(AUTHORITIES) if Path(AUTHORITIES).exists() else None
        path = program.binary(self.document.image).with_suffix(".pem")
        return path if path.exists() and self.network != "none" else None

    def argv(self, script: str, words: Iterable[str], *, hostname: str = "", init: bool = True) -> list[str]:
        """Return the command that runs a shell script in it, with words as its arguments."""
        if pod.NAME:
            return self._in_pod(script, words)
        made = self.document
        local = keep.is_local(made.repository)
        argv = (
            ["sh", "-c", _CONNECTED, "sh", self.second, self.container, "docker", "create"]
            if self.second
            else ["docker", "run"]
        )
        argv += ["--rm", "-i", "--name", self.container, "--hostname", hostname or hostname_of(self.run)]
        if self.network.startswith("container:"):
            del argv[-2:]  # it has that one's
        argv += ["--init"] if init else []
        argv += ["--network", self.network or ("none" if local else "bridge"), "--pull", "never", "--user", "0:0"]
        argv += ["--memory", f"{made.memory}m", "--pids-limit", "200", "--security-opt", "no-new-privileges"]
        argv += ["--cap-drop", "ALL", "--tmpfs", "/tmp:size=64m", "--read-only", "--log-driver", "none"]  # noqa: S108 - its own
        argv += [w for c in ("DAC_READ_SEARCH", *self.capabilities) for w in ("--cap-add", c)]
        labels = {"slipway.stack": self.home.stack, "slipway.role": "job", TASK: self.name, "slipway.run": self.run}
        argv += [w for k, v in labels.items() for w in ("--label", f"{k}={v}")]
        argv += [w for k, v in self._variables.items() for w in ("--env", f"{k}={v}")]
        argv += [w for m in self._mounts() for w in ("--volume", m)]
        return [*argv, "--entrypoint", "sh", self.image or made.image, "-euc", _PRELUDE + script, "sh", *words]

    def _in_pod(self, script: str, words: Iterable[str]) -> list[str]:
        of = pod.tool(self.image, self.mounts)
        variables = {**self._variables, "RESTIC_CACHE_DIR": f"/cache/{of}"}
        for mount in self.mounts:
            source, there = mount.split(":")[:2]
            variables |= {pod.WHERE_IT_OPENS: source} if there == PASSWORD else {}
        return pod.argv(self.container, of, _PRELUDE + script, words, variables)

    @property
    def _variables(self) -> dict[str, str]:
        return {
            "RESTIC_REPOSITORY_FILE": f"{SECRETS}/repository",
            "RESTIC_PASSWORD_FILE": f"{SECRETS}/password",
            "RESTIC_PROGRESS_FPS": "1",
            "RESTIC_CACHE_DIR": "/cache",
            **self.variables,
        }

    def _mounts(self) -> list[str]:
        made = self.document
        mounts = [f"{program.binary(made.image)}:{RESTIC}:ro", f"{keep.folder(self.home) / 'secrets'}:{SECRETS}:ro"]
        mounts += [f"{self._authorities}:{AUTHORITIES}:ro"] if self._authorities else []
        mounts += [f"{made.repository}:/repository"] if keep.is_local(made.repository) else []
        return [*mounts, f"{CACHE}:/cache", *self.mounts]

    def do(
        self,
        script: str,
        *words: str,
        stdin: str | None = None,
        line: Callable[[str], None] | None = None,
        timeout: float = 12 * 3600.0,
        hostname: str = "",
        init: bool = True,
    ) -> Done:
        """Run a shell script in it to its end; `line` is told each line of standard output as it comes.

        Raises:
            OperationFailed: the container could not be started.
        """
        argv = self.argv(script, words, hostname=hostname, init=init)
        done = _attached(argv, self.container, stdin, line, timeout, self.tell)
        if done.code == 125:
            what = f"the container {self.container} could not be started"
            raise OperationFailed(what, done.err.strip())
        return done


def hostname_of(run: str) -> str:
    """Return the host name of a run's containers; it tells whose a lock in the repository is (see `locks`)."""
    return host_prefix() if pod.NAME else f"{host_prefix()}{run}"


def host_prefix() -> str:
    """Return what the host names of all this host's containers begin with. All pods of a stack's data have one name."""
    if pod.NAME:
        return os.uname().nodename
    ident = Path("/etc/machine-id").read_text().strip() if Path("/etc/machine-id").exists() else "0"
    return f"slipway-{ident[:8]}-"


def _attached(
    argv: list[str],
    name: str,
    stdin: str | None,
    line: Callable[[str], None] | None,
    timeout: float,
    tell: Callable[[str], None],
) -> Done:
    """Run a container's command, with its name known to whoever ends this session."""
    lines: list[str] = []
    errors: list[str] = []
    full = threading.Event()

    def hear(text: str) -> None:
        _last(errors, text)
        if _AGAIN in text:
            tell(text.strip())
            if _FULL.search(text):  # that does not pass
                full.set()
                _end(argv, name)

    with engine.child(argv, container=name) as process:
        assert process.stdin and process.stdout and process.stderr  # noqa: S101 - asked for
        reading = [
            threading.Thread(target=_each, args=[process.stdout, line or lines.append], daemon=True),
            threading.Thread(target=_each, args=[process.stderr, hear], daemon=True),
        ]
        for thread in reading:
            thread.start()
        with contextlib.suppress(OSError):  # it may have ended before it read all
            if stdin:
                process.stdin.write(stdin)
            process.stdin.close()
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            _end(argv, name)
            code = process.wait()
            errors.append(f"did not end within {timeout:g} s")
        for thread in reading:
            thread.join(10)
    return Done(1 if full.is_set() else code, "".join(lines), "".join(errors))


def _end(argv: list[str], name: str) -> None:
    if pod.NAME:
        pod.kill(argv)
    else:
        engine.command(["docker", "rm", "--force", name])


def _each(stream: IO[str], told: Callable[[str], None]) -> None:
    for text in stream:
        told(text)


def _last(lines: list[str], text: str) -> None:
    lines.append(text)
    del lines[:-_TOLD]


def remove_containers(home: StackHome, runs: Iterable[str]) -> None:
    """Remove the throw-away containers that killed runs left."""
    runs = set(runs)
    for container in engine.containers(slipway_stack=home.stack, slipway_task=""):
        if container["Config"]["Labels"].get("slipway.run") in runs:
            engine.api("DELETE", f"/containers/{container['Id']}", force="true", v="true")


def note(home: StackHome, name: str, value: object) -> None:
    """Write one of the small files that backups leave beside the document."""
    write_json(keep.folder(home) / name, value)
