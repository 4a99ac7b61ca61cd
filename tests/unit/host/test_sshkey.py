"""A pipeline's SSH key: with a real agent, which ends with its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slipway.errors import BadInput
from slipway.host import sshkey
from slipway.process import run
from slipway.settings.load import root

_CODE = """
import os, sys, time
from slipway.host import sshkey
sshkey.offer()
print(os.environ.get("SLIPWAY_SSH_KEY"), os.environ["SSH_AUTH_SOCK"], flush=True)
os.system("ssh-add -l")
sys.stdout.flush()
if sys.argv[1:]:
    time.sleep(30)
"""


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("key") / "key"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "pipeline", "-f", path])
    return path.read_text()


def start(key: str, *words: str) -> subprocess.Popen[str]:
    # As a secret is stored: its last newline is gone, and it may have been pasted on Windows.
    env = {**os.environ, sshkey.VARIABLE: key.strip().replace("\n", "\r\n")}
    argv = [sys.executable, "-c", _CODE, *words]
    return subprocess.Popen(argv, cwd=root(), env=env, stdout=subprocess.PIPE, text=True)


def test_ssh_finds_the_key_and_nobody_else_does(key: str) -> None:
    process = start(key)
    out, _ = process.communicate(timeout=20)
    first, listed = out.splitlines()
    variable, socket = first.split()
    assert variable == "None", "commands that are started later don't inherit it"
    assert "pipeline (ED25519)" in listed
    assert not Path(socket).parent.exists()


def test_the_agent_goes_with_a_killed_process(key: str) -> None:
    process = start(key, "wait")
    assert process.stdout
    socket = process.stdout.readline().split()[1]
    process.stdout.readline()
    assert reaches(socket)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    end = time.monotonic() + 5
    while reaches(socket) and time.monotonic() < end:
        time.sleep(0.05)
    assert not reaches(socket)


def reaches(socket: str) -> bool:
    """Tell whether an agent answers at a socket (2: none does)."""
    return run(["ssh-add", "-l"], env={"SSH_AUTH_SOCK": socket}, check=False).code != 2


def test_what_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "")
    monkeypatch.setenv(sshkey.VARIABLE, "not a key")
    with pytest.raises(BadInput, match="SLIPWAY_SSH_KEY holds no private key"):
        sshkey.offer()


def test_without_one_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(sshkey.VARIABLE, raising=False)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    sshkey.offer()
    assert "SSH_AUTH_SOCK" not in os.environ
