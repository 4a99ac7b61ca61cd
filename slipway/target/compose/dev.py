"""`deploy` in a development environment: the source mounted, reload, debug logs; no releases, no router.

It runs on this machine's own Compose where it has one, else on a lab host that sees the checkout's compose/ at the same path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway import report
from slipway.data import migrations
from slipway.errors import SlipwayError
from slipway.image import build as images
from slipway.lab import places
from slipway.process import Completed
from slipway.settings import load
from slipway.settings.model import Environment, Stack, StackEntry
from slipway.target.compose import render

if TYPE_CHECKING:
    from slipway.plan.outcome import Outcome


@dataclass(frozen=True)
class _Project:
    """A Compose project: its name, its files, the folder that their paths start from."""

    name: str
    files: tuple[Path, ...]
    folder: Path
    other_secrets: bool
    """Secrets have other values than when the project was last started."""


@dataclass(frozen=True)
class _Engine:
    """Where Compose runs: on this machine, or (`container`) in a lab host."""

    container: str = ""

    def compose(self, project: _Project, *argv: str, check: bool = True, stdin: str | None = None) -> Completed:
        from slipway.lab import engine

        prefix = ["exec", "-i", self.container, "docker"] if self.container else []
        files = [word for file in project.files for word in ("-f", str(file))]
        where = ["-p", project.name, "--project-directory", str(project.folder)]
        return engine.docker(*prefix, "compose", *where, *files, *argv, check=check, stdin=stdin)


def has_compose() -> bool:
    """Tell whether this machine's engine answers and its client knows Compose v2."""
    from slipway.lab import engine

    try:
        version = engine.docker("compose", "version", "--short", check=False).out.strip().lstrip("v")
    except SlipwayError:
        return False
    return version.startswith(("2", "3", "4", "5"))


def deploy(env: Environment, entry: StackEntry, stack: Stack, *, yes: bool) -> Outcome:
    """Start a stack for development; run its migrations. The source stays mounted: edits show at once.

    Raises:
        SlipwayError: there is no engine, an image does not build, a service does not become healthy.
    """
    from slipway.lab import engine
    from slipway.plan.outcome import Outcome
    from slipway.settings import secrets

    engine.ensure(yes)
    values = {name: secret.reveal() for name, secret in secrets.read(env, stack).items()}
    where, port, tags = _machine(env, entry, stack) if has_compose() else _lab_host(env, entry, stack)
    first = len(report.current().steps)
    project = _write(env, entry, stack, tags, values)
    accessories = [s.name for s in stack.of_role("accessory")]
    if accessories:
        _up(where, project, accessories)
    if stack.migrate:
        with report.step("Migrate"):
            _migrate(where, project, stack)
    for job in stack.of_role("job"):
        with report.step(f"Run {job.name}"):
            where.compose(project, "run", "--rm", "--no-deps", "-T", job.name)
    _up(where, project, [s.name for s in stack.of_role("app")])
    steps = [(s.title, s.seconds) for s in report.current().steps[first:]]
    return Outcome("deploy", env.name, stack.name, "development", None, True, f"http://127.0.0.1:{port}", None, steps)


def _migrate(where: _Engine, project: _Project, stack: Stack) -> None:
    """Run all waiting migrations, expanding or not: there is one release here, and nobody to be careful of.

    Raises:
        BadInput: the files are wrong, or do not go with the database.
        SlipwayError: a migration failed.
    """
    migrate = stack.migrate
    assert migrate  # noqa: S101 - the caller looked
    once = ("run", "--rm", "--no-deps", "-T", migrate.service)
    if migrate.kind == "command":
        where.compose(project, *once, *migrate.command)
    elif migrate.kind == "alembic":
        migrations.read(stack)
        where.compose(project, *once, *(migrate.command or ("alembic",)), "upgrade", "head")
    else:

        def ask(argv: Sequence[str], text: str) -> str:
            return where.compose(project, "exec", "-T", str(migrate.database), *argv, stdin=text).out

        migrations.run_here(stack, ask)


