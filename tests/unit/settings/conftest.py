"""A checkout of its own for each test, with a stack `hello` and an environment `local`."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.errors import BadInput
from slipway.settings import load
from slipway.settings.model import Environment, Stack, StackEntry

STACK = """\
services:
  web:
    build: ./web
    user: "10001:10001"
    secrets: [token]
    environment:
      LOG_LEVEL: "${LOG_LEVEL:-INFO}"
    x-slipway:
      route: {path: /, port: 8000, timeout: 60s}
      health: {live: /health, ready: /health/ready, start_within: 30s}
      drain: 10m
  worker:
    build: {context: ./web, target: worker}
    stop_grace_period: 30s
    x-slipway: {phase: 2}
  db:
    image: postgres:17
    expose: ["5432"]
    volumes: ["data:/var/lib/postgresql/data"]
    x-slipway: {backup: postgres}
secrets:
  token: {environment: HELLO_TOKEN}
volumes:
  data: {}
x-slipway:
  migrate: {service: web, command: [migrate], pending: [pending, list], path: web/migrations}
  smoke:
    - {name: greets, path: /, contains: hello}
"""

LOCAL = """\
lab:
  hosts: 1
stacks:
  - name: hello
    port: 8080
    replicas: {web: 2}
    settings: {LOG_LEVEL: DEBUG}
"""

STAGING = """\
hosts:
  - name: app1
    address: app1.example.com
  - name: app2
    address: app2.example.com
registry:
  push: registry.example.com/slipway
  username: ci
vault_password: {file: /nowhere}
stacks: [hello]
"""

CLUSTER = """\
target: kubernetes
kubernetes: {context: a}
registry: {push: r}
stacks: [hello]
"""


class Checkout:
    """A folder that looks like this repo to the loader."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "envs").mkdir(parents=True)
        (root / "compose/hello/web/migrations").mkdir(parents=True)
        (root / "compose/hello/web/Dockerfile").write_text("FROM scratch\n")
        self.env("local", LOCAL)
        self.env("staging", STAGING)
        self.stack(STACK)

    def overlay(self, env: str) -> None:
        """Make the folder of the stack's manifests for an environment."""
        folder = self.root / "k8s/hello/overlays" / env
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "kustomization.yaml").write_text("resources: []\n")

    def env(self, name: str, text: str) -> None:
        (self.root / "envs" / f"{name}.yml").write_text(text)

    def stack(self, text: str, name: str = "hello") -> None:
        (self.root / "compose" / name).mkdir(exist_ok=True)
        (self.root / "compose" / name / "compose.yaml").write_text(text)

    def change(self, old: str, new: str, *, base: str = STACK) -> None:
        """Write the stack file with one text replaced."""
        assert base.count(old) == 1, old
        self.stack(base.replace(old, new))

    def load(self, env: str = "local", stack: str | None = None) -> tuple[Environment, StackEntry, Stack]:
        return load.load(env, stack, at=self.root)

    def fails(self, env: str = "local", stack: str | None = None) -> list[str]:
        """Load, expect bad input (exit code 2) and return its problems as `file:line: path: words`."""
        with pytest.raises(BadInput) as caught:
            self.load(env, stack)
        assert caught.value.exit_code == 2
        return problems(caught.value)


def problems(error: BadInput) -> list[str]:
    """Return the problems that an error lists."""
    return [f"{error.where}: {error.what}"] if error.where else error.seen.splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")
