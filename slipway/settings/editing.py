"""A secret text in a person's editor: in memory where that can be, readable by nobody else, wiped in the end."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from slipway.errors import BadInput
from slipway.settings.password import write_private

_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it


def edit(text: str, base: Path, editor: Callable[[Path], int]) -> str:
    """Return `text` as the person left it. Raise BadInput if the editor failed.

    The file is in a folder of its own, so that an editor's backup and swap files are wiped with it.
    """
    parent = _MEMORY if os.access(_MEMORY, os.W_OK) else base / ".slipway"
    folder = Path(tempfile.mkdtemp(prefix="slipway-", dir=parent))
    try:
        file = folder / "secrets.yml"
        write_private(file, text)
        code = editor(file)
        if code != 0:
            raise BadInput(f"the editor exited {code}: the secrets are as they were")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("what the editor left cannot be read: the secrets are as they were") from error
    finally:
        _wipe(folder)


def run_editor(file: Path) -> int:
    """Open `file` in $VISUAL, $EDITOR, or the first editor that this machine has; return its exit code."""
    from slipway import process

    chosen = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    known = next((e for e in ("sensible-editor", "nano", "vi") if shutil.which(e)), None)
    if not chosen and not known:
        raise BadInput("there is no editor on this machine", todo="set EDITOR, e.g. EDITOR=nano")
    try:
        argv = shlex.split(chosen) if chosen else [str(known)]
    except ValueError as error:
        raise BadInput("EDITOR is not a command", seen=str(error), todo="set EDITOR, e.g. EDITOR=nano") from error
    return process.interact([*argv, file])


def _wipe(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            size = path.stat().st_size
            with path.open("r+b") as stream:
                stream.write(bytes(size))
                stream.flush()
                os.fsync(stream.fileno())
    shutil.rmtree(folder, ignore_errors=True)
