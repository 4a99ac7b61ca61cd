"""The one way to do something on a host: one SSH connection, one command, the agent, for the whole run.

Fabric would accept any host key (it sets AutoAddPolicy after we could say otherwise); so the policy is set on the client it made.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shlex
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from slipway.errors import BadInput, SlipwayError
from slipway.plan.operation import Operation
from slipway.settings.model import Host
from slipway.target.compose import parcel

PING_EVERY = 2.0
SILENCE = 20.0
"""Seconds without a word from the host after which the connection is taken for cut. The agent gives up at 25 s by itself."""
CONNECT_WITHIN = 10


class HostError(SlipwayError):
    """An operation failed on a host, or the host went away.

    Args:
        failure: what the agent said: `what`, `seen`, `service`, `bad_input`, `lease`; `lost`: the connection is gone.
        host: the host's name.
    """

    def __init__(self, host: str, failure: Mapping[str, Any]) -> None:
        service = failure.get("service")
        where = f"{host}, {service}" if service else host
        super().__init__(str(failure["what"]), where=where, seen=str(failure.get("seen", "")))
        self.bad_input = bool(failure.get("bad_input"))
        self.lost = bool(failure.get("lost"))
        self.lease: Mapping[str, Any] | None = failure.get("lease")


class LoginRefused(SlipwayError):
    """The deploy user can't log in, or the host has no Slipway folder: it has not been provisioned."""


@dataclass(frozen=True)
class Access:
    """How to log in: a private key (None: the SSH agent and default keys) and the known host keys."""

    key_file: Path | None
    known_hosts: Path


