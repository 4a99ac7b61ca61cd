"""Which version this tree is, and a digest of what an image is built from."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from slipway.errors import BadInput
from slipway.process import run
from slipway.settings.model import Build, Environment


def tree_version(root: Path, env: Environment) -> str:
    """Return the version of the tree: its git revision, `<revision>-dirty-<digest>` with uncommitted changes.

    Raises:
        BadInput: there are uncommitted changes and the environment takes none, or this is no git checkout.
    """
    found = run(["git", "rev-parse", "--short=10", "HEAD"], cwd=root, check=False)
    if found.code != 0:
        raise BadInput(
            "this is not a git checkout with a commit", where=str(root), todo="name a version with --version"
        )
    revision = found.out.strip()
    changed = run(["git", "status", "--porcelain", "--untracked-files=all"], cwd=root).out
    if not changed:
        return revision
    if not env.allow_dirty:
        raise BadInput(
            "the tree has uncommitted changes",
            where=str(root),
            seen=", ".join(line[3:] for line in changed.splitlines()[:5]),
            todo=f"commit them, or deploy a version that exists: inv deploy --env {env.name} --version {revision}",
        )
    digest = hashlib.sha256(run(["git", "diff", "HEAD", "--binary"], cwd=root).out.encode())
    for name in run(["git", "ls-files", "--others", "--exclude-standard"], cwd=root).out.splitlines():
        digest.update(name.encode() + b"\0")
        path = root / name
        digest.update(path.read_bytes() if path.is_file() else b"")
    return f"{revision}-dirty-{digest.hexdigest()[:8]}"


def commit_of(root: Path, version: str) -> str | None:
    """Return the commit that a version (a short revision, or a git tag) names in the history of `root`'s HEAD, else None."""
    if not re.fullmatch(r"\w[\w.-]*", version):
        return None
    found = run(["git", "rev-parse", "--verify", "--quiet", f"{version}^{{commit}}"], cwd=root, check=False)
    commit = found.out.strip()
    inside = found.code == 0 and run(["git", "merge-base", "--is-ancestor", commit, "HEAD"], cwd=root, check=False)
    return commit if inside and inside.code == 0 else None


def context_digest(build: Build, extra: str = "") -> str:
    """Return a digest of everything that `docker build` is given: the context without what .dockerignore names, and the options.

    Args:
        build: the service's build section.
        extra: more that the image depends on.
    """
    from docker.utils import exclude_paths

    root = Path(build.context)
    ignore = root / ".dockerignore"
    patterns = [line.strip() for line in ignore.read_text().splitlines()] if ignore.exists() else []
    patterns = [p for p in patterns if p and not p.startswith("#")]
    digest = hashlib.sha256(repr((build.dockerfile, build.target, sorted(build.args.items()), extra)).encode())
    for name in sorted(exclude_paths(str(root), patterns, dockerfile=build.dockerfile)):
        path = root / name
        if path.is_symlink():
            content = os.fsencode(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
        else:
            continue
        digest.update(f"{name}\0{path.lstat().st_mode & 0o777:o}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def folder_digest(folder: Path) -> str:
    """Return a digest of the files of a folder, but for what Python leaves there."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
