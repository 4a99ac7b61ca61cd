"""Pulling: whose credentials go where."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import pytest

from slipway.agent import engine


@pytest.mark.parametrize(
    ("reference", "sent"),
    [
        ("registry.test:5000/shop/web@sha256:0", True),
        ("haproxy:3.0", False),
        ("registry.test:5000.elsewhere.test/web:1", False),
    ],
)
def test_a_password_goes_to_its_own_registry_only(reference: str, sent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []

    class Answer(io.BytesIO):
        status = 200

    @contextlib.contextmanager
    def request(*_: Any, headers: dict[str, str], **__: Any) -> Iterator[Answer]:
        seen.append(headers)
        yield Answer()

    monkeypatch.setattr(engine, "_request", request)
    auth = {"username": "ship", "password": "geheim", "serveraddress": "registry.test:5000"}
    engine.pull(reference, auth, lambda _: None)
    assert ["X-Registry-Auth" in headers for headers in seen] == [sent]
