"""What goes to a host: the command that starts the agent there, and the agent itself where the host does not keep it yet."""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
from pathlib import Path

_AGENT = Path(__file__).resolve().parents[2] / "agent"


def command() -> list[str]:
    """Return the command that starts the agent: Python with its standard library and nothing of the host's, and the first lines."""
    return ["python3", "-I", "-S", "-u", "-c", (_AGENT / "boot.py").read_text()]


def digest() -> str:
    """Return what names this agent: two versions never mix."""
    whole = hashlib.sha256()
    for name, text in _files().items():
        whole.update(f"{name} {len(text)}\n{text}".encode())
    return whole.hexdigest()[:16]


@functools.cache
def archive() -> bytes:
    """Return the agent as a zip archive that `python3` runs, the same bytes each time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in _files().items():
            packed.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


@functools.cache
def _files() -> dict[str, str]:
    files = {str(path.relative_to(_AGENT.parents[1])): path.read_text() for path in sorted(_AGENT.rglob("*.py"))}
    return {**files, "slipway/__init__.py": "", "__main__.py": files["slipway/agent/__main__.py"]}
