"""What a host remembers: release folders, the ledger, the journal, the fence. Files only; every write is atomic."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

from .failure import OperationFailed

HOME = Path(os.environ.get("SLIPWAY_HOME", "/var/lib/slipway"))


_TEMPORARY = ".writing-"
"""How the names of files begin that are being written. A crash may leave one; `sweep` removes those."""


def now() -> str:
    """Return this host's time as ISO 8601 in UTC, to the millisecond."""
    t = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) + f".{int(t * 1000) % 1000:03d}Z"


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Have an OSError tell the file: a full disk shows at a descriptor, which has no name."""
    try:
        yield
    except OSError as error:
        if error.errno and not error.filename:
            error.filename = str(path)
        raise


def write(path: Path, text: str, mode: int = 0o640) -> None:
    """Write `text` to `path` so that a reader, or a crash, sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{_TEMPORARY}{os.getpid()}-{threading.get_ident()}"  # nobody writes two files at once
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with _naming(path), os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(text.encode())
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> Any:
    """Return the JSON value in `path`, or None where there is none (or only half of one)."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, atomically."""
    write(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the JSON lines of `path`; a last line that a crash cut short is left out."""
    values = []
    with contextlib.suppress(FileNotFoundError):
        for line in path.read_text().splitlines():
            with contextlib.suppress(ValueError):
                values.append(json.loads(line))
    return values


def append_line(path: Path, value: dict[str, Any]) -> None:
    """Append one JSON line in one write."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
    try:
        # A crash may have cut the last line short: ours starts on a line of its own.
        size = os.fstat(descriptor).st_size
        cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        with _naming(path):
            os.write(descriptor, (("\n" if cut else "") + json.dumps(value, sort_keys=True) + "\n").encode())
    finally:
        os.close(descriptor)


class StackHome:
    """The folder of one stack on this host."""

    def __init__(self, stack: str) -> None:
        self.stack = stack
        self.path = HOME / "stacks" / stack
        self.releases = self.path / "releases"
        self.accessories = self.path / "accessories"
        self.ledger = self.path / "ledger.jsonl"
        self.journal = self.path / "journal.jsonl"
        self.policy = self.path / "policy.json"
        self.schema = self.path / "schema.json"

    def release(self, release: str) -> Path:
        """Return the folder of a release."""
        return self.releases / release

    def meta(self, release: str) -> dict[str, Any]:
        """Return what is recorded of a release ({} where nothing is)."""
        return read_json(self.release(release) / "release.json") or {}

    def note(self, release: str, **facts: Any) -> None:
        """Record facts of a release, over what is recorded; nothing is written where all of it is known."""
        known = self.meta(release)
        if not known or {**known, **facts} != known:
            write_json(self.release(release) / "release.json", {**known, **facts})

    def known(self) -> list[str]:
        """Return the ids of the releases that have a folder."""
        if not self.releases.is_dir():
            return []
        return sorted(p.name for p in self.releases.iterdir() if (p / "release.json").exists())

    def activated(self, release: str) -> tuple[int, str]:
        """Return what sorts releases by when they went live: by run first, since clocks may be set back."""
        meta = self.meta(release)
        return meta.get("activated_run") or 0, meta.get("activated_at") or ""

    def environment(self) -> str | None:
        """Return the environment whose stack this is, None before its first run."""
        value = read_json(self.path / "environment.json")
        return value["name"] if value else None

    def belong_to(self, environment: str) -> None:
        """Record the environment whose stack this is."""
        if self.environment() != environment:
            write_json(self.path / "environment.json", {"name": environment})

    def unfinished(self) -> dict[str, Any] | None:
        """Return the run that was begun last and has not ended: `verb`, `by`, `command`, `release`, how far it came."""
        lines = read_lines(self.journal)
        if not lines or lines[-1]["event"] == "run.end":
            return None
        done = [line["kind"] for line in lines if line["event"] == "done"]
        switched = [line["release"] for line in lines if line.get("kind") == "router.apply"]
        release = switched[-1] if switched else lines[0].get("release")
        return {
            **lines[0],
            "last_done": done[-1] if done else None,
            "in_hand": lines[-1].get("kind"),
            "release": release,
        }

    def fence(self) -> int:
        """Return the highest fencing number seen on this host."""
        return int(read_json(self.path / "fence") or 0)

    def raise_fence(self, number: int) -> None:
        """Record a run's fencing number; refuse one that is older than the last."""
        if number < self.fence():
            raise OperationFailed(f"run {number} has been superseded by run {self.fence()}: nothing was done")
        if number > self.fence():
            write_json(self.path / "fence", number)

    @contextlib.contextmanager
    def exclusive(self, wait: float) -> Iterator[bool]:
        """Hold this host's lock for the stack: a run and the timer's tidying never act at once. Yields whether it is held."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "host.lock").open("a") as file:
            yield flock(file.fileno(), wait)


def flock(descriptor: int, wait: float) -> bool:
    """Take an exclusive lock, trying for `wait` seconds. Return whether it was got."""
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)


def write_secrets(folder: Path, secrets: dict[str, dict[str, Any]], keep: Set[str] = frozenset()) -> list[str]:
    """Write secret files that only the named user ids can read; return the names whose value changed.

    What is neither in `secrets` nor in `keep` is removed.

    Compose's file secrets keep the file's owner and mode, and the deploy user is not root: so the files stay 0600 and an ACL
    entry lets each container's user in.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    changed = []
    for name, secret in secrets.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != secret["value"].encode():
            changed.append(name)
            write(path, secret["value"], 0o600)
        entries = ",".join(f"u:{uid}:r" for uid in sorted(secret["readers"]))
        done = subprocess.run(["setfacl", "-b", "-m", entries, str(path)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise OperationFailed(f"secret {name} could not be handed to its readers", done.stderr)
    for path in folder.iterdir():
        if path.name not in secrets and path.name not in keep:
            path.unlink()
    return changed


def sweep(folder: Path) -> None:
    """Remove what a crash left half written below a folder."""
    for path in folder.rglob(f"{_TEMPORARY}*"):
        path.unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Remove a folder, whatever is in it."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