class HostSession:
    """A conversation with the agent on one host. Use as a context manager."""

    def __init__(self, host: Host, access: Access) -> None:
        self.host, self.access = host, access
        self._number = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._connection: Any = None
        self._gone: HostError | None = None

    def __enter__(self) -> HostSession:
        self._connect()
        self._start_agent()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the session: the agent sees the end of its input and leaves."""
        self._closed.set()
        with contextlib.suppress(Exception):
            self._connection.close()

    def _connect(self) -> None:
        import paramiko
        from fabric import Config, Connection

        logging.getLogger("paramiko").setLevel(logging.CRITICAL)
        where = f"{self.host.name} ({self.host.address}:{self.host.port})"
        keys = {"key_filename": str(self.access.key_file), "look_for_keys": False, "allow_agent": False}
        self._connection = Connection(
            self.host.address,
            user=self.host.user,
            port=self.host.port,
            connect_timeout=CONNECT_WITHIN,
            connect_kwargs=keys if self.access.key_file else {},
            config=Config(overrides={"load_ssh_configs": self.access.key_file is None}),
        )
        hop = self._connection
        while isinstance(hop, Connection):  # jump hosts are checked like hosts
            client = hop.client
            client.get_host_keys().clear()
            client.set_missing_host_key_policy(paramiko.RejectPolicy())
            if self.access.known_hosts.exists():
                client.load_host_keys(str(self.access.known_hosts))
            hop = hop.gateway
        add = f"compare its key with the host's own and add it to {self.access.known_hosts}"
        try:
            self._connection.open()
        except paramiko.BadHostKeyException as error:
            seen = f"{error.key.get_name()} {error.key.get_base64()}"
            raise BadInput("the host key is not the one that is known", where=where, seen=seen, todo=add) from error
        except paramiko.AuthenticationException as error:
            raise LoginRefused(f"{self.host.user} can't log in", where=where, seen=str(error)) from error
        except paramiko.SSHException as error:
            if "not found in known_hosts" in str(error):
                todo = f"{add} (ssh-keyscan -p {self.host.port} {self.host.address} shows it)"
                raise BadInput("the host key is unknown", where=where, seen=str(error), todo=todo) from error
            raise SlipwayError("SSH failed", where=where, seen=str(error)) from error
        except (OSError, EOFError) as error:  # EOFError: it was closed during the handshake
            raise SlipwayError(
                "the host can't be reached over SSH", where=where, seen=str(error) or "it closed the connection"
            ) from error

    def _start_agent(self) -> None:
        import paramiko

        try:
            self._open_channel()
        except (OSError, EOFError, paramiko.SSHException) as error:
            seen = str(error) or "the connection was closed"
            raise SlipwayError("the agent can't be started over SSH", where=self.host.name, seen=seen) from error
        event = self._read().get("event")
        if event == "send":  # the host has no such agent yet, or another Python than it was kept for
            data = parcel.archive()
            self._send_raw(f"{len(data)}\n".encode() + data)
            event = self._read().get("event")
        if event == "bare":
            raise LoginRefused("the host has not been provisioned", where=self.host.name)
        threading.Thread(target=self._ping, daemon=True).start()

    def _open_channel(self) -> None:
        """Open a channel, start the agent's first lines there, and tell which agent is meant."""
        channel = self._connection.transport.open_session()
        channel.settimeout(SILENCE)
        channel.exec_command(shlex.join(parcel.command()))
        self._channel = channel
        self._output = channel.makefile("r", 65536)
        self._errors = channel.makefile_stderr("r")
        self._send_raw(f"{parcel.digest()}\n".encode())

    def _send_raw(self, data: bytes) -> None:
        with self._lock:
            # Not by a file of paramiko's, which complains on standard error when it is collected.
            self._channel.sendall(data)

    def _send(self, value: Mapping[str, Any]) -> None:
        try:
            self._send_raw(json.dumps(value).encode() + b"\n")
        except (OSError, EOFError) as error:  # EOFError: in the middle of a packet
            raise self._lost("it was closed") from error

    def _ping(self) -> None:
        while not self._closed.wait(PING_EVERY):
            try:
                self._send({"ping": 1})
            except SlipwayError:
                return

    def _read(self) -> dict[str, Any]:
        """Return the next event. The agent answers pings, so silence is a connection that was cut."""
        while True:
            try:
                line = self._output.readline()
            except TimeoutError as error:
                raise self._lost(f"no sign of life for {SILENCE:.0f} s") from error
            except OSError as error:
                raise self._lost(str(error)) from error
            if not line:
                raise self._lost(self._last_words())
            value: dict[str, Any] = json.loads(line)
            if "pong" not in value:
                return value

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            text = self._errors.read()
            return (text.decode(errors="replace") if isinstance(text, bytes) else text)[-2000:] or "it was closed"
        return "it was closed"

    def _lost(self, seen: str) -> HostError:
        failure = {"what": "the connection to the host was lost", "seen": seen, "lost": True}
        self._gone = HostError(self.host.name, failure)  # nobody needs to wait for it again
        return self._gone

    def perform(
        self,
        stack: str,
        operations: Sequence[Operation],
        *,
        fence: int | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> list[dict[str, Any]]:
        """Have the host do operations in order, in one exchange.

        Args:
            stack: whose.
            operations: what.
            fence: the run's number; the host refuses where a later run has begun.
            progress: told what each operation says while it works.

        Returns:
            The result of each operation.

        Raises:
            HostError: one failed (the rest was not begun), or the connection was lost.
        """
        self._ask(stack, operations, fence)
        results: list[dict[str, Any]] = []
        failure: dict[str, Any] | None = None
        while True:
            event = self._read()
            kind = event["event"]
            if kind == "begin":
                progress(operations[event["at"]].says)
            elif kind == "progress":
                progress(event["words"])
            elif kind == "done":
                results.append(event["result"])
            elif kind == "failed":
                failure = event
            elif kind == "end":
                break
        if failure:
            raise HostError(self.host.name, failure)
        return results

    def stream(self, stack: str, operation: Operation, ahead: int) -> Iterator[dict[str, Any]]:
        """Have the host do an operation whose answer comes in parts, and yield them.

        The host sends only as many parts as it was asked for, `ahead` and then one for each `ask_for`: whoever takes them slowly
        slows it down, and nothing piles up on the way.

        Yields:
            `{"event": "data", ...}`; `{"event": "progress", "words": ...}`.

        Raises:
            HostError: it failed, or the connection was lost.
        """
        self._ask(stack, [operation], None)
        self.ask_for(ahead)
        failure: dict[str, Any] | None = None
        while True:
            event = self._read()
            if event["event"] in ("data", "progress"):
                yield event
            elif event["event"] == "failed":
                failure = event
            elif event["event"] == "end":
                break
        if failure:
            raise HostError(self.host.name, failure)

    def ask_for(self, parts: int) -> None:
        """Have the host send so many further parts of its answer. Raises HostError where the connection was lost."""
        self._send({"more": parts})

    def _ask(self, stack: str, operations: Sequence[Operation], fence: int | None) -> None:
        if self._gone:
            raise self._gone
        self._number += 1
        ops = [o.message() for o in operations]
        self._send({"id": self._number, "stack": stack, "fence": fence, "ops": ops})
