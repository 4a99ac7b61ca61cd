"""The sample of docs/stacks.md is complete and valid; tests/lab runs it on a host."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.settings import load
from tests.support import samples

PAGE = load.root() / "docs/stacks.md"


def test_the_sample_is_a_valid_stack(tmp_path: Path) -> None:
    samples.write(PAGE, tmp_path)
    env, entry, stack = load.load("hello", at=tmp_path)
    web = stack.service("web")
    assert (env.lab is not None, entry.port, web.replicas, stack.secrets) == (True, 8090, 2, ())
    assert web.route is not None
    assert stack.smoke[0].contains in web.compose["environment"]["GREETING"]  # type: ignore[operator]
    assert not stack.of_role("accessory")


def test_the_samples_server_is_python(tmp_path: Path) -> None:
    files = samples.extract(PAGE)
    assert set(files) == {
        "compose/hello/web/server.py", "compose/hello/web/Dockerfile", "compose/hello/compose.yaml", "envs/hello.yml",
    }  # fmt: skip
    compile(files["compose/hello/web/server.py"], "server.py", "exec")
    lines = files["compose/hello/web/Dockerfile"].splitlines()
    assert lines[0] == "FROM python:3.13-slim-trixie"
    assert "USER 10001:10001" in lines
    assert any(line.startswith("HEALTHCHECK") for line in lines)


def test_a_sample_never_leaves_the_checkout(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("`a/../../b`\n\n```text\nx\n```\n")
    with pytest.raises(ValueError, match="b"):
        samples.extract(page)
