"""The one way to do something on a host: one SSH connection, one command, the agent, for the whole run.

Fabric would accept any host key (it sets AutoAddPolicy after we could say otherwise); so the policy is set on the client it made.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from slipway.errors import BadInput, SlipwayError
from slipway.settings.model import Host
from slipway.target.compose import parcel
from slipway.target.conversation import SILENCE, Conversation, HostError

CONNECT_WITHIN = 10


class LoginRefused(SlipwayError):
    """The deploy user can't log in, or the host has no Slipway folder: it has not been provisioned."""


@dataclass(frozen=True)
class Access:
    """How to log in: a private key (None: the SSH agent and default keys) and the known host keys."""

    key_file: Path | None
    known_hosts: Path


class HostSession(Conversation):
    """A conversation with the agent on one host. Use as a context manager."""

    def __init__(self, host: Host, access: Access) -> None:
        super().__init__(host.name)
        self.host, self.access = host, access
        self._connection: Any = None

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


__all__ = ["Access", "HostError", "HostSession", "LoginRefused"]
