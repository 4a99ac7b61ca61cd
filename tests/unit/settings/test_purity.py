"""Settings touch no network, no clock and no subprocess; only secrets may run a command."""

from __future__ import annotations

import ast
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import slipway.settings
from slipway.settings import load

from .conftest import LOCAL, Checkout

FOLDER = Path(slipway.settings.__file__).parent
IMPURE = {"socket", "subprocess", "time", "datetime", "http", "urllib", "random", "docker", "fabric", "ansible"}
WITH_COMMANDS = {"password.py", "editing.py"}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda p: p.name)
def test_imports(path: Path) -> None:
    found = imports(path)
    assert not {name.split(".")[0] for name in found} & IMPURE - ({"urllib"} if path.name == "redact.py" else set())
    assert ("slipway.process" in found) == (path.name in WITH_COMMANDS)
    ours = {name.split(".")[1] for name in found if name.startswith("slipway.")}
    assert ours <= {"settings", "errors", "process"}


def test_loading_touches_nothing_else(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("settings are pure")

    with monkeypatch.context() as patch:
        for module, name in ((socket, "socket"), (subprocess, "Popen"), (time, "time"), (time, "sleep")):
            patch.setattr(module, name, never)
        found = checkout.load()
    assert checkout.load() == found


def test_loading_changes_no_file(checkout: Checkout) -> None:
    def listing() -> list[tuple[str, int]]:
        return sorted((str(p), p.stat().st_mtime_ns) for p in checkout.root.rglob("*"))

    before = listing()
    checkout.load()
    checkout.env("local", LOCAL + "nonsense: 1\n")
    between = listing()
    checkout.fails()
    assert [p for p, _ in before] == [p for p, _ in between]
    assert listing() == between


def test_importing_the_redactor_is_cheap() -> None:
    code = (
        "import sys, slipway.settings.redact;"
        "print([m for m in ('pydantic', 'yaml', 'cryptography') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=load.root(), check=True)
    assert done.stdout.strip() == "[]"


def test_ansible_is_never_imported() -> None:
    code = (
        "import sys; from slipway.settings import vault; assert vault.decrypt(vault.encrypt('a', 'b'), 'b') == 'a';"
        "print('ansible' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=load.root(), check=True)
    assert done.stdout.strip() == "False"
