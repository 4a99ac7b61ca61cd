"""Checks of this repository itself: tests, linters, benchmarks."""

from __future__ import annotations

from pathlib import Path

from invoke import Context

from slipway.tasks import agreed, task
from slipway.tasks.words import WordTask


@task(
    "yes",
    fast="only those that need no container engine (seconds)",
    only="only tests whose names match, as pytest's -k",
)
def test(_: Context, fast: bool = False, only: str = "", yes: bool = False) -> int:
    """Run Slipway's own tests, from units to real hosts in labs of their own."""
    from slipway import quality

    return quality.test(fast=fast, only=only, yes=agreed(yes))


@task()
def lint(_: Context) -> int:
    """Run all linters on this repository; exits 0 when it is clean."""
    from slipway import quality

    return quality.lint()


_BENCHMARKS = sorted(p.stem.removeprefix("bench_") for p in Path(__file__).parents[2].glob("tests/bench/bench_*.py"))


@task(
    klass=WordTask,
    long="as long as docs/benchmarks.md asks for, instead of minutes",
    cold="from nothing as well: empties the engine's build cache and the lab's images",
    document="put the result into docs/benchmarks.md",
)
def bench(_: Context, what: str = "deploy", long: bool = False, cold: bool = False, document: bool = False) -> int:
    """Measure how fast and loss-free deploys are, against doing it by hand."""
    from slipway import quality

    flags = {"--long": long, "--cold": cold, "--document": document}
    return quality.bench(what, [flag for flag, given in flags.items() if given])


bench.words = {name: f"this one, tests/bench/bench_{name}.py (without a word: deploy)" for name in _BENCHMARKS}
