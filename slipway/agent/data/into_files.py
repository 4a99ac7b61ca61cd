"""Files back into volumes: restored beside what is there, compared, then moved. Those of an image are compared only."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..failure import OperationFailed
from . import compare, keep
from .into_redis import CAPABILITIES
from .moving import CLEAN, NEW, RECOVER, SWAP, SWAP_ONE
from .restic import Repository

_SUM = re.compile(r"slipway (\d+) ([0-9a-f]{64})  (.*)", re.DOTALL)

_EACH = (
    """-type f -exec sh -c 'for f; do printf "slipway %s %s\\0" "$(stat -c %s "$f")" """
    """"$(sha256sum < "$f" | cut -c1-64)  $f"; done' sh {} +"""
)
"""For `find`: tells size, SHA-256 and path of each file."""

# `restic restore ID:/folder` takes a folder; a single file is taken out of the folder that it is in.
_LOAD = """
new=$1; id=$2; folder=$3; only=$4; mount=$5
[ -z "$mount" ] || {{ recover "$mount"; rm -rf "$mount/.slipway-new"; rm -rf "$mount/.slipway-old"; }}
mkdir -p "$new"
if [ -n "$only" ]; then set -- --include "/$only"; else set --; fi
{restic} restore --no-lock --target "$new" "$@" "$id:$folder" > /tmp/read 2>&1 || {{ tail -n 20 /tmp/read >&2; exit 1; }}
cd "$new"
find . {each}
if [ -n "$only" ]; then cd ..; mv -T -- "$new/$only" "${{new%.folder}}"; rmdir "$new"; fi
"""

_SUMS = f"""
for path; do find "$path" {_EACH}; done
"""


def load(
    repository: Repository,
    kept: keep.Kept,
    part: Mapping[str, Any],
    targets: Sequence[Mapping[str, str]],
    progress: Callable[[str], None],
) -> list[str]:
    """Restore files beside what is there; return what is not as the manifest says.

    Args:
        repository: where they are.
        kept: whose.
        part: what the manifest says of them.
        targets: for each path in a volume: `path`, `volume`, `mount`.
        progress: told how far it is.

    Raises:
        OperationFailed: they can't be read, or there is no room.
    """
    found: list[str] = []
    begun: set[str] = set()
    for number, target in enumerate(targets):
        path, mount = target["path"], target["mount"]
        progress(f"{kept.service} {path}, {part['bytes'] / 1e6:.0f} MB in all")
        whole = path not in part["files"]
        folder, only = (path, "") if whole else posixpath.split(path)
        below = f"{mount}/{NEW}" + ("" if path == mount else f"/{number}" if whole else f"/{number}.folder")
        first = "" if target["volume"] in begun else mount  # what a killed restore left there is removed
        begun.add(target["volume"])
        job = _job(repository, "load", target)
        heard: list[str] = []
        done = job.do(
            RECOVER + _LOAD.format(restic=job.restic, each=_EACH), below, str(part["snapshot"]), folder, only, first,
            line=heard.append,
        )  # fmt: skip
        repository.check(f"the files of {kept.service} could not be restored", done)
        found += compare.files(part, path, heard_files("".join(heard), folder))
    return found


def _job(repository: Repository, word: str, target: Mapping[str, str]) -> Any:
    volume = f"{target['volume']}:{target['mount']}"
    return repository.job(word, mounts=(volume,), capabilities=CAPABILITIES)


def heard_files(text: str, folder: str) -> dict[str, tuple[int, str]]:
    """Return size and SHA-256 by path of what `find` told, NUL after each, of files below a folder."""
    found = {}
    for line in text.split("\0"):
        match = _SUM.fullmatch(line)
        if match:
            path = match[3] if match[3].startswith("/") else posixpath.normpath(posixpath.join(folder, match[3]))
            found[path] = (int(match[1]), match[2])
    return found


def swap(repository: Repository, kept: keep.Kept, targets: Sequence[Mapping[str, str]]) -> None:
    """Put what was restored in the place of what is there. Raises OperationFailed."""
    what = f"the files of {kept.service} could not be put in place"
    for number, target in enumerate(targets):
        path, mount = target["path"], target["mount"]
        job = _job(repository, "swap", target)
        if path == mount:
            repository.check(what, job.do(SWAP, mount))
        else:
            repository.check(what, job.do(SWAP_ONE, mount, posixpath.relpath(path, mount), str(number)))
    clean(repository, [t for t in targets if t["path"] != t["mount"]])


def clean(repository: Repository, targets: Sequence[Mapping[str, str]]) -> None:
    """Remove what restores have left in volumes. Raises OperationFailed."""
    for target in {t["volume"]: t for t in targets}.values():
        job = _job(repository, "clean", target)
        done = job.do(CLEAN, target["mount"])
        repository.check("what a restore left could not be removed", done)


def in_image(repository: Repository, part: Mapping[str, Any], image: str, paths: Sequence[str]) -> list[str]:
    """Compare files that an image carries with those that were backed up; return the differences. Raises OperationFailed."""
    heard: list[str] = []
    done = repository.job("look", image=image, network="none").do(_SUMS, *paths, line=heard.append)
    if done.code:
        raise OperationFailed("the files of an image could not be read", f"{image}\n{done.err.strip()}")
    here = heard_files("".join(heard), "/")
    return [finding for path in paths for finding in compare.files(part, path, _below(here, path))]


def _below(files: Mapping[str, tuple[int, str]], path: str) -> dict[str, tuple[int, str]]:
    return {p: v for p, v in files.items() if p == path or p.startswith(f"{path.rstrip('/')}/")}
