"""The stack's own code, imported from its folder as its image does."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[3] / "compose" / "fineasy"
API = FOLDER / "api"


def forget() -> None:
    """Drop the stack's modules: `app` is a name that another stack may have as well."""
    for name in [name for name in sys.modules if name == "app" or name.startswith("app.")]:
        del sys.modules[name]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Return a function that imports `app.<name>`."""
    forget()
    monkeypatch.syspath_prepend(str(API))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield lambda name: importlib.import_module(f"app.{name}")
    forget()


@pytest.fixture(scope="session")
def stack() -> dict[str, Any]:
    """Return compose.yaml, read."""
    return yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
