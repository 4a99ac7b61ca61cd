"""The whole scan: every scanner side by side, exceptions taken off, findings told and counted."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from slipway import checkpackages, report
from slipway.errors import SlipwayError
from slipway.scan import exceptions, files, podpolicy, scanners, stackpolicy
from slipway.scan.finding import Finding, Report
from slipway.settings.load import root


def scan(images: Sequence[str] = ()) -> dict[str, Any]:
    """Scan this checkout, and the images named besides.

    Returns:
        `{findings: [{file, line, level, rule, words, tool}], excepted, unseen, absent}`; see `slipway.scan.finding`.

    Raises:
        BadInput: an exception is not whole.
    """
    checkpackages.ensure()
    base, today = root(), datetime.datetime.now(datetime.UTC).date()
    allowed = exceptions.read(base)
    whole = Report()
    with ThreadPoolExecutor(2) as pool:
        for part in pool.map(lambda named: _one(*named), _scanners(base, images).items()):
            whole.add(part)
    remaining, excepted = exceptions.apply(whole.findings, allowed, today)
    for finding in remaining:
        report.annotate(finding.words, file=finding.file, line=finding.line, title=finding.rule, level=finding.level)
    return {
        "findings": [vars(f) for f in remaining],
        "excepted": excepted,
        "unseen": whole.unseen,
        "absent": whole.absent,
    }


def failed(found: dict[str, Any], *, strict: bool) -> bool:
    """Tell whether a scan failed: an error is there; or, `strict`, anything at all, or something could not be looked at."""
    levels = [f["level"] for f in found["findings"]]
    return "error" in levels or (strict and bool(levels or found["unseen"]))


def text(found: dict[str, Any]) -> str:
    """Return a scan as people read it."""
    lines = [str(Finding(**f)) for f in found["findings"]]
    lines += [f"! not looked at: {words}" for words in found["unseen"]]
    lines += [f"- left out: {words}" for words in found["absent"]]
    counted = f"{len(found['findings'])} findings, {found['excepted']} excepted ({exceptions.FILE})"
    return "\n".join([*lines, counted])


def _scanners(base: Path, images: Sequence[str]) -> dict[str, Callable[[], Report]]:
    return {
        "Scan for secrets": lambda: scanners.secrets(base),
        "Scan packages": lambda: scanners.packages(base),
        "Scan Dockerfiles": lambda: scanners.dockerfiles(base),
        "Scan stack files": lambda: _policy(base, stackpolicy.scan, "compose/*/compose.yaml"),
        "Scan manifests": lambda: _policy(base, podpolicy.scan, "k8s/*.yml", "k8s/*.yaml"),
        "Scan images": lambda: scanners.images(base, images),
    }


def _policy(base: Path, judge: Callable[[Path, str], list[Finding]], *patterns: str) -> Report:
    return Report([finding for name in files.tracked(base, *patterns) for finding in judge(base, name)])


def _one(title: str, scanner: Callable[[], Report]) -> Report:
    with report.step(title) as step:
        try:
            found = scanner()
        except SlipwayError as error:  # it is broken, or not there: the others go on
            found = Report(unseen=[f"{title}: {error}"])
        words = [f"{len(found.findings)} findings" if found.findings else "clean"] if not found.absent else ["left out"]
        step.done(", ".join([*words, *(["not all could be looked at"] if found.unseen else [])]))
    return found
