"""The policy on stack files: what is against it, with the line that says it; and that the stacks of this house keep it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from slipway.scan import stackpolicy
from slipway.settings.load import root
from tests.support import samples

GOOD: dict[str, Any] = {
    "build": ".",
    "user": "10001:10001",
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "deploy": {"resources": {"limits": {"memory": "256M", "pids": 100}}},
    "environment": {"TOKEN_FILE": "/run/secrets/token", "API_KEY": "${API_KEY}", "PASSWORD": ""},
}


def scan(folder: Path, **changes: Any) -> list[tuple[str, str, str]]:
    """Return level, rule and the text of the line of each finding of a stack whose service has these changes."""
    section = {k: v for k, v in {**GOOD, **changes}.items() if v is not None}
    path = folder / "compose/shop/compose.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"services": {"web": section}}, sort_keys=False))
    lines = path.read_text().splitlines()
    found = stackpolicy.scan(folder, "compose/shop/compose.yaml")
    assert {f.file for f in found} <= {"compose/shop/compose.yaml"}
    return [(f.level, f.rule, lines[f.line - 1].strip()) for f in found]


def test_a_service_that_keeps_it(tmp_path: Path) -> None:
    assert scan(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "level", "rule", "line"),
    [
        ({"read_only": None}, "warning", "writable-root", "web:"),
        ({"user": "root"}, "error", "root-user", "user: root"),
        ({"user": "0:0"}, "error", "root-user", "user: 0:0"),
        ({"user": None}, "error", "root-user", "web:"),
        ({"cap_drop": ["NET_RAW"]}, "warning", "capabilities", "cap_drop:"),
        ({"cap_add": ["CHOWN", "SYS_ADMIN"]}, "error", "strong-capability", "- SYS_ADMIN"),
        ({"cap_add": ["CAP_SYS_PTRACE"]}, "error", "strong-capability", "- CAP_SYS_PTRACE"),
        ({"security_opt": None}, "warning", "new-privileges", "web:"),
        (
            {"security_opt": ["no-new-privileges", "seccomp=unconfined"]},
            "error", "unconfined", "- seccomp=unconfined",
        ),
        ({"pid": "host"}, "error", "host-namespace", "pid: host"),
        ({"devices": ["/dev/kvm"]}, "warning", "device", "devices:"),
        ({"deploy": {"resources": {"limits": {"pids": 9}}}}, "warning", "memory-limit", "deploy:"),
        ({"deploy": {"resources": {"limits": {"memory": "1G"}}}}, "warning", "process-limit", "deploy:"),
        ({"environment": {"DB_PASSWORD": "hunter2"}}, "error", "secret-in-environment", "DB_PASSWORD: hunter2"),
        ({"environment": ["STRIPE_API_KEY=abc"]}, "error", "secret-in-environment", "- STRIPE_API_KEY=abc"),
        ({"environment": {"TOKEN": "${TOKEN:-abc}"}}, "error", "secret-in-environment", "TOKEN: ${TOKEN:-abc}"),
    ],
)  # fmt: skip
def test_what_is_against_it(tmp_path: Path, changes: dict[str, Any], level: str, rule: str, line: str) -> None:
    assert scan(tmp_path, **changes) == [(level, rule, line)]


def test_the_user_of_the_dockerfiles_last_stage_counts(tmp_path: Path) -> None:
    dockerfile = tmp_path / "compose/shop/Dockerfile"
    dockerfile.parent.mkdir(parents=True)
    dockerfile.write_text("FROM a AS b\nUSER 1:1\nFROM c\nRUN x\nUSER 10001:10001\n")
    assert scan(tmp_path, user=None) == []
    dockerfile.write_text("FROM a AS b\nUSER 1:1\nFROM c\n")
    assert [rule for _, rule, _ in scan(tmp_path, user=None)] == ["root-user"]


def test_accessories_are_somebody_elses_images(tmp_path: Path) -> None:
    assert scan(tmp_path, build=None, image="postgres:17", user=None, read_only=None) == []


def test_the_stacks_of_this_house_keep_it(tmp_path: Path) -> None:
    names = [str(p.relative_to(root())) for p in sorted(root().glob("compose/*/compose.yaml"))]
    assert names
    assert [f for name in names for f in stackpolicy.scan(root(), name)] == []
    samples.write(root() / "docs/stacks.md", tmp_path)
    assert stackpolicy.scan(tmp_path, "compose/hello/compose.yaml") == [], "what docs/stacks.md has a newcomer write"
