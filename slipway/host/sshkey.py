"""The SSH key of a pipeline: a variable's value, given to an SSH agent that lives as long as this process."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from slipway.errors import BadInput, SlipwayError
from slipway.process import run
from slipway.settings.redact import hide

VARIABLE = "SLIPWAY_SSH_KEY"

# The other end of its input is this process's, and of nobody else: it ends when this process does, killed or not.
_UNTIL_INPUT_ENDS = 'cat; kill "$SSH_AGENT_PID"'


def offer() -> None:
    """Have ssh, Ansible and paramiko find the private key in SLIPWAY_SSH_KEY, if there is one.

    It goes to the agent by standard input: it is in no file, and in no variable of the commands that are started from here on.

    Raises:
        BadInput: it is no private key, or has a passphrase.
        SlipwayError: OpenSSH's agent is not there, or does not start.
    """
    key = os.environ.pop(VARIABLE, "").strip().replace("\r", "")
    if not key:
        return
    hide([key])
    os.environ["SSH_AUTH_SOCK"] = str(_start_agent())
    done = run(["ssh-add", "-q", "-"], stdin=key + "\n", env={"SSH_ASKPASS_REQUIRE": "never"}, check=False)
    if done.code != 0:
        raise BadInput(
            f"{VARIABLE} holds no private key that can be used", seen=done.tail(1),
            todo="put the whole file into it, `-----BEGIN` line and all; a pipeline's key has no passphrase (docs/pipeline.md)",
        )  # fmt: skip


def _start_agent() -> Path:
    """Start an agent that ends with this process, however that ends, and return its socket."""
    folder = Path(tempfile.mkdtemp(prefix="slipway-", dir="/tmp"))  # a socket's path has at most 108 bytes
    socket = folder / "agent"
    argv = ["ssh-agent", "-a", str(socket), "sh", "-c", _UNTIL_INPUT_ENDS]
    try:
        agent = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise SlipwayError("ssh-agent is not installed", todo="install OpenSSH's client and try again") from error
    atexit.register(_stop, agent, folder)
    end = time.monotonic() + 5
    while not socket.exists():
        if agent.poll() is not None or time.monotonic() > end:
            raise SlipwayError("ssh-agent does not start", seen=f"exit code {agent.poll()}")
        time.sleep(0.005)
    return socket


def _stop(agent: subprocess.Popen[bytes], folder: Path) -> None:
    agent.communicate()
    shutil.rmtree(folder, ignore_errors=True)
