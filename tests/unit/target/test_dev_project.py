"""What a development environment hands to Compose: written whole, readable for containers and for nobody else here."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from slipway.lab import places
from slipway.target.compose import dev
from tests.support import values


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(places, "home", lambda: places.private(tmp_path / "home"))
    return tmp_path / "home"


def write(folder: Path, token: str) -> dev._Project:
    env, entry, stack = values.settings(folder, development=True, lab={"hosts": 1})
    return dev._write(env, entry, stack, {"web": "probe/web:here"}, {"token": token})


def test_a_secret_that_is_in_use_is_replaced_whole(tmp_path: Path, home: Path) -> None:
    """It is read-only, so it cannot be written again; and whoever reads it now gets all of one value."""
    first = write(tmp_path, "the first value")
    path = home / "dev/probe-here/secrets/token"
    assert path.stat().st_mode & 0o777 == 0o444
    with path.open() as reader:
        second = write(tmp_path, "another")
        assert reader.read() == "the first value"
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("another", 0o444)
    assert (first.other_secrets, second.other_secrets) == (False, True), "containers have to start anew to see it"
    kept = path.stat().st_ino
    assert not write(tmp_path, "another").other_secrets
    assert path.stat().st_ino == kept, "the same value is left alone"
    assert write(tmp_path, "line\r\nline\n").other_secrets
    assert path.read_bytes() == b"line\r\nline\n"
    assert not write(tmp_path, "line\r\nline\n").other_secrets, "and so is one with line breaks of another kind"


def test_nobody_else_on_this_machine_comes_in(tmp_path: Path, home: Path) -> None:
    project = write(tmp_path, "x")
    for folder in (project.files[0].parent, home / "dev"):
        assert folder.stat().st_mode & 0o077 == 0


def test_the_overlay_comes_last_and_the_front_door_is_open(tmp_path: Path) -> None:
    project = write(tmp_path, "x")
    document = yaml.safe_load(project.files[0].read_text())
    assert document["services"]["web"]["ports"] == ["8300:8000"]
    assert document["services"]["web"]["image"] == "probe/web:here"
    assert document["services"]["web"]["environment"]["SLIPWAY_RELEASE"] == "development"
    assert document["services"]["store"]["image"] == "redis:8"
    assert document["secrets"]["token"]["file"].endswith("/dev/probe-here/secrets/token")
    assert len(project.files) == 1
    (tmp_path / "compose/probe/compose.dev.yaml").write_text(
        "services: {web: {command: [reload, '${GREETING:-hi} $$HOME']}}\n"
    )
    overlay = write(tmp_path, "x").files[1]
    assert overlay.name == "compose.dev.yaml"
    command = yaml.safe_load(overlay.read_text())["services"]["web"]["command"]
    assert command == ["reload", "hi $$HOME"], "settings are put in; a dollar stays one to Compose"
