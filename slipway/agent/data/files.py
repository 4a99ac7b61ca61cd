"""Files: in a service's volumes, or in its image. Hashed while restic reads them.

They are stored under the paths that the service's containers know them by.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import engine, router
from ..failure import OperationFailed
from ..state import StackHome
from . import keep, pod
from .restic import Repository, Watch, host

CONFIGURATION = "/configuration"
"""Where the environment's own configuration is stored in its part."""

_SUM = re.compile(r"([0-9a-f]{64})  (/.*)")
_ABOUT = re.compile(r"(\d+) ([0-7]+) (/.*)")

# What restic stores it tells by name; sizes, modes and sums are looked up meanwhile.
_SCRIPT = """
tags=$1; host=$2; shift 2
touch /tmp/begin
look() { find "$@" -name '.slipway-*' -prune -o \\( -type f -o -type d \\) -print0 | xargs -0 -r stat -c '%%s %%a %%n' || true; }
sum() { find "$@" -name '.slipway-*' -prune -o -type f -print0 | xargs -0 -r sha256sum || true; }
( look "$@" > /tmp/about; sum "$@" > /tmp/sums ) 2> /tmp/unread &
%(restic)s backup --json --verbose=2 --retry-lock 2m --host "$host" --tag "$tags" \\
    --exclude '.slipway-*' -- "$@" || { code=$?; [ $code = 3 ] || exit $code; echo; echo 'slipway unread'; }
wait
echo; echo 'slipway about'; cat /tmp/about
echo 'slipway sums'; cat /tmp/sums
echo 'slipway changed'; find "$@" -type f -newer /tmp/begin
"""


@dataclass(frozen=True)
class Source:
    """Where kept files are: the image of a container that sees them, and its mounts."""

    image: str
    mounts: tuple[str, ...]


