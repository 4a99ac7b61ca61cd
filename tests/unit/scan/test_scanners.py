"""Other people's scanners on a small checkout, and what becomes of what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slipway import checkpackages
from slipway.process import run
from slipway.scan import files, scan, scanners
from slipway.scan.finding import Finding, Report

KEY = "-----BEGIN OPENSSH " + "PRIVATE KEY-----\n"  # in two parts, or it would be found here


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    run(["git", "init", "-q"], cwd=tmp_path)
    return tmp_path


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    run(["git", "add", "-f", name], cwd=folder)


def test_secrets_by_line_and_without_their_value(checkout: Path) -> None:
    write(checkout, "envs/local.yml", "a: b\nregistry:\n  password: 'hunter2-horse'\n")
    write(checkout, "tests/test_login.py", "password = 'hunter2-horse'\n")
    write(checkout, "tests/key", f"\n{KEY}")
    (checkout / "new.py").write_text("password = 'hunter2-horse'\n")  # git does not know it yet
    # A manifest that names a Secret holds none.
    write(checkout, "k8s/shop/base/web.yaml", "secret:\n  secretName: shop-values\npassword: 'hunter2-horse'\n")
    write(checkout, "envs/staging.vault.yml", "fineasy: {}\n")
    write(checkout, "envs/production.vault.yml", "$ANSIBLE_VAULT;1.1;AES256\n3030\n")
    found = scanners.secrets(checkout).findings
    assert {(f.file, f.line, f.rule, f.level) for f in found} == {
        ("envs/local.yml", 3, "secret-keyword", "error"), ("tests/key", 2, "private-key", "error"),
        ("new.py", 1, "secret-keyword", "error"), ("k8s/shop/base/web.yaml", 3, "secret-keyword", "error"),
        ("envs/staging.vault.yml", 1, "plain-vault", "error"),
    }  # fmt: skip
    assert "hunter2" not in repr(found)


def test_dockerfiles_by_line(checkout: Path) -> None:
    write(checkout, "compose/shop/Dockerfile", "FROM debian\nRUN cd /tmp\n")
    found = {(f.file, f.line, f.rule): f.level for f in scanners.dockerfiles(checkout).findings}
    assert found[("compose/shop/Dockerfile", 1, "DL3006")] == "warning"
    assert ("compose/shop/Dockerfile", 2, "DL3003") in found


LOCK = "# made by uv\nalembic==1.20.1 \\\n    --hash=sha256:aa\nruamel-yaml==0.19.1\n"


def test_packages_with_a_known_weakness() -> None:
    weak = {"id": "PYSEC-2026-1", "fix_versions": ["0.19.2", "0.20"], "aliases": []}
    told = {
        "dependencies": [
            {"name": "alembic", "version": "1.20.1", "vulns": []},
            {"name": "ruamel.yaml", "version": "0.19.1", "vulns": [weak]},
        ]
    }
    found = scanners.audited("requirements.lock", LOCK, told)
    assert found.unseen == []
    (one,) = found.findings
    assert (one.file, one.line, one.rule, one.level) == ("requirements.lock", 4, "PYSEC-2026-1", "error")
    assert "mended in 0.19.2, 0.20" in one.words


def test_packages_that_nobody_has_data_on_were_not_looked_at() -> None:
    """Where its service is out of reach, pip-audit says «no known vulnerabilities»."""
    told = {"dependencies": [{"name": n, "skip_reason": "not found"} for n in ("alembic", "ruamel.yaml")]}
    found = scanners.audited("requirements.lock", LOCK, told)
    assert found.findings == []
    assert found.unseen == [
        "requirements.lock: pip-audit could not reach its data on 2 of 2 packages (alembic, ruamel.yaml)"
    ]


def test_an_audit_that_breaks_off_is_told(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(checkout, "requirements.lock", "not a list of packages at all ==\n")
    (words,) = scanners.packages(checkout).unseen
    assert words.startswith("requirements.lock: pip-audit could not reach its data")


def test_images_where_they_are_named(checkout: Path) -> None:
    write(
        checkout,
        "compose/shop/web/Dockerfile",
        "FROM python:3.13 AS base\nFROM base\nFROM --platform=x alpine:3\nFROM $X\n",
    )
    write(checkout, "compose/shop/compose.yaml", "services:\n  db:\n    image: postgres:17 # the database\n")
    write(checkout, "docs/x.yaml", "image: nothing:1\n")
    assert list(files.images(checkout)) == [
        ("compose/shop/web/Dockerfile", 1, "python:3.13"), ("compose/shop/web/Dockerfile", 3, "alpine:3"),
        ("compose/shop/compose.yaml", 3, "postgres:17"),
    ]  # fmt: skip


def test_weaknesses_of_an_image() -> None:
    """As Trivy's JSON has them; the same one in two layers counts once."""
    one = {"VulnerabilityID": "CVE-2026-1", "PkgName": "openssl", "InstalledVersion": "3.5.1", "FixedVersion": "3.5.2"}
    told = {
        "Results": [
            {"Vulnerabilities": [{**one, "Severity": "CRITICAL"}, {**one, "VulnerabilityID": "CVE-2", "Severity": "HIGH"}]},
            {"Vulnerabilities": [{**one, "Severity": "CRITICAL"}]}, {"Target": "nothing"},
        ]
    }  # fmt: skip
    found = scanners.weaknesses("python:3.13", "compose/shop/Dockerfile", 2, told)
    assert [(f.file, f.line, f.rule, f.level) for f in found] == [
        ("compose/shop/Dockerfile", 2, "CVE-2026-1", "error"), ("compose/shop/Dockerfile", 2, "CVE-2", "warning"),
    ]  # fmt: skip
    assert "openssl 3.5.1, mended in 3.5.2" in found[0].words


