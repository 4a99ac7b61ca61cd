"""What tests of labs are run together, and in which order (`tests/conftest.py`)."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import LONG, share

LAB = Path(__file__).parents[1] / "lab"


def test_what_is_named_is_there_and_a_folder_stays_together() -> None:
    assert [name for name in LONG if not (LAB / name).exists()] == []
    first, second = share("tests/lab/data/test_migrate.py::test_a"), share("tests/lab/data/test_backup.py::test_b[x]")
    assert first == second == (LONG.index("data"), "tests/lab/data")
    assert share("tests/lab/test_dev.py::test_a") == (LONG.index("test_dev.py"), "tests/lab/test_dev.py")
    for other in ("tests/unit/data/test_backups.py", "tests/lab/test_registry.py"):
        assert share(f"{other}::test_a") == (len(LONG), other)
