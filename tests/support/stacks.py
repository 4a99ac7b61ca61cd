"""Stacks and environments for the checkouts of tests, and a vault's values."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path
from typing import Any

import yaml

from tests.support.checkout import Checkout

_HERE = Path(__file__).parent


def add_probe(checkout: Checkout) -> None:
    """Put the stack `probe` into a checkout: two routed services in two phases, a worker, a store, a secret, a migration."""
    shutil.copytree(_HERE / "probe", checkout.path / "compose/probe")


def add_single(checkout: Checkout, name: str) -> None:
    """Put a stack of one service, which is `probe`'s, into a checkout."""
    folder = checkout.path / "compose" / name
    shutil.copytree(_HERE / "single", folder)
    shutil.copytree(_HERE / "probe/web", folder / "web", dirs_exist_ok=True)


def add_library(checkout: Checkout) -> None:
    """Put the stack `library` into a checkout: one service, a Postgres, migrations in SQL (`web/migrations`)."""
    folder = checkout.path / "compose/library"
    shutil.copytree(_HERE / "library", folder)
    shutil.copytree(
        _HERE / "probe/web", folder / "web", dirs_exist_ok=True, ignore=shutil.ignore_patterns("migrations")
    )


def add_books(checkout: Checkout) -> None:
    """Put the stack `books` into a checkout: a database, a queue and files, all of them kept."""
    shutil.copytree(_HERE / "books", checkout.path / "compose/books")
    shutil.copytree(_HERE / "probe/web", checkout.path / "compose/books/web")


def add_scribe(checkout: Checkout) -> None:
    """Put the stack `scribe` into a checkout: says what it is asked to, and numbers the lines of a file."""
    shutil.copytree(_HERE / "scribe", checkout.path / "compose/scribe")


def environment(checkout: Checkout, name: str, stacks: str, *, hosts: int = 1, **more: str) -> None:
    """Write `envs/<name>.yml`: a lab that starts from a provisioned host. `stacks` is YAML, `more` further top-level keys."""
    text = f"lab: {{hosts: {hosts}, kind: provisioned}}\nallow_dirty: true\nstacks: {stacks}\n"
    checkout.write(f"envs/{name}.yml", text + "".join(f"{key}: {value}\n" for key, value in more.items()))


def behave(checkout: Checkout, label: str, mode: str = "good", stack: str = "probe", **more: object) -> None:
    """Make a stack another version: its label (an image layer differs), and how it behaves."""
    checkout.write(f"compose/{stack}/web/behaviour.json", json.dumps({"label": label, "mode": mode, **more}) + "\n")


def add_job(checkout: Checkout, name: str, code: str, **keys: Any) -> None:
    """Give the stack `probe` a job that runs Python in its image; `keys` are more keys of Compose, over the job's own."""
    file = "compose/probe/compose.yaml"
    stack = yaml.safe_load(checkout.read(file))
    environment = {"STORE": "store:6379"}
    job = {
        "build": "./web",
        "command": ["python", "-c", code],
        "environment": environment,
        "x-slipway": {"role": "job"},
    }
    stack["services"][name] = {**job, **keys}
    checkout.write(file, yaml.safe_dump(stack, sort_keys=False))


def plant(checkout: Checkout, env: str, stack: str, **secrets: str) -> None:
    """Give secrets of a vault other values, as a person does: with `inv secrets.edit` and an editor."""
    checkout.inv("secrets.init", "--env", env).ok()
    editor = checkout.path.parent / "editor"
    values = json.dumps(secrets)
    editor.write_text(
        "#!/usr/bin/env python3\nimport json, sys\nfrom pathlib import Path\n"
        f"new, stack, path = {values}, {stack!r}, Path(sys.argv[-1])\n"
        "lines, inside = [], False\n"
        "for line in path.read_text().splitlines():\n"
        "    inside = line.rstrip() == stack + ':' if not line.startswith(' ') else inside\n"
        "    name = line.strip().partition(':')[0]\n"
        "    if not (inside and name in new):\n"
        "        lines.append(line)\n"
        "    if inside and not line.startswith(' '):\n"
        "        lines += [f'  {name}: {json.dumps(value)}' for name, value in new.items()]\n"
        "path.write_text('\\n'.join(lines) + '\\n')\n"
    )
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    checkout.inv("secrets.edit", "--env", env, EDITOR=str(editor), VISUAL=str(editor)).ok()
