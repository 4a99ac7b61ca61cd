"""A registry that wants a password, on the real engine: who has it pushes, and it stays nowhere."""

from __future__ import annotations

import contextlib
import http.client
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.errors import SlipwayError
from slipway.image.push import push
from slipway.image.registry import RegistryClient
from slipway.lab import engine, free, images
from slipway.settings.model import Registry
from tests.support.site import eventually

PASSWORD = "geheim-0815-xyz"


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[str]:
    """Start a registry that knows one user; give its address."""
    import bcrypt

    engine.ensure()
    images.ensure_all(["registry:2"])
    users = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4, prefix=b"2a")).decode()
    (tmp_path / "users").write_text(f"ci:{users}\n")
    tmp_path.chmod(0o755)
    name, port = f"slipway-test-{os.getpid()}-registry", free.port(5900)
    settings = ("REGISTRY_AUTH=htpasswd", "REGISTRY_AUTH_HTPASSWD_REALM=r", "REGISTRY_AUTH_HTPASSWD_PATH=/users")
    options = [word for setting in settings for word in ("--env", setting)]
    options += ["--volume", f"{tmp_path}/users:/users:ro", "--publish", f"127.0.0.1:{port}:5000"]
    engine.docker("run", "--detach", "--rm", "--name", name, *options, "registry:2")
    image = f"127.0.0.1:{port}/team/x:1"
    try:
        engine.docker("tag", "registry:2", image)
        _answers(f"127.0.0.1:{port}")
        yield f"127.0.0.1:{port}"
    finally:
        engine.docker("rm", "--force", "--volumes", name)
        engine.docker("rmi", "--no-prune", image, check=False)


def _answers(address: str) -> None:
    def asked() -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection(address, timeout=2)
            connection.request("GET", "/v2/")
            return connection.getresponse().status == 401
        return False

    eventually(asked, within=10)


def test_only_who_has_the_password_pushes(closed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    registry = Registry(push=f"{closed}/team", insecure=True, username="ci")
    with pytest.raises(SlipwayError, match="could not be pushed") as caught:
        push(f"{closed}/team/x:1", RegistryClient(registry, "falsch"), "falsch", lambda _: None)
    assert "falsch" not in str(caught.value)
    client = RegistryClient(registry, PASSWORD)
    assert client.digest("x", "1") is None
    said: list[str] = []
    push(f"{closed}/team/x:1", client, PASSWORD, said.append)
    assert client.digest("x", "1")
    assert any("Pushed" in line for line in said), "docker's own words are progress"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["users"], "nothing stays"
    with pytest.raises(SlipwayError, match="could not be pushed"):
        push(f"{closed}/team/x:1", RegistryClient(registry), None, lambda _: None)
