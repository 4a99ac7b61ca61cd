"""The conversation with a host, with its other end played by this test."""

from __future__ import annotations

import io
import json
import socket
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import paramiko
import pytest

from slipway.errors import SlipwayError
from slipway.plan.operation import Operation
from slipway.settings.model import Host
from slipway.target.compose.parcel import archive
from slipway.target.compose.session import Access, HostError, HostSession


class Wire(io.BytesIO):
    """Keeps what is sent."""

    sendall = io.BytesIO.write

    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


def session(*answers: dict[str, Any]) -> tuple[HostSession, Wire]:
    made = HostSession(Host(name="app1", address="192.0.2.1"), Access(None, Path("/nowhere")))
    wire = Wire()
    made._channel = wire
    made._output = io.StringIO("".join(json.dumps(a) + "\n" for a in answers))
    made._errors = io.StringIO("Traceback: the agent broke")
    return made, wire


def test_operations_go_over_in_one_message() -> None:
    made, wire = session(
        {"id": 1, "at": 0, "event": "begin"}, {"id": 1, "at": 0, "event": "progress", "words": "3 of 9 MB"},
        {"id": 1, "at": 0, "event": "done", "result": {"pulled": 1}}, {"id": 1, "at": 1, "event": "begin"},
        {"id": 1, "at": 1, "event": "done", "result": {}}, {"id": 1, "event": "end"},
    )  # fmt: skip
    heard: list[str] = []
    operations = [
        Operation("images.pull", "pull 2 images", {"images": ["a", "b"]}),
        Operation("router.ensure", "router"),
    ]
    assert made.perform("probe", operations, fence=7, progress=heard.append) == [{"pulled": 1}, {}]
    assert heard == ["pull 2 images", "3 of 9 MB", "router"]
    assert wire.messages() == [
        {
            "id": 1, "stack": "probe", "fence": 7,
            "ops": [{"kind": "images.pull", "images": ["a", "b"]}, {"kind": "router.ensure"}],
        }
    ]  # fmt: skip


def test_a_failure_says_where_and_what() -> None:
    failed = {"id": 1, "at": 0, "event": "failed", "what": "web dies at start", "seen": "exit code 3", "service": "web"}
    made, _ = session({"id": 1, "at": 0, "event": "begin"}, {**failed, "bad_input": True}, {"id": 1, "event": "end"})
    with pytest.raises(HostError) as caught:
        made.perform("probe", [Operation("release.up", "start web")])
    assert (caught.value.where, caught.value.what, caught.value.seen) == (
        "app1, web",
        "web dies at start",
        "exit code 3",
    )
    assert caught.value.bad_input
    assert not caught.value.lost


def test_a_connection_that_is_lost() -> None:
    made, _ = session({"id": 1, "at": 0, "event": "begin"})
    with pytest.raises(HostError, match="the connection to the host was lost") as caught:
        made.perform("probe", [Operation("release.up", "start web")])
    assert caught.value.lost
    assert "the agent broke" in caught.value.seen


@pytest.mark.parametrize("says", [b"", b"SSH-2.0-OpenSSH_9.9\r\n"])
def test_a_server_that_closes_during_the_handshake(says: bytes, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.sendall(says)
                client.recv(1 if says else 1000)

        threading.Thread(target=serve, daemon=True).start()
        host = Host(name="app1", address="127.0.0.1", port=server.getsockname()[1])
        with pytest.raises(SlipwayError, match="SSH") as caught, HostSession(host, Access(None, tmp_path / "none")):
            pass
    assert "app1" in caught.value.where
    assert caught.value.seen


@pytest.mark.parametrize("refusal", [paramiko.SSHException("Channel closed."), EOFError(), OSError("Socket is closed")])
def test_a_server_that_opens_no_session(refusal: Exception) -> None:
    """As sshd at its limit of sessions, or one that goes down right now."""

    class Transport:
        def open_session(self) -> None:
            raise refusal

    made = HostSession(Host(name="app1", address="192.0.2.1"), Access(None, Path("/nowhere")))
    made._connection = SimpleNamespace(transport=Transport())
    with pytest.raises(SlipwayError, match="the agent can't be started") as caught:
        made._start_agent()
    assert caught.value.where == "app1"
    assert caught.value.seen


def test_the_agent_is_one_archive_of_the_standard_library() -> None:
    assert archive() is archive()
    with zipfile.ZipFile(io.BytesIO(archive())) as opened:
        names = opened.namelist()
        assert {"__main__.py", "slipway/__init__.py", "slipway/agent/operations.py"} <= set(names)
        text = "\n".join(opened.read(name).decode() for name in names)
    for foreign in ("import yaml", "import pydantic", "import docker\n", "from slipway.plan", "from slipway.settings"):
        assert foreign not in text
