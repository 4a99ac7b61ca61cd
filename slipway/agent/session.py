"""The conversation with the controller: JSON lines in on standard input, JSON lines out on standard output.

In: `{"id": n, "stack": s, "fence": f, "ops": [{"kind": k, ...}]}`, done in order, and `{"ping": n}`, answered with `{"pong": n}`:
signs of life, in both directions. `{"more": n}`: send so many further parts of a long answer.
Out: for each operation `{"id", "at", "event": "begin" | "progress" | "data" | "done" | "failed", ...}`, then
`{"id", "event": "end"}`.
When standard input ends, or says nothing for a while, the deployer is gone: commands in hand are killed and the process
leaves, which frees the lease. Everything on disk is written so that this may happen at any instant.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from queue import Queue
from typing import Any

from . import engine
from .context import Context
from .failure import OperationFailed

SILENCE = 25.0
"""Seconds without a word from the controller after which it is taken for dead."""

_NICE = 10
"""What a run does on its host, `docker compose` for example, comes after what serves there."""


class Session:
    """One controller's session on this host."""

    def __init__(self) -> None:
        self._queue: Queue[dict[str, Any]] = Queue()
        self._heard = time.monotonic()
        self._out = threading.Lock()
        self.asked_for = threading.Semaphore(0)
        """Parts of a long answer that the controller has asked for, and that have not been sent yet."""
        self.context = Context(self)

    def send(self, value: dict[str, Any]) -> None:
        """Send one line to the controller."""
        with self._out:
            sys.stdout.write(json.dumps(value) + "\n")
            sys.stdout.flush()

    def serve(self) -> None:
        """Serve until the controller is gone."""
        os.nice(_NICE)
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()
        while True:
            self._run(self._queue.get())

    def _read(self) -> None:
        try:
            for line in sys.stdin:
                self._heard = time.monotonic()
                message = json.loads(line)
                if "ping" in message:
                    self.send({"pong": message["ping"]})
                    with contextlib.suppress(OSError):  # a full disk is no reason to stop listening
                        self.context.beat()
                elif "more" in message:
                    self.asked_for.release(message["more"])
                else:
                    self._queue.put(message)
        finally:
            self._leave()

    def _watch(self) -> None:
        while time.monotonic() - self._heard < SILENCE:
            time.sleep(1)
        self._leave()

    def _leave(self) -> None:
        engine.CRITICAL.acquire(timeout=15)  # no host is left without a router
        engine.kill_children()
        os._exit(0)

    def _run(self, message: dict[str, Any]) -> None:
        number = message["id"]
        for at, operation in enumerate(message["ops"]):
            head = {"id": number, "at": at}
            self.send({**head, "event": "begin"})
            try:
                result = self.context.perform(message.get("stack", ""), message.get("fence"), operation, head)
                self.send({**head, "event": "done", "result": result})
            except OperationFailed as failure:
                self.send({**head, "event": "failed", **vars(failure)})
                break
            except OSError as error:  # a full disk, a file of somebody else: the host's trouble, and no bug
                what = (error.strerror or str(error) or type(error).__name__).lower()
                self.send({**head, "event": "failed", "what": what, "seen": str(error.filename or "")})
                break
            except Exception as error:
                import traceback

                seen = traceback.format_exc(limit=-4)
                self.send(
                    {**head, "event": "failed", "what": f"{type(error).__name__}: {error}", "seen": seen, "bug": True}
                )
                break
        self.send({"id": number, "event": "end"})
