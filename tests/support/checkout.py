"""Copies of this checkout, each with a repository, environments and labs of its own: commands run in them as a person types them.

What a test run leaves is removed at its end; where it was killed, labs go with its process (SLIPWAY_LAB_OWNER) and folders with
the next run.
"""

from __future__ import annotations

import compileall
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipway.lab import engine, names

ROOT = Path(__file__).resolve().parents[2]
PROC = Path("/proc")
_PREFIX = "slipway-test-"
_GIT = ("git", "-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")


@dataclass(frozen=True)
class Result:
    """What a command left: exit code, standard output and error, and how long it took."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float

    def json(self) -> Any:
        """Return standard output as one JSON document."""
        return json.loads(self.out)

    def ok(self) -> Result:
        """Return this where the command exited 0; else fail with what it said."""
        return self.exits(0)

    def exits(self, code: int) -> Result:
        """Return this where the command exited with `code` and no traceback; else fail with what it said."""
        said = f"inv {' '.join(self.argv)} exited {self.code}, not {code}, after {self.seconds:.1f} s\n{self.out}\n{self.err}"
        assert self.code == code, said
        assert "Traceback" not in self.err, said
        return self

    @property
    def text(self) -> str:
        """All that it said."""
        return self.out + self.err


class Running:
    """A command that runs beside the test."""

    def __init__(self, argv: tuple[str, ...], process: subprocess.Popen[str]) -> None:
        self.argv, self.process, self._begun = argv, process, time.monotonic()

    def result(self, timeout: float = 300) -> Result:
        """Wait for its end."""
        out, err = self.process.communicate(timeout=timeout)
        return Result(self.argv, self.process.returncode, out, err, time.monotonic() - self._begun)

    def kill(self) -> None:
        """End it as a crash would: SIGKILL, no chance to tidy up."""
        self.process.kill()
        self.process.communicate()


@dataclass
class Checkout:
    """A copy of the tree at `path`, with a commit of its own."""

    path: Path
    env: dict[str, str] = field(default_factory=dict)
    labs: set[str] = field(default_factory=set)

    def git(self, *argv: str) -> str:
        """Run git here and return what it printed."""
        return subprocess.run([*_GIT, *argv], cwd=self.path, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, message: str = "change") -> str:
        """Commit all that is there and return the short revision (10 digits, as versions have it)."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "--short=10", "HEAD")

    def write(self, path: str, text: str) -> Path:
        """Write a file of the tree."""
        file = self.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def read(self, path: str) -> str:
        """Return a file of the tree."""
        return (self.path / path).read_text()

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace the one place where `old` stands in a file of the tree."""
        text = self.read(path)
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {path}"
        self.write(path, text.replace(old, new))

    @contextlib.contextmanager
    def changed(self) -> Iterator[None]:
        """Take back, in the end, what the block changes in the tree; commits as well."""
        head = self.git("rev-parse", "HEAD")
        try:
            yield
        finally:
            self.git("reset", "--quiet", "--hard", head)
            self.git("clean", "--quiet", "-d", "--force")

    def start(self, *argv: str, **env: str) -> Running:
        """Start `inv ARGV` as a process of its own."""
        return self.start_as([".venv/bin/inv"], *argv, **env)

    def start_as(self, program: Sequence[str], *argv: str, **env: str) -> Running:
        """Start `inv ARGV` by way of another program (`program`, from this folder) that runs it."""
        self.labs.update(f.stem for f in (self.path / "envs").glob("*.yml") if f.stem != "vault")
        process = subprocess.Popen(
            [self.path / program[0], *program[1:], *argv],
            cwd=self.path,
            env={**clean_environment(), **self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return Running(argv, process)

    def inv(self, *argv: str, timeout: float = 400, **env: str) -> Result:
        """Run `inv ARGV` to its end."""
        return self.start(*argv, **env).result(timeout)

    def lab(self, env: str) -> dict[str, Any]:
        """Return the state of an environment's lab."""
        return dict(json.loads((self.path / ".slipway/lab" / env / "lab.json").read_text()))

    def container(self, env: str, host: str = "app1") -> str:
        """Return the container that is a lab host."""
        return str({h["name"]: h for h in self.lab(env)["hosts"]}[host]["container"])

    def on(self, env: str, *argv: str, host: str = "app1", check: bool = True, stdin: str | None = None) -> str:
        """Run a command as root on a lab host, past Slipway, and return what it printed."""
        done = engine.docker("exec", "-i", self.container(env, host), *argv, check=False, stdin=stdin)
        assert done.code == 0 or not check, f"{argv} on {host}: exit code {done.code}\n{done.out}{done.err}"
        return done.out.strip()

    def remove(self) -> None:
        """Remove the labs and the folder."""
        for name in sorted(self.labs):
            volume = f"slipway-{names.lab_id(name, self.path)}-backups"
            if (self.path / ".slipway/lab" / name).is_dir() or engine.docker(
                "volume", "inspect", volume, check=False
            ).code == 0:
                subprocess.run(
                    [self.path / ".venv/bin/inv", "lab.down", "--data", "--env", name], cwd=self.path, env=clean_environment(),
                    capture_output=True, check=False,
                )  # fmt: skip
        until = time.monotonic() + 6  # the labs' keepers see within two seconds that they are not needed any more
        while any((self.path / ".slipway/lock").glob("keeper-*")) and time.monotonic() < until:
            time.sleep(0.1)
        shutil.rmtree(self.path.parent, ignore_errors=True)


def make(env: Mapping[str, str] | None = None) -> Checkout:
    """Return a copy of this checkout's files, tracked or about to be, as a repository with one commit."""
    _sweep()
    base = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    path = base / "slipway"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in listed.split("\0"):
        if name and (ROOT / name).is_file():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, path / name)
    (path / ".venv").symlink_to(sys.prefix)
    checkout = Checkout(path, {"SLIPWAY_LAB_OWNER": str(os.getpid()), **(env or {})})
    checkout.git("init", "--quiet")
    (path / ".git/info/exclude").write_text("/.venv\n")
    checkout.commit("the tree under test")
    # As the launcher does: invoke switches writing bytecode off, and each start would compile anew.
    compileall.compile_dir(str(path / "slipway"), quiet=2)
    return checkout


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what would change how a command behaves."""
    strange = ("SLIPWAY_", "INVOKE_", "GITHUB_", "PYTEST_", "PYTHONDONTWRITEBYTECODE", "CI")
    return {k: v for k, v in os.environ.items() if not k.startswith(strange)}


def _sweep() -> None:
    """Remove the folders of test runs that were killed, once their labs are gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not (PROC / pid).exists():
            label = f"label={names.CHECKOUT}={folder / 'slipway'}"
            if not engine.docker("ps", "--all", "--quiet", "--filter", label, check=False).out.strip():
                volumes = engine.docker("volume", "ls", "--quiet", "--filter", label, check=False).out.split()
                if volumes:
                    engine.docker("volume", "rm", *volumes, check=False)
                shutil.rmtree(folder, ignore_errors=True)
