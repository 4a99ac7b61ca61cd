"""Standard output and standard error, whose reader may leave (`inv … | head`): that is no error, and ends no verb."""

from __future__ import annotations

import atexit
import os
import sys
from types import TracebackType
from typing import TextIO


def write(stream: TextIO, line: str) -> None:
    """Print a line on `stream`; where nobody reads it any more, it and all that follows goes nowhere."""
    try:
        print(line, file=stream, flush=True)
    except BrokenPipeError:
        forget(stream)


def be_patient() -> None:
    """See that what others print (Invoke's own lists, Python's buffers at exit) doesn't complain of a reader who left either."""
    atexit.register(_finish)
    sys.excepthook = _uncaught


def _finish() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            forget(stream)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not isinstance(error, BrokenPipeError):
        return sys.__excepthook__(kind, error, trace)
    _finish()
    os._exit(0)  # the hook itself could only end in 1


def forget(stream: TextIO) -> None:
    """Let all that is written on a stream go nowhere from now on: whoever read it has left."""
    # What stands in the buffer stays there until it is written somewhere: so the file behind the stream changes.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
