"""Doing the same to several things side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

_Thing = TypeVar("_Thing")
_Answer = TypeVar("_Answer")


def each(function: Callable[[_Thing], _Answer], things: Sequence[_Thing], at_once: int = 8) -> list[_Answer]:
    """Return what `function` answers for each of `things`, so many at once. What one raises is raised once all have ended."""
    if len(things) < 2:
        return [function(thing) for thing in things]
    from concurrent.futures import ThreadPoolExecutor  # 5 ms of logging and its kin, which most sessions never need

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(function, things))
