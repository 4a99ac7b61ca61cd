"""The launcher, with a Python of our own that makes environments in no time."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from slipway.lab import places

FAKE = r"""#!/bin/sh
case "$*" in
    *'< (3, 11)'*) exit "${TOO_OLD:-0}" ;;
    *'import ensurepip'*) exit "${NO_VENV:-0}" ;;
    *python%d*) echo python3.11-venv ;;
    '-m venv'*) echo venv >> made; rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
    *'pip '*install*)
        sleep "${SLOW:-0}"
        [ -z "${NO_NET:-}" ] || { echo 'no such host' >&2; exit 1; }
        printf '#!/bin/sh\npwd\necho "inv $*"\n' > .venv/bin/inv
        chmod 755 .venv/bin/inv ;;
    *compileall*slipway*) echo compiled >> made ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "check out"
    (root / "slipway").mkdir(parents=True)
    (root / "slipway" / "one.py").touch()
    (root / "tasks.py").touch()
    (root / "requirements.lock").write_text("invoke==2.2.1\n")
    shutil.copy(places.CHECKOUT / "inv", root)
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python3").write_text(FAKE)
    (folder / "python3").chmod(0o755)
    for program in ("sh", "sha256sum", "readlink", "cat", "find", "id", "mkdir", "touch", "cp", "rm", "chmod", "sleep"):
        (folder / program).symlink_to(shutil.which(program) or program)
    if shutil.which("flock"):
        (folder / "flock").symlink_to(shutil.which("flock") or "flock")
    return root


def start(checkout: Path, *words: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [checkout / "inv", *words],
        cwd="/",
        env={"PATH": str(checkout.parent / "bin"), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(checkout: Path, *words: str, **variables: str) -> tuple[int, str, str]:
    process = start(checkout, *words, **variables)
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


def made(checkout: Path) -> list[str]:
    return (checkout / "made").read_text().split() if (checkout / "made").exists() else []


def test_the_first_start_makes_the_environment_and_says_so(checkout: Path) -> None:
    code, out, err = run(checkout, "deploy", "--env", "a b")
    assert (code, out) == (0, f"{checkout}\ninv deploy --env a b\n")
    assert err == "inv: making .venv from requirements.lock (once; about a minute)\n"
    assert made(checkout) == ["venv", "compiled"]


def test_the_second_start_makes_nothing(checkout: Path) -> None:
    run(checkout)
    assert run(checkout, "--list") == (0, f"{checkout}\ninv --list\n", "")
    assert made(checkout) == ["venv", "compiled"]


def test_another_lock_file_or_python_makes_it_anew(checkout: Path) -> None:
    run(checkout)
    (checkout / "requirements.lock").write_text("invoke==2.2.2\n")
    run(checkout)
    assert made(checkout).count("venv") == 2
    (checkout / ".venv" / "bin" / "python").unlink()
    run(checkout)
    assert made(checkout).count("venv") == 3


def test_changed_source_is_compiled_again(checkout: Path) -> None:
    run(checkout)
    later = time.time() + 5
    os.utime(checkout / "slipway" / "one.py", (later, later))
    run(checkout)
    assert made(checkout) == ["venv", "compiled", "compiled"]


def test_a_run_that_was_killed_half_way_is_made_good(checkout: Path) -> None:
    killed = start(checkout, SLOW="60")
    until = time.monotonic() + 10
    while not (checkout / ".venv" / "bin" / "python").exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    os.killpg(killed.pid, 9)
    killed.communicate()
    assert run(checkout)[0] == 0
    assert made(checkout).count("venv") == 2


@pytest.mark.skipif(not shutil.which("flock"), reason="this machine has no flock")
def test_two_at_once_make_one(checkout: Path) -> None:
    both = [start(checkout, SLOW="0.5") for _ in range(2)]
    assert [process.communicate(timeout=20)[0] for process in both] == [f"{checkout}\ninv \n"] * 2
    assert made(checkout).count("venv") == 1


def test_packages_that_cannot_be_had_are_said_and_nothing_is_taken_for_ready(checkout: Path) -> None:
    code, _, err = run(checkout, NO_NET="1")
    assert code == 1
    assert "no such host" in err
    assert "requirements.lock could not be installed" in err
    assert run(checkout)[0] == 0


def test_an_old_python_is_refused_with_what_to_type(checkout: Path) -> None:
    code, _, err = run(checkout, TOO_OLD="1")
    assert code == 1
    assert "Python 3.11 or newer is needed" in err
    assert "apt-get install python3" in err


def test_a_missing_venv_package_is_named(checkout: Path) -> None:
    code, _, err = run(checkout, NO_VENV="1")
    assert (code, err) == (1, "inv: python3.11-venv is missing. As root, type: apt-get install python3.11-venv\n")


def test_it_works_through_a_link(checkout: Path) -> None:
    link = checkout.parent / "bin" / "slipway"
    link.symlink_to(checkout / "inv")
    run(checkout)
    assert (
        subprocess.check_output([link, "x"], env={"PATH": str(link.parent)}, cwd="/", text=True)
        == f"{checkout}\ninv x\n"
    )
