"""The one way to run a command on this machine: an argv list, never a shell."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway.errors import SlipwayError


@dataclass(frozen=True)
class Completed:
    """What a command left: its exit code, standard output and standard error (text)."""

    code: int
    out: str
    err: str

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of standard error, or of standard output where that is empty."""
        return "\n".join((self.err.strip() or self.out.strip()).splitlines()[-lines:])


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
    check: bool = True,
    on_line: Callable[[str], None] | None = None,
) -> Completed:
    """Run `argv` and return what it left.

    Args:
        argv: program and arguments.
        cwd: working directory (default: this one).
        env: variables added to this process's own.
        stdin: text for standard input (default: none, /dev/null).
        timeout: seconds after which the command is killed and a `SlipwayError` is raised.
        check: raise on a non-zero exit.
        on_line: called with each line of standard output and error as it comes (progress).

    Raises:
        SlipwayError: the program is missing, ran out of time, or exited non-zero with `check`.
    """
    words = [str(a) for a in argv]
    try:
        process = subprocess.Popen(
            words,
            cwd=cwd,
            env={**os.environ, **env} if env else None,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise SlipwayError(f"{words[0]} is not installed", todo=f"install {words[0]} and try again") from error
    done = _communicate(process, stdin, timeout, on_line, words)
    if check and done.code != 0:
        raise SlipwayError(f"`{' '.join(words[:4])}` exited {done.code}", seen=done.tail())
    return done


def detach(argv: Sequence[str | Path], log: Path) -> int:
    """Start a daemon that outlives this process: a session of its own, output appended to `log` (mode 0600).

    Returns its process id. Raises SlipwayError if the program is missing.
    """
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        daemon = subprocess.Popen(
            [str(a) for a in argv],
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            cwd="/",
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise SlipwayError(f"{argv[0]} is not installed", todo=f"install {argv[0]} and try again") from error
    finally:
        os.close(handle)
    daemon.returncode = 0  # nobody waits for it: keeps Python from warning about that
    return daemon.pid


def interact(argv: Sequence[str | Path]) -> int:
    """Run a program that talks with the person (an editor) on this terminal and return its exit code.

    Raises SlipwayError if the program is missing.
    """
    try:
        return subprocess.call([str(a) for a in argv])
    except OSError as error:
        raise SlipwayError(
            f"{argv[0]} cannot be run: {error.strerror}", todo=f"install {argv[0]}, try again"
        ) from error


def _communicate(
    process: subprocess.Popen[str],
    stdin: str | None,
    timeout: float | None,
    on_line: Callable[[str], None] | None,
    words: list[str],
) -> Completed:
    try:
        if on_line is None:
            out, err = process.communicate(stdin, timeout)
            return Completed(process.returncode, out, err)
        return _stream(process, stdin, timeout, on_line)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate()
        raise SlipwayError(f"`{' '.join(words[:4])}` did not end within {timeout:g} s") from error
    except BaseException:
        process.kill()
        process.wait()
        raise


def _stream(
    process: subprocess.Popen[str], stdin: str | None, timeout: float | None, on_line: Callable[[str], None]
) -> Completed:
    kept: dict[str, deque[str]] = {"out": deque(maxlen=10_000), "err": deque(maxlen=10_000)}

    def pump(name: str) -> None:
        stream = process.stdout if name == "out" else process.stderr
        for line in stream or ():
            kept[name].append(line)
            on_line(line.rstrip("\n"))

    threads = [threading.Thread(target=pump, args=(name,), daemon=True) for name in kept]
    for thread in threads:
        thread.start()
    if process.stdin:
        with contextlib.suppress(BrokenPipeError):  # one that ended without reading: its exit code tells why
            process.stdin.write(stdin or "")
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    process.wait(timeout)
    for thread in threads:
        thread.join(5)
    return Completed(process.returncode, "".join(kept["out"]), "".join(kept["err"]))
