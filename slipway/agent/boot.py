"""The agent's first lines: the deployer sends this text as the command. It runs the agent that the host keeps, or asks for it.

In: the agent's digest; where that was answered with "send", its size and the archive.
Out: the event "bare" (the host is not provisioned), "send", or "ready"; what comes then is the session's.
"""

import contextlib
import os
import sys
import zlib
from pathlib import Path

FOLDER = Path(os.environ.get("SLIPWAY_HOME", "/var/lib/slipway"), "agent")


def say(event: str) -> None:
    """Send an event."""
    print(f'{{"event": "{event}"}}', flush=True)


def kept(digest: str) -> "int | None":
    """Return the agent that the host keeps, as an open file; None where there is none that is whole, ours and for this Python.

    What is looked at here is what runs, whoever puts another file in its place meanwhile.
    """
    with contextlib.suppress(OSError):
        file = os.open(FOLDER / f"{digest}.pyz", os.O_RDONLY | os.O_NOFOLLOW)
        with open(file, "rb", closefd=False) as opened:
            data = opened.read()
        state = os.fstat(file)
        end = b"%s %08x" % (sys.implementation.cache_tag.encode(), zlib.crc32(data[:-8]))  # as archive.py writes it
        whole = state.st_uid == os.geteuid() and not state.st_mode & 0o022 and data.endswith(end)
        if whole and os.path.samestat(state, (FOLDER / "current.pyz").stat()):
            return file
    return None


def sent(digest: str) -> int:
    """Ask for the agent, keep it if the disk lets us, and return it as an open file."""
    import io
    import zipfile

    say("send")
    size = int(sys.stdin.buffer.readline() or 0)
    data = sys.stdin.buffer.read(size)
    if not size or len(data) != size:
        sys.exit("the deployer went away before it had sent the agent")
    scope: dict[str, object] = {"__name__": "archive"}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        exec(archive.read("slipway/agent/archive.py"), scope)  # noqa: S102 - the agent's own; it can't be imported yet
    return scope["keep"](FOLDER, digest, data)  # type: ignore[operator, no-any-return]


def main() -> None:
    """Run the agent's session."""
    digest = sys.stdin.buffer.readline().decode().strip()
    if not os.path.isdir(FOLDER):  # noqa: PTH112 - False as well where this user may not look
        say("bare")
        return
    file = kept(digest)
    if file is None:
        file = sent(digest)
    sys.path.insert(0, f"/proc/self/fd/{file}")
    # http.client does without it, where it is missing: that is a tenth of what is imported, and the engine's socket is no TLS.
    sys.modules["ssl"] = None  # type: ignore[assignment]
    from slipway.agent.session import Session

    say("ready")
    Session().serve()


if __name__ == "__main__":
    main()
