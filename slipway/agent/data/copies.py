"""Copies of sets in further repositories, by `restic copy`: each set goes there whole, what is there already is passed over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..failure import OperationFailed
from . import keep
from .container import SECRETS, Done
from .restic import ANSWERS_WITHIN, TIMED_OUT, Repository, told

_NO_REPOSITORY = 10
_FROM = ("--from-repository-file", f"{SECRETS}/repository", "--from-password-file", f"{SECRETS}/password")
# A key for SFTP, where the environment has one; the host's own key has to be known.
_SSH = (
    f"sftp.args=-i {SECRETS}/ssh_key -o UserKnownHostsFile={SECRETS}/ssh_known_hosts -o StrictHostKeyChecking=yes"
    " -o BatchMode=yes -o ConnectTimeout=10"
)


def copy(repository: Repository, progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """Copy all whole sets that are not safety ones to each copy. Return `{url, ok, seen}` for each; nothing is raised."""
    urls = repository.document.copies
    if not urls:
        return []
    sets, _ = repository.seen or repository.sets()
    ids = [i for s in sets if s.scope != "safety" for i in s.ids]
    return [_copy(repository, n, url, ids, progress) for n, url in enumerate(urls)]


def _copy(
    repository: Repository, number: int, url: str, ids: list[str], progress: Callable[[str], None]
) -> dict[str, Any]:
    progress(f"copying to {url}")
    try:
        # restic itself would go on for a quarter of an hour with a storage that does not answer.
        there = _run(repository, number, url, f"timeout {ANSWERS_WITHIN}", "cat", "config")
        if there.code == _NO_REPOSITORY:
            there = _run(repository, number, url, "exec", "init", *_FROM, "--copy-chunker-params")
        done = _run(repository, number, url, "exec", "copy", *_FROM, *ids) if there.code == 0 else there
    except OperationFailed as error:  # a path that can't be mounted
        return {"url": url, "ok": False, "seen": error.seen}
    late = f"no answer within {ANSWERS_WITHIN} s\n" if done.code in TIMED_OUT else ""
    return {"url": url, "ok": done.code == 0, "seen": late + told(done) if done.code else ""}


def _run(repository: Repository, number: int, url: str, how: str, *words: str) -> Done:
    """Run restic on a copy; `how`: the shell's word before it."""
    local = keep.is_local(url) and keep.is_local(repository.document.repository)
    variables = {"RESTIC_REPOSITORY_FILE": f"{SECRETS}/copy-{number}"}
    mounts = (f"{url}:/copies/{number}",) if keep.is_local(url) else ()
    job = repository.job("copy", variables=variables, mounts=mounts, network="none" if local else "bridge")
    key = (keep.folder(repository.home) / "secrets/ssh_key").exists()
    ssh = ["-o", _SSH] if url.startswith("sftp:") and key else []
    return job.do(f'{how} {job.restic} "$@"', *ssh, *words)