class _Heard(Watch):
    """Sorts what the script says: restic's own words, with what it stored by name; what is known of that; what changed."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        super().__init__(progress)
        self.stored: list[str] = []
        self.about: dict[str, tuple[int, int]] = {}
        self.sums: dict[str, str] = {}
        self.changed: set[str] = set()
        self.unread = False
        self._section = ""

    def __call__(self, line: str) -> None:
        text = line.rstrip("\n")
        if line.startswith("slipway "):
            self._section = line.split()[1]
            self.unread = self.unread or self._section == "unread"
        elif self._section in ("", "unread"):
            super().__call__(line)
        elif self._section == "changed":
            self.changed.add(text)
        # Names with odd characters are told in a way of sha256sum's own, or on two lines: such a file has no sum.
        elif self._section == "sums" and (sum_ := _SUM.fullmatch(text)):
            self.sums[sum_[2]] = sum_[1]
        elif self._section == "about" and (told := _ABOUT.fullmatch(text)):
            self.about[told[3]] = (int(told[1]), int(told[2], 8))

    def item(self, value: dict[str, Any]) -> None:
        """Take the name of a file, or a folder (it ends with a slash), that is in the snapshot."""
        if value.get("action") in ("new", "modified", "unchanged"):
            self.stored.append(value["item"])

    @property
    def files(self) -> dict[str, list[Any]]:
        """Size, mode and SHA-256 of what was stored; no sum of what changed meanwhile."""
        names = (path for path in self.stored if not path.endswith("/"))
        return {p: [*self.about.get(p, (0, 0)), None if p in self.changed else self.sums.get(p)] for p in names}

    @property
    def folders(self) -> dict[str, int]:
        """Modes of the folders that were stored."""
        names = (path.rstrip("/") or "/" for path in self.stored if path.endswith("/"))
        return {p: self.about.get(p, (0, 0))[1] for p in names}


def container_of(home: StackHome, service: str) -> dict[str, Any]:
    """Return a service's container (an inspection): of the release that serves, and one that runs, where there are such.

    Raises:
        OperationFailed: it has none.
    """
    if pod.NAME:
        return pod.container(service)
    found = engine.containers(slipway_stack=home.stack, slipway_service=service)
    found = [c for c in found if "slipway.task" not in c["Config"]["Labels"]]
    serving: set[str] = set()
    with contextlib.suppress(OperationFailed, OSError):  # a router that does not answer is no reason to lose data
        serving = router.sends_to(home.stack)

    def rank(container: dict[str, Any]) -> tuple[bool, bool, str]:
        release = container["Config"]["Labels"].get("slipway.release")
        return release in serving, container["State"]["Running"], container["Created"]

    if not found:
        raise OperationFailed(f"{service} has no container", "its files are looked for there", service=service)
    return max(found, key=rank)


def source(container: dict[str, Any], kept: keep.Kept, own_image: str) -> Source:
    """Return where a service's kept files are: in volumes, which restic's own image can mount, or some of them in its image."""
    mounts = {}
    for path in kept.paths:
        of = [m for m in container["Mounts"] if (path + "/").startswith(m["Destination"].rstrip("/") + "/")]
        if of:
            mount = max(of, key=lambda m: len(m["Destination"]))
            mounts[path] = f"{mount.get('Name') or mount['Source']}:{mount['Destination']}:ro"
    whole = all(path in mounts for path in kept.paths)
    return Source(own_image if whole else container["Image"], tuple(sorted(set(mounts.values()))))


def dump(repository: Repository, kept: keep.Kept, tags: str, progress: Callable[[int], None]) -> dict[str, Any]:
    """Store files; return their part of the manifest.

    Args:
        repository: where.
        kept: what; of kind `configuration`: the environment's own.
        tags: of the snapshot.
        progress: told the bytes that were read so far.

    Raises:
        OperationFailed: a path is not there, there is no file in them, one can't be read, or the stack's own command failed.
    """
    if kept.kind == "configuration":
        folder = keep.folder(repository.home) / "configuration"  # in a pod it is where it is read
        where = Source(repository.document.image, (f"{folder}:{CONFIGURATION}:ro",))
        return _store(repository, kept, (CONFIGURATION,), where, tags, progress)
    container = container_of(repository.home, kept.service)
    asked = "scope=safety" not in tags.split(
        ","
    )  # for a restore the apps have been stopped: their files rest by themselves
    if asked:
        _exec(container, kept, kept.before)
    try:
        where = source(container, kept, repository.document.image)
        return _store(repository, kept, kept.paths, where, tags, progress)
    finally:
        if asked:
            _exec(container, kept, kept.after)


def _exec(container: dict[str, Any], kept: keep.Kept, command: tuple[str, ...]) -> None:
    """Run a command of the stack's in its service, if there is one."""
    if not command:
        return
    code, out, err = engine.command(["docker", "exec", container["Id"], *command], timeout=3600)
    if code != 0:
        lines = "\n".join((out + err).strip().splitlines()[-10:])
        what = f"{' '.join(command)} failed in {kept.service}"
        raise OperationFailed(what, f"{lines}\n(exit code {code})", service=kept.service)


def _tells_error(line: str) -> bool:
    """Tell whether a line is restic's word on one file. With `--json` these are on standard error."""
    with contextlib.suppress(ValueError, AttributeError):
        return bool(json.loads(line).get("message_type") == "error")
    return False


def _store(
    repository: Repository,
    kept: keep.Kept,
    paths: tuple[str, ...],
    where: Source,
    tags: str,
    progress: Callable[[int], None],
) -> dict[str, Any]:
    job = repository.job("files", image=where.image, mounts=where.mounts)
    heard = _Heard(progress)
    done = job.do(_SCRIPT % {"restic": job.restic}, tags, host(repository.document)[1], *paths, line=heard)
    repository.check(f"the files of {kept.service} could not be read", heard.with_errors(done))
    summary = heard.ended(done)
    # What is gone meanwhile is no error, and is not stored.
    errors = [line for line in (*heard.errors, *done.err.splitlines()) if _tells_error(line)]
    unread = [line for line in errors if "no such file" not in line]
    if heard.unread and not errors:
        unread = ["restic does not say which"]
    files, folders = heard.files, heard.folders
    missing = [p for p in paths if p not in files and p not in folders]
    if unread or missing or not files:
        seen = "".join(unread[:5]) or ", ".join(missing or paths)
        what = "could not all be read" if unread else f"are not there: {kept.service} has no"
        raise OperationFailed(f"the files of {kept.service} {what}", seen, service=kept.service)
    return {
        "snapshot": summary["snapshot_id"],
        "bytes": summary["total_bytes_processed"],
        "added": summary["data_added_packed"],
        "paths": list(paths),
        "image": where.image,
        "files": files,
        "folders": {p: m for p, m in folders.items() if any((p + "/").startswith(q + "/") for q in paths)},
    }
