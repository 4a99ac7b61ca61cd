"""How a host keeps the agent: one archive with bytecode for this host's Python beside the sources. Standard library only.

Compiling the agent takes longer than most of what it is asked. Another Python passes the bytecode over and takes the sources.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import marshal
import os
import sys
import zipfile
import zlib
from pathlib import Path

_UNCHECKED = (1).to_bytes(4, "little")
"""Flags of bytecode that is not compared with its source at each import (PEP 552)."""


def keep(folder: Path, digest: str, data: bytes) -> int:
    """Keep the agent where the disk lets us; return it as an open file, which is in memory and needs no disk.

    Args:
        folder: where.
        digest: what names this agent.
        data: the archive, of sources alone.
    """
    made = compiled(data)
    with contextlib.suppress(OSError):  # a full disk is no reason not to look at the host
        _store(folder, digest, made)
    file = os.memfd_create("agent")
    with open(file, "wb", closefd=False) as opened:
        opened.write(made)
    return file


def compiled(data: bytes) -> bytes:
    """Return an archive of sources as one that has their bytecode as well.

    It ends with this Python's name and a checksum (CRC-32, 8 hexadecimal digits) of all that comes before.
    """
    kept = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as sources, zipfile.ZipFile(kept, "w") as archive:
        for name in sources.namelist():
            source = sources.read(name)
            code = marshal.dumps(compile(source, name, "exec", dont_inherit=True))
            archive.writestr(
                f"{name}c", importlib.util.MAGIC_NUMBER + _UNCHECKED + importlib.util.source_hash(source) + code
            )
            archive.writestr(name, source, zipfile.ZIP_DEFLATED)
        archive.comment = f"{sys.implementation.cache_tag} {'0' * 8}".encode()
    whole = kept.getvalue()[:-8]
    return whole + b"%08x" % zlib.crc32(whole)


def _store(folder: Path, digest: str, data: bytes) -> None:
    """Put the agent in its place, for later sessions and, under a name that stays, for the host's timers; remove older ones.

    A session that runs an older one goes on: it has that open. Raises OSError where it can't be written.
    """
    path, timers = folder / f"{digest}.pyz", folder / "current.pyz"
    new, link = (folder / f"{path.name}.{os.getpid()}{end}" for end in ("", ".link"))
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # Two names of one file: who finds them to be the same knows that the timers have this agent, too.
        os.link(new, link)
        link.replace(timers)
        new.replace(path)
    finally:
        for old in folder.glob("*.pyz*"):
            if old not in (path, timers):
                old.unlink(missing_ok=True)
