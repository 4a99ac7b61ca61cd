"""What the pages say exists: the pages and places they link to, the files, tasks, flags and settings they name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from invoke.exceptions import ParseError

import tasks
from slipway.settings import model
from tests.support import commands
from tests.support.commands import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SAMPLES = ("compose/hello", "compose/<", "envs/hello")
"""Beginnings of paths that a page has the reader write."""
NOT_SETTINGS = {
    "known_hosts", "docker_apt_repository", "in_progress", "slipway_migrations", "applied_at", "pg_dump", "rto_s", "rpo_s",
    "request_id",
}  # fmt: skip
"""Names with an underscore that are something else: files of SSH's, variables of the playbook, keys of documents, tools."""

pytestmark = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^( *)```.*?^\1```$", "", page.read_text(), flags=re.M | re.S)


def blocks(page: Path) -> Iterator[str]:
    """Yield a page's blocks of commands."""
    for found in re.finditer(r"^( *)```(?:console|sh)\n(.*?)^\1```$", page.read_text(), flags=re.M | re.S):
        yield found[2]


def code(page: Path) -> list[str]:
    """Return what stands between backquotes in a page's prose."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def anchors(page: Path) -> set[str]:
    """Return the names that the headings of a page get."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), target


def test_files_are_where_the_page_says(page: Path) -> None:
    tops = {path.name for path in ROOT.iterdir()} - {".slipway", ".venv"}
    for words in code(page):
        name = words.removeprefix("./")
        if name.partition("/")[0] not in tops or " " in name or "/" not in name or name.startswith(SAMPLES):
            continue
        pattern = re.sub(r"<[^>]*>|…", "*", name).rstrip("/")
        # A vault is made by `inv secrets.init`; a new checkout has none.
        assert "vault" in pattern or any(ROOT.glob(pattern)), words


def test_tasks_and_flags_exist(page: Path) -> None:
    for words in code(page):
        call = re.match(r"(?:\./)?inv ([a-z]+(?:\.[a-z]+)?)(?= |$)(.*)", words)
        if call:
            assert call[1] in commands.VERBS, words
            assert set(re.findall(r"--[a-z]+", call[2])) <= options(call[1]), words


def options(verb: str) -> set[str]:
    """Return the flags of a task."""
    return {f"--{argument.name.rstrip('_')}" for argument in tasks.namespace[verb].get_arguments()}


def test_commands_are_understood(page: Path) -> None:
    for block in blocks(page):
        for words in commands.calls(block):
            try:
                commands.parse(words)
            except ParseError as error:
                pytest.fail(f"inv {' '.join(words)}: {error}")


def test_settings_are_called_what_they_are_called(page: Path) -> None:
    models = [m for m in vars(model).values() if isinstance(m, type) and issubclass(m, model.Model)]
    known = {field.alias or name for m in models for name, field in m.model_fields.items()}
    compose = {"stop_grace_period", "container_name", "network_mode", "external_links", "env_file", "volumes_from"}
    compose |= {"cap_add", "depends_on", "pull_policy", "restart_policy", "cpu_shares"}
    for words in code(page):
        if re.fullmatch(r"[a-z]+(_[a-z]+)+", words):
            assert words in known | compose | NOT_SETTINGS, words


def test_a_page_is_about_slipway_and_no_machine(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"/(work|root|tmp|home)/|deb\.debian\.org|pypi|docker\.io/|ghcr\.io", text)
    assert "\t" not in text
