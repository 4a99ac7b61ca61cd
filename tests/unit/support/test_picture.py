"""The picture of a run: what it shows is what was counted."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

from tests.support import picture

SVG = "{http://www.w3.org/2000/svg}"


def timeline(seconds: float = 10, **changes: Any) -> dict[str, Any]:
    size = round(seconds * 10)
    half = size // 2
    found = {
        "every": 0.1, "requests": [20] * size, "errors": [0] * size, "p99_ms": [5.0] * size,
        "answers": {"old": [20] * half + [0] * (size - half), "new": [0] * half + [20] * (size - half)},
    }  # fmt: skip
    return {**found, **changes}


def words(svg: str) -> list[str]:
    return [str(t.text) for t in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def heights(svg: str) -> list[set[float]]:
    """Return the heights at which each area has corners."""
    areas = ElementTree.fromstring(svg).iter(f"{SVG}polygon")
    return [{float(p.partition(",")[2]) for p in a.attrib["points"].split()} for a in areas]


def test_it_tells_what_was_counted() -> None:
    svg = picture.draw(timeline(), [(5.0, "Switch <b>")], "deploys & rollbacks")
    told = words(svg)
    assert "deploys & rollbacks" in told
    assert "Switch <b>" in told
    assert {"old", "new", "requests/s", "failed", "p99, ms", "200"} <= set(told), "20 in 0.1 s are 200 a second"
    assert svg == picture.draw(timeline(), [(5.0, "Switch <b>")], "deploys & rollbacks")


def test_a_single_failure_can_be_seen() -> None:
    errors = [0] * 36000
    without = picture.draw(timeline(3600, errors=errors), [], "an hour")
    with_one = picture.draw(timeline(3600, errors=[*errors[:-700], 1, *errors[-699:]]), [], "an hour")
    assert len(heights(without)[2]) == 1, "a flat line"
    assert len(heights(with_one)[2]) == 2


def test_a_stretch_of_it() -> None:
    svg = picture.draw(timeline(), [(1.0, "before"), (5.0, "within")], "a stretch", begin=4, end=6)
    assert "within" in words(svg)
    assert "before" not in words(svg)
    assert "old" in words(svg)
    assert not re.search("NaN|inf", svg)
