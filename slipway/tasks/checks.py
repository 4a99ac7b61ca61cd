"""Checks of this repository itself: tests, linters, benchmarks."""

from __future__ import annotations

from pathlib import Path

from invoke import Context

from slipway.tasks import agreed, document, out, task
from slipway.tasks.words import WordTask


@task(
    "yes",
    fast="only those that need no container engine (seconds)",
    only="only tests whose names match, as pytest's -k",
    cluster="only those on a cluster, which docs/kubernetes.md tells how to give",
)
def test(_: Context, fast: bool = False, only: str = "", yes: bool = False, cluster: bool = False) -> int:
    """Run Slipway's own tests, from units to real hosts in labs of their own."""
    from slipway import quality

    return quality.test(fast=fast, only=only, yes=agreed(yes), cluster=cluster)


@task()
def lint(_: Context) -> int:
    """Run all linters on this repository; exits 0 when it is clean."""
    from slipway import quality

    return quality.lint()


@task(
    "format",
    strict="fail for warnings too, and for what could not be looked at",
    image="images for Trivy besides those that files name, with commas",
)
def scan(_: Context, strict: bool = False, image: str = "", format: str = "text") -> int:
    """Look for weak spots: Dockerfiles, secrets, packages, stack files and manifests, images.

    Exits 1 where it finds an error. What is to stay for a while is written into scan-exceptions.yml, with a reason and an end
    date. docs/pipeline.md tells more.
    """
    as_json = document(format)
    from slipway import report
    from slipway.scan import scan as scanning

    found = scanning.scan([name.strip() for name in image.split(",") if name.strip()])
    out(found if as_json else scanning.text(found))
    report.current().page.append(f"```text\n{scanning.text(found)}\n```")
    return int(scanning.failed(found, strict=strict))


@task("format", only="take the newest version of this one: change its files")
def bump(_: Context, only: str = "", format: str = "text") -> None:
    """Show what is newer than what is used here: base images, Python packages, collections, actions.

    With --only NAME that one thing is changed, in all files that name it; look at the difference, and test. What could not be
    reached is said.
    """
    as_json = document(format)
    from slipway.bump import bump as bumping

    if not only:
        found = bumping.look()
        out(bumping.document(found) if as_json else bumping.text(found))
        return
    one, files = bumping.change(only)
    told = {"kind": one.kind, "name": one.name, "now": one.now, "then": one.then, "files": files}
    out(told if as_json else f"{one.name} {one.now} → {one.then}: {', '.join(files)}")


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
