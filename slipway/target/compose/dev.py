"""`deploy` in a development environment: the source mounted, reload, debug logs; no releases, no router.

It runs on this machine's own Compose where it has one, else on a lab host that sees the checkout's compose/ at the same path.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway import report
from slipway.errors import SlipwayError
from slipway.image import build as images
from slipway.process import Completed
from slipway.settings import load
from slipway.settings.model import Environment, Stack, StackEntry
from slipway.target.compose import render

if TYPE_CHECKING:
    from slipway.target.compose.deploy import Outcome


@dataclass(frozen=True)
class _Engine:
    """Where Compose runs: on this machine, or (`container`) in a lab host."""

    container: str = ""

    def compose(self, project: str, files: list[Path], folder: Path, *argv: str, check: bool = True) -> Completed:
        from slipway.lab import engine

        words = [
            "compose",
            "-p",
            project,
            "--project-directory",
            str(folder),
            *[w for f in files for w in ("-f", str(f))],
            *argv,
        ]
        prefix = ["exec", self.container, "docker"] if self.container else []
        return engine.docker(*prefix, *words, check=check)


def has_compose() -> bool:
    """Tell whether this machine's engine answers and its client knows Compose v2."""
    from slipway.lab import engine

    try:
        return (
            engine.docker("compose", "version", "--short", check=False)
            .out.strip()
            .lstrip("v")
            .startswith(("2", "3", "4", "5"))
        )
    except SlipwayError:
        return False


def deploy(env: Environment, entry: StackEntry, stack: Stack, *, yes: bool) -> Outcome:
    """Start a stack for development; run its migrations. The source stays mounted: edits show at once.

    Raises:
        SlipwayError: there is no engine, an image does not build, a service does not become healthy.
    """
    from slipway.lab import engine
    from slipway.settings import secrets
    from slipway.target.compose.deploy import Outcome

    engine.ensure(yes)
    values = {name: secret.reveal() for name, secret in secrets.read(env, stack).items()}
    folder = Path(stack.folder)
    where, port, tags = _machine(env, entry, stack) if has_compose() else _lab_host(env, entry, stack)
    files = _write(env, stack, _document(entry, stack, tags), values)
    project = f"{stack.name}-{env.name}"
    first = len(report.current().steps)

    def up(title: str, *services: str) -> None:
        with report.step(title):
            done = where.compose(
                project, files, folder, "up", "-d", "--wait", "--pull", "missing", *services, check=False
            )
            if done.code != 0:
                logs = where.compose(project, files, folder, "logs", "--tail", "15", *services, check=False).out
                raise SlipwayError("a service did not become healthy", where=project, seen=f"{done.tail(5)}\n{logs}")

    accessories = [s.name for s in stack.of_role("accessory")]
    if accessories:
        up("Start " + ", ".join(accessories), *accessories)
    if stack.migrate:
        with report.step("Migrate"):
            where.compose(
                project, files, folder, "run", "--rm", "--no-deps", "-T", stack.migrate.service, *stack.migrate.command
            )
    for job in stack.of_role("job"):
        with report.step(f"Run {job.name}"):
            where.compose(project, files, folder, "run", "--rm", "--no-deps", "-T", job.name)
    up("Start " + ", ".join(s.name for s in stack.of_role("app")))
    steps = [(s.title, s.seconds) for s in report.current().steps[first:]]
    return Outcome("deploy", env.name, stack.name, "development", None, True, f"http://127.0.0.1:{port}", None, steps)


def _machine(env: Environment, entry: StackEntry, stack: Stack) -> tuple[_Engine, int, dict[str, str]]:
    tags = {s.name: f"{stack.name}/{s.name}:{env.name}" for s in images.built_services(stack)}
    if env.lab:
        from slipway.lab import images as lab_images

        names = {n for s in images.built_services(stack) for n in images.base_images(s)}
        lab_images.ensure_all([*names, *(str(s.image) for s in stack.services if s.image)])
    for service in images.built_services(stack):
        images.build_locally(stack, service, tags[service.name])
    return _Engine(), entry.port, tags


def _lab_host(env: Environment, entry: StackEntry, stack: Stack) -> tuple[_Engine, int, dict[str, str]]:
    from slipway.image.registry import RegistryClient
    from slipway.image.source import tree_version
    from slipway.target.compose import deploy as deploying
    from slipway.target.compose import workplace

    mounts = (load.root() / "compose", _state())
    place = workplace.find(env.name, stack.name, mounts=mounts)
    assert place and place.lab and place.env.registry  # noqa: S101 - it was started
    with workplace.opened(place, prepare=True):
        pass
    deploying.serve_official_images(place)
    client = RegistryClient(place.env.registry)
    version = tree_version(load.root(), env)
    found = images.ensure(stack, client, version, build=True, bases=deploying.bases(place))
    host = place.lab.hosts[0]
    return _Engine(host.container), host.published[entry.port], {name: image.reference for name, image in found.items()}


def _state() -> Path:
    folder = load.root() / ".slipway" / "dev"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _document(entry: StackEntry, stack: Stack, tags: dict[str, str]) -> dict[str, Any]:
    services = {}
    front = next((s for s in stack.of_role("app") if s.route), None)
    for service in stack.services:
        section = {k: v for k, v in service.compose.items() if k != "build"}
        section["image"] = tags.get(service.name, service.image)
        section.pop("deploy", None)
        section["environment"] = {**section.get("environment", {}), "SLIPWAY_RELEASE": "development"}
        if front and front.route and service.name == front.name:
            section["ports"] = [f"{entry.port}:{front.route.port}"]
        services[service.name] = section
    document: dict[str, Any] = {"services": services, "volumes": {v: {} for v in stack.volumes}}
    if stack.secrets:
        document["secrets"] = {name: {"file": str(_state() / stack.name / "secrets" / name)} for name in stack.secrets}
    return document


def _write(env: Environment, stack: Stack, document: dict[str, Any], secrets: dict[str, str]) -> list[Path]:
    """Write secrets and Compose files, and return the latter: the document, and the stack's compose.dev.yaml on top."""
    folder = _state() / stack.name
    (folder / "secrets").mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name, value in secrets.items():
        path = folder / "secrets" / name
        path.unlink(missing_ok=True)  # not even its owner may write it
        path.write_text(value)
        path.chmod(0o444)  # containers' users read it; the folder is closed to everybody else on this machine
    texts = {f"compose.{env.name}.yaml": document, f"compose.{env.name}.dev.yaml": stack.overlay}
    for name, content in texts.items():
        (folder / name).write_text(render.as_yaml(content))
    return [folder / name for name, content in texts.items() if content]
