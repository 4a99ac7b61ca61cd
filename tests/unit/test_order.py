"""What tests of labs are run together: every one is found, in the order that `tests/conftest.py` tells."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import LONG, share

LAB = Path(__file__).parents[1] / "lab"


def test_what_is_named_is_there_and_the_rest_of_a_folder_stays_together() -> None:
    files = sorted(LAB.rglob("test_*.py"))
    found = {file: share(f"tests/lab/{file.relative_to(LAB)}::test_x") for file in files}
    assert {place for place, _ in found.values()} >= set(range(len(LONG))), "a name that no file begins with"
    for folder in {file.parent for file in files} - {LAB}:
        assert len({found[file] for file in files if file.parent == folder}) <= 2, "each is a lab"
    assert share("tests/lab/data/test_migrate.py::test_a") == share("tests/lab/data/test_restore_anything.py::test_b")
    assert share("tests/unit/data/test_backups.py::test_a") == (len(LONG), "tests/unit/data/test_backups.py")
