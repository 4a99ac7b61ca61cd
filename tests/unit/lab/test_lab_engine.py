"""An engine that is missing, forbidden or silent: each says so, and what to type. With docker commands of our own."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slipway.errors import SlipwayError
from slipway.lab import engine, machine, places

Client = Callable[..., Path]


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """Put docker commands in front of PATH: a version, and what `docker version` (the engine) answers."""
    monkeypatch.setattr(places, "home", lambda: places.private(tmp_path / "home"))
    monkeypatch.setattr(engine, "_clients", lambda: [str(path) for path in made])
    monkeypatch.setattr(machine, "as_root", lambda: None)
    monkeypatch.setattr(engine, "SOCKET", tmp_path / "docker.sock")
    for name in ("CI", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    made: list[Path] = []

    def make(version: str = "20.10.24", says: str = "echo 20.10.24", buildx: int = 1) -> Path:
        path = tmp_path / f"docker{len(made)}"
        path.write_text(
            f'#!/bin/sh\ncase "$1" in --version) echo "Docker version {version}, build x" ;;\n'
            f'buildx) exit {buildx} ;;\nversion) {says} ;;\n*) echo "{path.name} $DOCKER_BUILDKIT $*" ;; esac\n'
        )
        path.chmod(0o755)
        made.append(path)
        return path

    engine._client.cache_clear()
    yield make
    engine._client.cache_clear()


def test_an_engine_that_answers_is_left_alone(client: Client) -> None:
    client()
    engine.ensure()


@pytest.mark.parametrize("named", ["", "DOCKER_HOST", "DOCKER_CONTEXT"])
def test_one_that_answers_at_its_socket_costs_no_process(
    client: Client, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """Unless the docker command would go elsewhere: then that is asked."""
    client(says="echo it is away >&2; exit 1")
    if named:
        monkeypatch.setenv(named, "elsewhere")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(engine.SOCKET))
        listening.listen()
        listening.settimeout(5)

        def answer() -> None:
            with contextlib.suppress(OSError), listening.accept()[0] as asked:
                asked.recv(1000)
                asked.sendall(b"HTTP/1.0 200 OK\r\n\r\nOK")

        threading.Thread(target=answer, daemon=True).start()
        assert engine._fault() == ("it is away" if named else None)


def test_no_engine_and_no_rights_to_install_one(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "which", lambda program: None)
    with pytest.raises(SlipwayError, match="no container engine on this machine") as caught:
        engine.ensure(yes=True)
    assert caught.value.exit_code == 1
    assert "apt-get install docker.io" in str(caught.value)


def test_no_rights_on_the_socket(client: Client) -> None:
    client(says=DENIED)
    with pytest.raises(SlipwayError, match="usermod -aG docker"):
        engine.ensure(yes=True)


DENIED = 'echo "permission denied while trying to connect to the Docker daemon socket" >&2; exit 1'


@pytest.fixture
def sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a sudo in place that hands on no variables, as the real one."""
    program = tmp_path / "sudo"
    program.write_text('#!/bin/sh\nshift\nexec env -i PATH="$PATH" ROOT=yes "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(machine, "as_root", lambda: (str(program), "-n"))
    return program


def test_a_user_who_may_use_sudo_reaches_the_engine_through_it(client: Client, sudo: Path) -> None:
    client(says=f'[ "$ROOT" ] || {{ {DENIED}; }}; echo 20.10.24')
    assert not engine.by_sudo()
    engine.ensure()
    assert engine.by_sudo()
    assert engine.docker("push", "x").out == "docker0 1 push x\n", "BuildKit is on there as well"
    engine.ensure()


def test_sudo_that_does_not_help_is_not_kept(client: Client, sudo: Path) -> None:
    client(says=DENIED)
    with pytest.raises(SlipwayError, match="usermod -aG docker"):
        engine.ensure()
    assert not engine.by_sudo()


def test_an_engine_that_does_not_answer(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client(says='echo "Cannot connect to the Docker daemon. Is the docker daemon running?" >&2; exit 1')
    monkeypatch.setattr(machine, "which", lambda program: "/usr/sbin/dockerd")
    with pytest.raises(SlipwayError, match="does not answer"):
        engine.ensure(yes=True)


def test_nothing_is_installed_without_a_yes(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "which", lambda program: None)
    monkeypatch.setattr(machine, "as_root", lambda: ())
    monkeypatch.setattr(machine, "is_debian", lambda: True)
    monkeypatch.setattr(machine, "install", lambda *names: pytest.fail("installed"))
    monkeypatch.setattr(machine, "agreed", lambda question, yes: False)
    with pytest.raises(SlipwayError, match="--yes"):
        engine.ensure()


def test_an_engine_is_installed_then_started_detached(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    apt = tmp_path / "bin/apt-cache"
    apt.parent.mkdir()
    apt.write_text('#!/bin/sh\n[ "$*" = "show docker-cli" ]\n')
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{apt.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(machine, "which", lambda program: None)
    monkeypatch.setattr(machine, "as_root", lambda: ())
    monkeypatch.setattr(machine, "is_debian", lambda: True)
    monkeypatch.setattr(machine, "has_systemd", lambda: False)
    monkeypatch.setattr(engine, "_engine_runs", lambda: False)
    done: list[object] = []
    monkeypatch.setattr(machine, "install", lambda *names: (done.append(names), client()))
    monkeypatch.setattr(engine.process, "detach", lambda argv, log: done.append((*argv, log.name)))
    engine.ensure(yes=True)
    assert done == [("docker.io", "iptables", "docker-cli"), ("dockerd", "dockerd.log")]


def test_a_client_that_can_build_is_preferred(client: Client) -> None:
    client(version="28.2.2")
    client(version="20.10.24")
    assert engine.docker("build", ".").out == "docker1 1 build .\n"


def test_the_first_client_is_taken_where_its_plugin_is_there(client: Client) -> None:
    client(version="28.2.2", buildx=0)
    client(version="20.10.24")
    assert engine.docker("ps").out.startswith("docker0")


def test_a_question_without_a_terminal_is_answered_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115, PTH123
    assert not machine.agreed("Install?", yes=False)
    assert machine.agreed("Install?", yes=True)
    monkeypatch.setenv("CI", "true")
    assert machine.agreed("Install?", yes=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("ID=debian\n", True), ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', True), ("ID=fedora\n", False)],
)
def test_debian_is_told_by_os_release(
    text: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "os-release"
    file.write_text(text)
    monkeypatch.setattr(machine.shutil, "which", lambda program: "/usr/bin/apt-get")
    assert machine.is_debian(file) is expected
    assert not machine.is_debian(tmp_path / "missing")
