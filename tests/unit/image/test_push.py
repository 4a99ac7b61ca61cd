"""Pushing, with docker commands of our own: who logs in with what, and that nothing of it shows or stays."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from slipway.errors import SlipwayError
from slipway.image.push import _folder, push
from slipway.image.registry import RegistryClient
from slipway.lab import engine, machine, places
from slipway.settings.model import Registry

PASSWORD = "geheim-4711"
NAME = "registry.example/team/probe/web:v1"

CLIENT = """#!/bin/sh
# Notes what it is called with, and the configuration it finds.
echo "$*" >> {notes}/argv
env > {notes}/env
if [ -n "$DOCKER_CONFIG" ]; then
    stat -c '%a %a' "$DOCKER_CONFIG" > {notes}/mode
    cat "$DOCKER_CONFIG/config.json" > {notes}/config
    cat "$DOCKER_CONFIG"/contexts/meta/*/meta.json > {notes}/context 2>/dev/null
fi
{ends}
"""


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a docker command in the place of all others; return the folder of what it notes."""
    monkeypatch.setattr(places, "home", lambda: places.private(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    (tmp_path / "notes").mkdir()
    client = tmp_path / "docker"
    client.touch(mode=0o755)
    monkeypatch.setattr(engine, "_client", lambda: str(client))
    play(tmp_path / "notes")
    return tmp_path / "notes"


def play(notes: Path, ends: str = "echo 'layer: Pushed'") -> None:
    (notes.parent / "docker").write_text(CLIENT.format(notes=notes, ends=ends))


def pushed(user: str | None = "ci", password: str | None = PASSWORD) -> list[str]:
    """Push; return what was said."""
    said: list[str] = []
    client = RegistryClient(Registry(push="registry.example/team", username=user), password)
    push(NAME, client, password, said.append)
    return said


def test_the_registrys_credentials_are_docker_configuration_for_this_call(notes: Path) -> None:
    said = pushed()
    auths = json.loads((notes / "config").read_text())["auths"]
    assert base64.b64decode(auths["registry.example"]["auth"]).decode() == f"ci:{PASSWORD}"
    assert (notes / "mode").read_text().split()[0] == "700"
    assert (notes / "argv").read_text().strip() == f"push {NAME}"
    assert said == ["push layer: Pushed"]
    folder = dict(line.partition("=")[::2] for line in (notes / "env").read_text().splitlines())["DOCKER_CONFIG"]
    assert not Path(folder).exists(), "nothing stays"


def test_a_killed_push_leaves_credentials_no_longer_than_until_the_next(notes: Path) -> None:
    """What a push that goes on has in hand stays."""
    with _folder() as living:
        killed = places.home() / "login/killed"
        places.write(killed / "config.json", "secret")
        pushed()
        assert list((places.home() / "login").iterdir()) == [living]
    assert not living.exists()


def test_no_word_shows_them(notes: Path) -> None:
    play(notes, "echo 'denied: requested access to the resource is denied' >&2; exit 1")
    with pytest.raises(SlipwayError, match="requested access to the resource is denied") as caught:
        pushed()
    assert caught.value.where == NAME
    forms = (PASSWORD, base64.b64encode(f"ci:{PASSWORD}".encode()).decode())
    shown = str(caught.value) + (notes / "argv").read_text() + (notes / "env").read_text()
    assert not any(form in shown for form in forms)


@pytest.mark.parametrize(("user", "password"), [(None, None), ("ci", None)])
def test_without_credentials_the_persons_own_login_counts(notes: Path, user: str | None, password: str | None) -> None:
    pushed(user, password)
    assert not (notes / "config").exists()


def test_the_engine_is_the_one_that_a_person_chose(notes: Path, tmp_path: Path) -> None:
    """`docker context use` is part of docker's configuration: what was built there is pushed from there."""
    stored = tmp_path / ".docker/contexts/meta/0815"
    stored.mkdir(parents=True)
    (stored / "meta.json").write_text('{"Name": "far"}')
    (tmp_path / ".docker/config.json").write_text(json.dumps({"currentContext": "far", "credsStore": "desktop"}))
    pushed()
    config = json.loads((notes / "config").read_text())
    assert config["currentContext"] == "far"
    assert "credsStore" not in config, "it would be asked instead"
    assert (notes / "context").read_text() == '{"Name": "far"}'
    assert stored.exists()


def test_docker_by_sudo_is_told_as_well(notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sudo = tmp_path / "sudo"  # hands on no variables, as the real one
    sudo.write_text('#!/bin/sh\nshift\nexec env -i PATH="$PATH" "$@"\n')
    sudo.chmod(0o755)
    monkeypatch.setattr(machine, "as_root", lambda: (str(sudo), "-n"))
    (places.home() / "docker-by-sudo").touch()
    pushed()
    assert "registry.example" in (notes / "config").read_text()
    assert "DOCKER_BUILDKIT=1" in (notes / "env").read_text()
