"""Scripts that go to another container of a pod: two real shells and real FIFOs, as in a pod."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.agent.data import pod
from slipway.agent.failure import OperationFailed


class Pod:
    """A folder that containers share, and the shell of one of them."""

    def __init__(self, folder: Path) -> None:
        self.calls = folder / "calls"
        serve = pod.SERVE.replace("/slipway/calls", str(self.calls))
        self.shell, self.other = (subprocess.Popen(["sh", "-c", serve, name]) for name in ("db", "restic"))
        pod.ring(10)

    def run(self, script: str, *words: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        argv = pod.argv("slipway-x", "db", script, words, variables)
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    monkeypatch.setattr(pod, "CALLS", tmp_path / "calls")
    monkeypatch.setattr(pod, "GIVEN", tmp_path)
    monkeypatch.setattr(pod, "_held", [])
    told = {"stack": "shop", "tools": {"restic": "r:1", "db": "p:17"}, "volumes": {"data-db-0": "db"}, "services": {}}
    (tmp_path / "pod.json").write_text(json.dumps(told))
    found = Pod(tmp_path)
    yield found
    for file in pod._held:
        os.close(file)
    found.shell.wait(10)
    found.other.wait(10)


def test_all_that_a_command_has(made: Pod) -> None:
    done = made.run('cat; echo "$1 $NAME"; echo oops >&2; exit 7', "it's $odd", stdin="lines\n", NAME="a 'b'")
    assert (done.returncode, done.stdout, done.stderr) == (7, "lines\nit's $odd a 'b'\n", "oops\n")


def test_many_at_once_and_each_has_a_folder_of_its_own(made: Pod) -> None:
    script = 'echo "$1" > /tmp/own; sleep 0.2; cat /tmp/own; ls /tmp/ | wc -l'
    running = [
        subprocess.Popen(
            pod.argv(f"slipway-{n}", "db", script, [str(n)], {}),
            stdout=subprocess.PIPE,
            text=True,
            stdin=subprocess.PIPE,
        )
        for n in range(4)
    ]
    assert [r.communicate()[0].split() for r in running] == [[str(n), "1"] for n in range(4)]
    assert not [p for p in made.calls.iterdir() if p.is_dir()], "nothing of them stays"


def test_a_conversation(made: Pod) -> None:
    argv = pod.argv("slipway-talk", "db", 'while read -r x; do echo "<$x>"; done', (), {})
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as talking:
        assert talking.stdin and talking.stdout
        for word in ("one", "two"):
            talking.stdin.write(f"{word}\n")
            assert talking.stdout.readline() == f"<{word}>\n"
        talking.stdin.close()
        assert talking.wait(10) == 0


def test_what_is_killed_ends_there_too(made: Pod) -> None:
    argv = pod.argv("slipway-long", "db", "sleep 300 & wait", (), {})
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as long:
        until = time.monotonic() + 10
        while not (Path(argv[-2]) / "pid").exists() and time.monotonic() < until:
            time.sleep(0.05)
        process = int((Path(argv[-2]) / "pid").read_text())
        pod.kill(argv)
        assert long.wait(10) == 137
    assert not Path(f"/proc/{process}").exists()


def test_the_shell_ends_with_the_agent(made: Pod) -> None:
    assert made.run("true").returncode == 0
    for file in pod._held:
        os.close(file)
    pod._held.clear()
    assert made.shell.wait(10) == 0


def test_whose_container_is_meant(made: Pod) -> None:
    assert pod.tool("", ()) == "restic"
    assert pod.tool("p:17", ()) == "db"
    assert pod.tool("", ("data-db-0:/data",)) == "db"
    with pytest.raises(OperationFailed, match="no container of other"):
        pod.tool("other:1", ())


def test_a_host_s_agent_needs_no_tls() -> None:
    program = "import sys; sys.modules['ssl'] = None; import slipway.agent.data.operations, slipway.agent.data.timer"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_container_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod, "CALLS", tmp_path / "calls")
    monkeypatch.setattr(pod, "GIVEN", tmp_path)
    monkeypatch.setattr(pod, "_held", [])
    (tmp_path / "pod.json").write_text(json.dumps({"tools": {"db": "p:17"}}))
    with pytest.raises(OperationFailed, match="the container db does not start"):
        pod.ring(0.2)
    os.close(pod._held.pop())
