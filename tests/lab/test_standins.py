"""Images that stacks start from behave as the official ones do: variables, users, signals, paths; pulled or built."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slipway.lab import engine, images

pytestmark = pytest.mark.lab
MARK = f"slipway.test={os.getpid()}"
Start = Callable[..., str]


@pytest.fixture(scope="module", autouse=True)
def present() -> None:
    engine.ensure()
    images.ensure_all(["postgres:17", "redis:8", "haproxy:3.0", "python:3.13-slim-trixie"])


@pytest.fixture
def start() -> Iterator[Start]:
    def run(image: str, *options: str, command: tuple[str, ...] = ()) -> str:
        return engine.docker("run", "--detach", "--label", MARK, *options, image, *command).out.strip()

    yield run
    left = engine.docker("ps", "--all", "--quiet", "--filter", f"label={MARK}").out.split()
    if left:
        engine.docker("rm", "--force", "--volumes", *left)


def inside(container: str, *argv: str) -> str:
    return engine.docker("exec", container, *argv).out.strip()


def until(question: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not question():
        assert time.monotonic() < end
        time.sleep(0.1)


def ready(container: str) -> None:
    until(lambda: engine.docker("exec", container, "pg_isready", "-h", "127.0.0.1", check=False).code == 0)


def test_postgres_takes_its_password_from_a_file_of_roots(start: Start, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("planted\n")
    (tmp_path / "password").chmod(0o600)
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "1.sql").write_text("create table mark (at int);\n")
    database = start(
        "postgres:17",
        *("--volume", f"{tmp_path}/password:/run/secrets/password:ro"),
        *("--volume", f"{tmp_path}/init:/docker-entrypoint-initdb.d:ro"),
        *("--env", "POSTGRES_PASSWORD_FILE=/run/secrets/password"),
        *("--env", "POSTGRES_USER=owner", "--env", "POSTGRES_DB=the-db"),
        command=("-c", "max_connections=33"),
    )
    ready(database)
    ask = ("psql", "-At", "-U", "owner", "-d", "the-db")
    assert inside(database, *ask, "-c", "show max_connections", "-c", "select count(*) from mark") == "33\n0"
    address = engine.docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", database).out.strip()
    by_network = (database, *ask, "-h", address, "-c", "select 1")
    assert engine.docker("exec", "--env", "PGPASSWORD=planted", *by_network).out.strip() == "1"
    wrong = engine.docker("exec", "--env", "PGPASSWORD=x", *by_network, check=False)
    assert "password authentication failed" in wrong.err
    assert inside(database, "sh", "-c", "grep Uid: /proc/1/status").split()[1] == "999"
    assert "planted" not in engine.docker("logs", database).out
    started = time.monotonic()
    engine.docker("stop", "--time", "10", database)
    assert time.monotonic() - started < 5, "SIGINT stops it at once, though clients are connected"
    engine.docker("start", database)
    ready(database)
    assert inside(database, *ask, "-c", "select count(*) from mark") == "0"


def test_postgres_does_not_start_without_a_password(start: Start) -> None:
    database = start("postgres:17")
    until(lambda: engine.docker("inspect", "--format", "{{.State.Status}}", database).out.strip() == "exited")
    assert "superuser password is not specified" in engine.docker("logs", database).err
    assert engine.docker("inspect", "--format", "{{.State.ExitCode}}", database).out.strip() == "1"


def test_redis_serves_the_network_as_its_own_user(start: Start) -> None:
    cache = start("redis:8", command=("--appendonly", "yes"))
    until(lambda: engine.docker("exec", cache, "redis-cli", "ping", check=False).out.strip() == "PONG")
    assert inside(cache, "sh", "-c", "grep Uid: /proc/1/status").split()[1] == "999"
    address = engine.docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", cache).out.strip()
    other = engine.docker("run", "--rm", "--label", MARK, "redis:8", "redis-cli", "-h", address, "set", "a", "b")
    assert other.out.strip() == "OK"
    assert inside(cache, "sh", "-c", "ls /data") == "appendonlydir"


def test_haproxy_binds_port_80_as_its_own_user(start: Start, tmp_path: Path) -> None:
    (tmp_path / "haproxy.cfg").write_text(
        "global\n  stats socket /var/lib/haproxy/admin.sock mode 660 level admin\n"
        "defaults\n  mode http\n  timeout client 5s\n  timeout server 5s\n  timeout connect 5s\n"
        "frontend door\n  bind :80\n  http-request return status 200\n"
    )
    tmp_path.chmod(0o755)
    router = start("haproxy:3.0", "--volume", f"{tmp_path}:/usr/local/etc/haproxy:ro")
    until(lambda: engine.docker("exec", router, "test", "-S", "/var/lib/haproxy/admin.sock", check=False).code == 0)
    assert inside(router, "id", "-u") == "99"
    assert engine.docker("inspect", "--format", "{{.Config.StopSignal}}", router).out.strip() == "SIGUSR1"
    assert "-W" in inside(router, "sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline")
    engine.docker("kill", "--signal", "USR2", router)
    until(lambda: engine.docker("logs", router).err.count("Loading success") == 2)
    check = engine.docker("run", "--rm", "--label", MARK, "haproxy:3.0", "-c", "-f", "/dev/null", check=False)
    assert check.code in (0, 1, 2), "options alone are the program's"
    assert "exec" not in check.err


def test_python_installs_and_makes_environments(start: Start) -> None:
    script = (
        "set -e; test $(command -v python) = /usr/local/bin/python; command -v pip pip3; python -m venv /opt/venv; "
        "/opt/venv/bin/python -c 'import sys, ssl, sqlite3; print(sys.prefix, sys.version_info[:2])'; "
        "/opt/venv/bin/pip --version; ls -d /usr/local/lib/python3.13/site-packages; "
        "find / -xdev -name EXTERNALLY-MANAGED"
    )
    done = engine.docker("run", "--rm", "--label", MARK, "python:3.13-slim-trixie", "sh", "-c", script)
    assert "/opt/venv (3, 13)" in done.out
    assert "EXTERNALLY-MANAGED" not in done.out
