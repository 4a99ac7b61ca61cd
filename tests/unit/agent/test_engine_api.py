"""The engine's API, with an engine that is played: one that is restarted breaks off in the middle of an answer."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from slipway.agent import engine
from slipway.agent.failure import OperationFailed
from tests.unit.agent.conftest import BROKEN_CHUNKS, BROKEN_OFF, answering


@pytest.mark.parametrize("answer", [BROKEN_OFF, BROKEN_CHUNKS])
def test_an_answer_that_breaks_off(answer: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SOCKET", str(tmp_path / "socket"))
    with answering(answer, socket.AF_UNIX, engine.SOCKET), pytest.raises(OperationFailed, match="does not answer"):
        engine.api("GET", "/version")


def test_a_pull_that_breaks_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SOCKET", str(tmp_path / "socket"))
    with (
        answering(BROKEN_CHUNKS, socket.AF_UNIX, engine.SOCKET),
        pytest.raises(OperationFailed, match="does not answer"),
    ):
        engine.pull("postgres:17", None, lambda _: None)
