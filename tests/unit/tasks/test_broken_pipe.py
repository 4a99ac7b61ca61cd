"""A reader that leaves (`inv … | head`) is no error: nothing is complained of, and the verb's exit code stays what it is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from slipway.settings.load import root

TALKATIVE = """
from slipway import report
for number in range(1000):
    with report.step(f"Step {number}"):
        pass
report.out("x" * 100_000)
report.failure("it failed")
print("got to its end", file=open("/dev/stderr", "w"))
"""


def with_reader_gone(*argv: str, unbuffered: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a command whose standard output nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    environment |= {"PYTHONUNBUFFERED": "1"} if unbuffered else {}
    try:
        return subprocess.run(
            [sys.executable, *argv], cwd=root(), stdout=writer, stderr=subprocess.PIPE, text=True, env=environment, check=False
        )  # fmt: skip
    finally:
        os.close(writer)


@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize(("argv", "code"), [(["--list"], 0), (["--help", "deploy"], 0), (["status", "--env", "no"], 2)])
def test_commands(argv: list[str], code: int, unbuffered: bool) -> None:
    done = with_reader_gone("-m", "invoke", *argv, unbuffered=unbuffered)
    assert done.returncode == code
    assert "Broken" not in done.stderr
    assert ("there is no environment" in done.stderr) == (code == 2)


def test_a_verb_goes_on_to_its_end() -> None:
    """A deploy whose words nobody reads any more is still to be finished."""
    done = with_reader_gone("-c", TALKATIVE)
    assert done.stderr == "it failed\ngot to its end\n"
    assert done.returncode == 0
