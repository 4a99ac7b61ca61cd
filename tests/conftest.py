"""How the tests are shared out among processes (`--dist loadgroup`): a file stays together, and so do files that share a lab."""

from __future__ import annotations

import pytest

LABS = ("workshop", "whole")
"""Fixtures of a session that are a lab: each process that asked for one would start its own."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name the group of each test."""
    labs = {item.path: lab for item in items for lab in LABS if lab in getattr(item, "fixturenames", ())}
    for item in items:
        item.add_marker(pytest.mark.xdist_group(labs.get(item.path, item.path.stem)))
