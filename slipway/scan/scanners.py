"""Other people's scanners, and how what they say becomes findings with file and line."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from slipway.errors import SlipwayError
from slipway.process import run
from slipway.scan import files
from slipway.scan.finding import Finding, Level, Report

_VENV = Path(sys.executable).parent
_GUESSES = ("Secret Keyword",)
"""What detect-secrets takes for a secret by the name that it is given to: tests and pages have many such names."""
_NAMED = r"^\s*(secretName|-? ?secretRef): "
"""Lines of manifests that name a Secret, which holds what the vault has."""
_LOCKED = re.compile(r"(^|/)requirements[\w-]*\.(lock|txt)$")
"""Lists of hashes."""
_VAULT = "$ANSIBLE_VAULT;"


def dockerfiles(root: Path) -> Report:
    """Ask hadolint about every Dockerfile."""
    names = files.tracked(root, "*Dockerfile")
    if not names:
        return Report()
    done = run([_VENV / "hadolint", "--no-fail", "--format", "json", *names], cwd=root)
    levels: dict[str, Level] = {"error": "error"}
    return Report(
        [
            Finding(f["file"], f["line"], f["code"], f["message"], levels.get(f["level"], "warning"), "hadolint")
            for f in json.loads(done.out)
        ]
    )


def secrets(root: Path) -> Report:
    """Ask detect-secrets about every file, and look whether the vaults are encrypted. No value is told."""
    names = [name for name in files.tracked(root) if not _LOCKED.search(name)]
    if not names:
        return Report()
    # Its own list of files would leave out those that git does not know yet.
    argv: list[str | Path] = [_VENV / "detect-secrets", "scan", "--no-verify", "--exclude-lines", _NAMED, *names]
    done = run(argv, cwd=root, env={"PYTHONDONTWRITEBYTECODE": ""})
    findings = []
    for name, items in json.loads(done.out)["results"].items():
        for item in items:
            if item["type"] in _GUESSES and name.startswith(("tests/", "docs/")):
                continue
            words = f"what looks like a secret ({item['type']}): it belongs into the vault (docs/secrets.md)"
            rule = item["type"].lower().replace(" ", "-")
            findings.append(Finding(name, item["line_number"], rule, words, "error", "detect-secrets"))
    vaults = [name for name in names if name.endswith(".vault.yml")]
    plain = [name for name in vaults if not (root / name).read_text(errors="replace").startswith(_VAULT)]
    findings += [Finding(n, 1, "plain-vault", "the vault is not encrypted", "error", "policy") for n in plain]
    return Report(findings)


def packages(root: Path) -> Report:
    """Ask pip-audit about every list of pinned Python packages. What it has no data on was not looked at."""
    names = [n for n in files.tracked(root, "*requirements*.txt", "*requirements*.lock") if not n.startswith("tests/")]
    report = Report()
    with ThreadPoolExecutor(2) as pool:
        for part in pool.map(lambda name: _audit(root, name), names):
            report.add(part)
    return report


def _audit(root: Path, name: str) -> Report:
    flags = "--no-deps --disable-pip --format json --desc off --progress-spinner off --timeout 5"
    try:
        argv: list[str | Path] = [_VENV / "pip-audit", "--requirement", name, *flags.split()]
        done = run(argv, cwd=root, check=False, timeout=180)
        told = json.loads(done.out)
    except (SlipwayError, ValueError) as error:
        why = str(error) if isinstance(error, SlipwayError) else done.tail(1)
        return Report(unseen=[f"{name}: pip-audit could not reach its data on known weaknesses ({why[-200:]})"])
    return audited(name, (root / name).read_text(), told)


def audited(name: str, text: str, told: dict[str, Any]) -> Report:
    """Return what pip-audit's document says of the packages in the file `name`, whose text is given."""
    report = Report()
    skipped = [d["name"] for d in told["dependencies"] if "skip_reason" in d]
    if skipped:
        some = ", ".join(skipped[:3]) + (", …" if len(skipped) > 3 else "")
        words = f"{len(skipped)} of {len(told['dependencies'])} packages ({some})"
        report.unseen.append(f"{name}: pip-audit could not reach its data on {words}")
    for package in told["dependencies"]:
        for weakness in package.get("vulns", ()):
            fixed = ", ".join(weakness["fix_versions"]) or "no version yet"
            words = f"{package['name']} {package['version']} has a known weakness, mended in {fixed}: inv bump"
            line = _line_of(text, package["name"])
            report.findings.append(Finding(name, line, weakness["id"], words, "error", "pip-audit"))
    return report


def _line_of(text: str, package: str) -> int:
    pattern = re.compile(rf"^{re.sub('[-_.]+', '[-_.]+', package)}\s*==", re.I | re.M)
    found = pattern.search(text)
    return text.count("\n", 0, found.start()) + 1 if found else 1


def images(root: Path, named: Sequence[str]) -> Report:
    """Ask Trivy, where it is installed, about the images that files name, and about those `named` besides."""
    trivy = shutil.which("trivy")
    if not trivy:
        return Report(absent=["images: trivy is not installed"])
    places: dict[str, tuple[str, int]] = {}
    for file, line, image in files.images(root):
        places.setdefault(image, (file, line))
    report = Report()
    for image, (file, line) in {**places, **{n: ("README.md", 1) for n in named if n not in places}}.items():
        argv = [trivy, "image", "--quiet", "--format", "json", "--scanners", "vuln", "--ignore-unfixed"]
        done = run([*argv, "--severity", "HIGH,CRITICAL", image], cwd=root, check=False, timeout=600)
        try:
            report.findings += weaknesses(image, file, line, json.loads(done.out))
        except ValueError:
            report.unseen.append(f"{file}:{line}: trivy could not look at {image} ({done.tail(1)[-200:]})")
    return report


def weaknesses(image: str, file: str, line: int, told: dict[str, Any]) -> list[Finding]:
    """Return what Trivy's document says of an image, one finding for each weakness that a newer package mends."""
    found: dict[str, Finding] = {}
    for result in told.get("Results") or ():
        for one in result.get("Vulnerabilities") or ():
            words = f"{image}: {one['PkgName']} {one['InstalledVersion']}, mended in {one.get('FixedVersion')}"
            level: Level = "error" if one["Severity"] == "CRITICAL" else "warning"
            name = one["VulnerabilityID"]
            found.setdefault(name, Finding(file, line, name, f"{words}: build on a newer image", level, "trivy"))
    return list(found.values())
