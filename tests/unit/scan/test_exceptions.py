"""Exceptions of a scan: each with a reason and an end, after which the finding is back."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from slipway.errors import BadInput
from slipway.scan import exceptions
from slipway.scan.finding import Finding

TODAY = datetime.date(2026, 6, 1)
FOUND = Finding("compose/shop/Dockerfile", 3, "DL3008", "pin versions", "warning", "hadolint")
OTHER = Finding("compose/shop/Dockerfile", 9, "DL3009", "clean up", "warning", "hadolint")


def read(folder: Path, *entries: str) -> list[exceptions.Allowed]:
    (folder / exceptions.FILE).write_text("exceptions:\n" + "".join(f"  - {entry}\n" for entry in entries))
    return exceptions.read(folder)


def allowed(folder: Path, until: str, file: str = "compose/*/Dockerfile") -> list[exceptions.Allowed]:
    return read(folder, f"{{rule: DL3008, file: {file}, reason: they come from a mirror, until: {until}}}")


def test_without_a_file_nothing_is_excepted(tmp_path: Path) -> None:
    assert exceptions.read(tmp_path) == []


@pytest.mark.parametrize("until", ["2026-06-01", "2027-01-01"])
def test_a_finding_is_excepted_until_the_end_of_its_day(tmp_path: Path, until: str) -> None:
    remaining, count = exceptions.apply([FOUND, OTHER], allowed(tmp_path, until), TODAY)
    assert (remaining, count) == ([OTHER], 1)


def test_after_that_it_is_back_and_its_exception_is_told(tmp_path: Path) -> None:
    remaining, count = exceptions.apply([FOUND], allowed(tmp_path, "2026-05-31"), TODAY)
    assert count == 0
    assert FOUND in remaining
    (told,) = [f for f in remaining if f != FOUND]
    assert (told.file, told.line, told.rule) == (exceptions.FILE, 2, "exception-ended")
    assert "they come from a mirror" in told.words


def test_an_exception_for_nothing_is_told(tmp_path: Path) -> None:
    remaining, count = exceptions.apply([FOUND], allowed(tmp_path, "2027-01-01", "compose/other/*"), TODAY)
    assert count == 0
    assert [f.rule for f in remaining] == ["DL3008", "exception-unused"]


def test_all_that_is_wrong_with_the_file_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        read(
            tmp_path, "{rule: A, file: b, until: 2027-01-01}", "{rule: A, file: b, reason: c, until: soon}",
            "{rule: A, file: b, reason: c, until: 2027-01-01, untl: x}", "just words",
        )  # fmt: skip
    for words in (
        f"{exceptions.FILE}:2: exceptions[0]: reason is missing",
        f"{exceptions.FILE}:3: exceptions[1].until: should be a day, like 2027-03-31",
        f'{exceptions.FILE}:4: exceptions[2].untl: unknown key (did you mean "until"?)',
        f"{exceptions.FILE}:5: exceptions[3]: should be a mapping with rule, file, reason, until",
    ):
        assert words in caught.value.seen