def test_without_trivy_images_are_left_out_and_said(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert scanners.images(checkout, []) == Report(absent=["images: trivy is not installed"])


WARNING = vars(Finding("a", 1, "r", "w", "warning", "t"))
ERROR = {**WARNING, "level": "error"}


@pytest.mark.parametrize(
    ("findings", "unseen", "plain", "strict"),
    [([], [], 0, 0), ([WARNING], [], 0, 1), ([ERROR], [], 1, 1), ([], ["x"], 0, 1)],
)
def test_when_a_scan_fails(findings: list[Any], unseen: list[str], plain: int, strict: int) -> None:
    found = {"findings": findings, "unseen": unseen, "excepted": 0, "absent": ["trivy"]}
    assert [scan.failed(found, strict=False), scan.failed(found, strict=True)] == [bool(plain), bool(strict)]


def test_a_whole_scan_of_a_checkout(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exceptions are taken off, and a scanner that is not there is told and keeps nobody."""
    monkeypatch.setattr(scan, "root", lambda: checkout)
    monkeypatch.setattr(checkpackages, "ensure", lambda: None)
    monkeypatch.setattr(scanners, "_VENV", Path("/nowhere"))
    write(checkout, "compose/shop/compose.yaml", "services:\n  web:\n    build: .\n    pid: host\n")
    write(checkout, "Dockerfile", "FROM debian:13\n")
    rules = ("root-user", "writable-root", "capabilities", "new-privileges", "memory-limit", "process-limit")
    entries = [f"  - {{rule: {r}, file: compose/shop/compose.yaml, reason: x, until: 2999-01-01}}\n" for r in rules]
    write(checkout, "scan-exceptions.yml", "exceptions:\n" + "".join(entries))
    found = scan.scan()
    assert [(f["file"], f["line"], f["rule"]) for f in found["findings"]] == [
        ("compose/shop/compose.yaml", 4, "host-namespace")
    ]
    assert found["excepted"] == 6
    assert any("hadolint is not installed" in words for words in found["unseen"])
    assert "compose/shop/compose.yaml:4: error: web: `pid: host`" in scan.text(found)