def _up(where: _Engine, project: _Project, services: list[str]) -> None:
    # A container sees the secret file that it was started with: another value needs another container.
    options = ["--wait", "--pull", "missing", *(["--force-recreate"] if project.other_secrets else [])]
    with report.step("Start " + ", ".join(services)):
        done = where.compose(project, "up", "-d", *options, *services, check=False)
        if done.code != 0:
            logs = where.compose(project, "logs", "--tail", "15", *services, check=False).out
            raise SlipwayError("a service did not become healthy", where=project.name, seen=f"{done.tail(5)}\n{logs}")


def _machine(env: Environment, entry: StackEntry, stack: Stack) -> tuple[_Engine, int, dict[str, str]]:
    return _Engine(), entry.port, _images(env, stack)


def _lab_host(env: Environment, entry: StackEntry, stack: Stack) -> tuple[_Engine, int, dict[str, str]]:
    from slipway.target.compose import workplace

    mounts = (load.root() / "compose", _state())
    place = workplace.find(env.name, stack.name, mounts=mounts)
    assert place and place.lab  # noqa: S101 - it was started
    with workplace.opened(place, prepare=True, look=False):
        pass
    host, tags = place.lab.hosts[0], _images(env, stack)
    _hand_over(host.container, sorted({*tags.values(), *_official(stack)}))
    return _Engine(host.container), host.published[entry.port], tags


def _images(env: Environment, stack: Stack) -> dict[str, str]:
    """See that this machine's engine has what the stack runs; return the tags of what is built, by service."""
    built = images.built_services(stack)
    if env.lab:
        from slipway.lab import images as lab_images

        lab_images.ensure_all([*(n for s in built for n in images.base_images(s)), *_official(stack)])
    tags = {s.name: f"{stack.name}/{s.name}:{env.name}" for s in built}
    for service in built:
        images.build_locally(stack, service, tags[service.name])
    return tags


def _official(stack: Stack) -> list[str]:
    return [str(s.image) for s in stack.services if s.image and not s.build]


def _hand_over(container: str, names: Sequence[str]) -> None:
    """Give images to the engine of a lab host that does not have them: in a file, since both see the folder of `_state`.

    No registry: it would have each layer compressed, sent and unpacked again.
    """
    from slipway.lab import engine

    def id_of(name: str, *prefix: str) -> str:
        return engine.docker(*prefix, "image", "inspect", "--format", "{{.Id}}", name, check=False).out.strip()

    missing = [name for name in names if id_of(name) != id_of(name, "exec", container, "docker")]
    if not missing:
        return
    with report.step(f"Hand over {', '.join(missing)}"):
        file = _state() / "images.tar"
        try:
            engine.docker("save", "--output", file, *missing)
            engine.docker("exec", container, "docker", "load", "--quiet", "--input", file)
        finally:
            file.unlink(missing_ok=True)


def _state() -> Path:
    return places.private(places.home() / "dev")


def _document(entry: StackEntry, stack: Stack, tags: Mapping[str, str], folder: Path) -> dict[str, Any]:
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
        document["secrets"] = {name: {"file": str(folder / "secrets" / name)} for name in stack.secrets}
    return document


def _write(
    env: Environment, entry: StackEntry, stack: Stack, tags: Mapping[str, str], secrets: Mapping[str, str]
) -> _Project:
    """Write what Compose reads, in a folder that is closed to everybody else on this machine; return the project."""
    name = f"{stack.name}-{env.name}"
    folder = places.private(_state() / name)
    changed = False
    for secret, value in secrets.items():
        path = folder / "secrets" / secret
        before = path.read_bytes() if path.exists() else None
        if value.encode() != before:
            places.write(path, value, mode=0o444)  # containers' users read it
            changed = changed or before is not None
    texts = {"compose.yaml": _document(entry, stack, tags, folder), "compose.dev.yaml": stack.overlay}
    files = tuple(folder / file for file, content in texts.items() if content)
    for file in files:
        places.write(file, render.as_yaml(texts[file.name] or {}))
    return _Project(name, files, Path(stack.folder), changed)
