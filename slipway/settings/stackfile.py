"""A stack file, `compose/<stack>/compose.yaml`, into a `Stack`: Compose's own keys, `x-slipway`, and how they agree."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from slipway.settings import backups, composekeys, interpolate, roles, scalars, validate, yamlfile
from slipway.settings.model import Migration, Service, Stack
from slipway.settings.problems import Path, Problems, listed, nearest
from slipway.settings.service import ServiceReader
from slipway.settings.xslipway import StackExtras
from slipway.settings.yamlfile import YamlFile

_NUMBERS = {"x-slipway.phase", "route.port", "smoke.status", "deploy.replicas", "external.port"}
"""Keys whose value is a number even where an interpolated text gives it; elsewhere, in `environment`, a text is a text."""


@dataclass
class Usage:
    """How an environment uses a stack, and where its file says so."""

    file: YamlFile
    at: Path
    settings: dict[str, str] = field(default_factory=dict)
    replicas: dict[str, int] = field(default_factory=dict)
    development: bool = False


def read(root: FilePath, name: str, usage: Usage, problems: Problems) -> Stack | None:
    """Return the stack `name` of the checkout at `root` with the environment's settings put in.

    What is wrong goes into `problems`; then the result may be None.
    """
    shown = f"compose/{name}/compose.yaml"
    file = yamlfile.read(root / shown, shown, problems)
    if not file.data:
        return None
    before = len(problems.found)
    data = _Interpolation(file, usage, problems).apply()
    overlay = _overlay(root, name, usage, problems)
    if data.whole and overlay.whole:
        _check_settings(data.used | overlay.used, usage, problems)
    _check_top(file, name, problems)
    services = _services(root, name, file, data.value, usage=usage, problems=problems)
    said = data.value.get("x-slipway")
    extras = validate.model(StackExtras, {} if said is None else said, file, ("x-slipway",), problems)
    if extras is not None:
        _check_extras(root / "compose" / name, file, extras, data.value.get("services"), problems)
        _check_kept(file, services, extras, problems)
    if len(problems.found) > before or extras is None:
        return None
    used = sorted({s for service in services for s in service.secrets} | {e.password for e in extras.external})
    return Stack(
        name=name,
        folder=str(root / "compose" / name),
        services=tuple(services),
        migrate=extras.migrate,
        smoke=extras.smoke,
        kept=(*(k for s in services for k in backups.of_service(s)), *map(backups.of_external, extras.external)),
        clean=extras.clean,
        volumes=data.value.get("volumes") or {},
        secrets=tuple(used),
        overlay=overlay.value,
    )


def _overlay(root: FilePath, name: str, usage: Usage, problems: Problems) -> _Interpolation:
    """Return what stands in compose.dev.yaml, where the environment is for development and the stack has one."""
    shown = f"compose/{name}/compose.dev.yaml"
    there = usage.development and (root / shown).is_file()
    file = yamlfile.read(root / shown, shown, problems) if there else YamlFile(shown)
    return _Interpolation(file, usage, problems).apply()


class _Interpolation:
    """Puts settings into every text of a file and remembers which variables there are."""

    def __init__(self, file: YamlFile, usage: Usage, problems: Problems) -> None:
        self.file, self.usage, self.problems = file, usage, problems
        self.used: set[str] = set()
        self.value: dict[str, Any] = {}
        self.whole = True  # no text hides its variables behind a slip in its syntax

    def apply(self) -> _Interpolation:
        # top-level x- fragments are there to be merged elsewhere, where their variables are looked at
        skipped = {k for k in self.file.data if k.startswith("x-") and k != "x-slipway"}
        self.value = {k: self._walk(v, (k,)) for k, v in self.file.data.items() if k not in skipped}
        return self

    def _walk(self, value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return {k: self._walk(v, (*path, k)) for k, v in value.items()}
        if isinstance(value, list):
            return [self._walk(v, (*path, i)) for i, v in enumerate(value)]
        if not isinstance(value, str) or "$" not in value:
            return value
        try:
            template = interpolate.parse(value)
            self.used |= interpolate.names(template)
            text = interpolate.render(template, self.usage.settings)
        except interpolate.InterpolationError as error:
            self.whole = self.whole and bool(error.missing)
            self._problem(path, error)
            return ""
        keys = [key for key in path if isinstance(key, str)]
        return scalars.resolve(text) if ".".join(keys[-2:]) in _NUMBERS else text

    def _problem(self, path: Path, error: interpolate.InterpolationError) -> None:
        words = str(error)
        if error.missing:
            words += nearest(error.missing, self.usage.settings)
            words += f"; give settings.{error.missing} to the stack in {self.usage.file.name}"
        self.problems.add(self.file.name, self.file.value_line(path), path, words)


def _check_settings(used: set[str], usage: Usage, problems: Problems) -> None:
    """Note settings of the environment that no variable of the stack's files takes."""
    for key in usage.settings:
        if key not in used:
            words = f"the stack has no ${{{key[:60]}}}{nearest(key, used)}; its variables: {listed(used)}"
            usage.file.problem(problems, (*usage.at, "settings", key), words)


def _check_top(file: YamlFile, name: str, problems: Problems) -> None:
    for key, value in file.data.items():
        if key.startswith("x-"):
            if key != "x-slipway" and nearest(key, ["x-slipway"]):
                file.problem(problems, (key,), f"unknown key{nearest(key, ['x-slipway'])}")
        elif key in composekeys.TOP_REFUSED:
            file.problem(problems, (key,), f"is not for a stack: {composekeys.TOP_REFUSED[key]}")
        elif key not in composekeys.TOP:
            known = {*composekeys.TOP - composekeys.TOP_REFUSED.keys(), "x-slipway"}
            file.problem(problems, (key,), f"unknown key{nearest(key, known)}")
        elif key == "name" and value != name:
            file.problem(problems, (key,), f"Slipway names the projects itself: leave it out, or write {name}")
        elif key in ("volumes", "secrets") and value is not None and not isinstance(value, dict):
            file.problem(problems, (key,), "should be a mapping")
    _check_volumes(file, problems)
    _check_secrets(file, problems)


def _check_volumes(file: YamlFile, problems: Problems) -> None:
    declared = file.data.get("volumes")
    for volume, said in (declared if isinstance(declared, dict) else {}).items():
        if said is not None and not isinstance(said, dict):
            file.problem(problems, ("volumes", volume), "should be empty: Slipway makes the volume itself")
        for key in said if isinstance(said, dict) else ():
            if not key.startswith("x-"):
                words = "has no effect: Slipway makes the volume itself, on the host's disk"
                file.problem(problems, ("volumes", volume, key), words)


def _check_secrets(file: YamlFile, problems: Problems) -> None:
    declared = file.data.get("secrets")
    for secret, source in (declared if isinstance(declared, dict) else {}).items():
        path: Path = ("secrets", secret)
        if not isinstance(source, dict):
            words = (
                "should say where plain `docker compose` finds it, e.g. {environment: NAME}; Slipway takes the vault's"
            )
            file.problem(problems, path, words)
            continue
        for key in source:
            if key not in composekeys.SECRET and not key.startswith("x-"):
                file.problem(problems, (*path, key), f"unknown key{nearest(key, composekeys.SECRET)}")


def _services(
    root: FilePath, name: str, file: YamlFile, data: dict[str, Any], *, usage: Usage, problems: Problems
) -> list[Service]:
    raw = data.get("services")
    if not isinstance(raw, dict) or not raw:
        words = "should be a mapping with a service or more" if "services" in data else "services is missing"
        file.problem(problems, ("services",) if "services" in data else (), words)
        return []
    reader = ServiceReader(root, name, file, data, replicas=usage.replicas, problems=problems)
    found = [s for s in (reader.read(key, value) for key, value in raw.items()) if s is not None]
    for service in usage.replicas:
        if service not in raw:
            words = f"the stack has no service {service[:60]!r}{nearest(service, raw)}; services: {listed(raw)}"
            usage.file.problem(problems, (*usage.at, "replicas", service), words)
    for at in reader.replicas_refused:
        words = "only an app service has replicas: an accessory keeps data of its own, a job runs once"
        usage.file.problem(problems, (*usage.at, "replicas", at), words)
    _check_together(file, found, raw, problems)
    return found


def _check_together(file: YamlFile, services: list[Service], raw: dict[str, Any], problems: Problems) -> None:
    """Check services against each other: something to release, a way in for requests, one service a route."""
    if not any(roles.role_of(section) == "app" for section in raw.values()):
        file.problem(problems, ("services",), "no service has the role app: there would be nothing to release")
    elif not any(roles.has_route(section) for section in raw.values()):
        words = "a stack needs at least one service with a route: where the router sends requests tells what is live"
        file.problem(problems, ("services",), words)
    taken: dict[str, str] = {}
    for service in services:
        if service.route is None:
            continue
        prefix = service.route.path.rstrip("/") or "/"
        if prefix in taken:
            path: Path = ("services", service.name, "x-slipway", "route", "path")
            file.problem(problems, path, f"service {taken[prefix]} has the route {prefix} already")
        taken.setdefault(prefix, service.name)


def _check_kept(file: YamlFile, services: list[Service], extras: StackExtras, problems: Problems) -> None:
    """Check that every volume is kept, or is named as not kept; that databases have names and secrets of their own."""
    for service, volume in backups.unaccounted(services):
        path: Path = ("services", service.name, "x-slipway", "backup")
        words = f"the volume {volume} is neither kept nor said to be disposable: `backup: none`, or how it is kept"
        file.problem(problems, path, words)
    declared = file.data.get("secrets")
    taken = {s.name for s in services}
    for index, external in enumerate(extras.external):
        path = ("x-slipway", "external", index)
        if external.name in taken:
            file.problem(problems, (*path, "name"), "a service, or another database, has this name")
        taken.add(external.name)
        if external.password not in (declared if isinstance(declared, dict) else {}):
            words = f"{external.password[:60]} is not declared under the file's top-level secrets"
            file.problem(problems, (*path, "password"), words)
    databases = [s.name for s in services for b in s.backup if b.kind == "postgres"] + [e.name for e in extras.external]
    for index, clean in enumerate(extras.clean):
        path = ("x-slipway", "clean", index, "service")
        if clean.service is None and len(databases) != 1:
            file.problem(problems, path, f"should name one of the databases that are kept: {listed(databases)}")
        elif clean.service not in (None, *databases):
            words = f"is no database that is kept{nearest(str(clean.service), databases)}: {listed(databases)}"
            file.problem(problems, path, words)


def _check_extras(folder: FilePath, file: YamlFile, extras: StackExtras, raw: Any, problems: Problems) -> None:
    """Check the stack's own x-slipway against its services and folders."""
    sections = raw if isinstance(raw, dict) else {}
    if extras.migrate:
        path: Path = ("x-slipway", "migrate")
        apps = [name for name, section in sections.items() if roles.role_of(section) == "app"]
        if extras.migrate.service not in apps:
            words = f"{extras.migrate.service[:60]} is no app service of this stack"
            file.problem(problems, (*path, "service"), f"{words}{nearest(extras.migrate.service, apps)}")
        if not validate.is_folder(validate.inside(folder, extras.migrate.path)):
            words = f"there is no folder {extras.migrate.path[:80]} below {file.name.rpartition('/')[0]}"
            file.problem(problems, (*path, "path"), words)
        _check_migrate(folder, file, extras.migrate, sections, problems)
    names: set[str] = set()
    for index, smoke in enumerate(extras.smoke):
        if smoke.name in names:
            file.problem(problems, ("x-slipway", "smoke", index, "name"), "another smoke test has this name")
        names.add(smoke.name)


def _check_migrate(
    folder: FilePath, file: YamlFile, migrate: Migration, sections: dict[str, Any], problems: Problems
) -> None:
    """Check that each kind of migration has what it needs, and nothing that it would ignore."""
    path: Path = ("x-slipway", "migrate")
    if migrate.kind == "command":
        for key in ("command", "pending"):
            if not getattr(migrate, key):
                file.problem(problems, (*path, key), "should have at least one entry")
        for key in sorted({"database", "inside", "lock_timeout", "statement_timeout"} & migrate.model_fields_set):
            file.problem(problems, (*path, key), "has no effect with kind: command, which connects by itself")
        return
    for key in sorted({"pending", *(["command"] if migrate.kind == "sql" else [])} & migrate.model_fields_set):
        file.problem(problems, (*path, key), f"has no effect with kind: {migrate.kind}")
    for key in ("lock_timeout", "statement_timeout"):
        if getattr(migrate, key) < 0.001:
            file.problem(
                problems, (*path, key), "should be a millisecond at least: without a limit it could stop the site"
            )
    accessories = [name for name, section in sections.items() if roles.role_of(section) == "accessory"]
    if migrate.database not in accessories:
        words = "should name the accessory that is the Postgres"
        file.problem(problems, (*path, "database"), f"{words}{nearest(migrate.database or '', accessories)}")
    build = sections[migrate.service].get("build") if migrate.service in sections else None
    context = build.get("context", ".") if isinstance(build, dict) else build
    inside = isinstance(context, str) and validate.inside(folder, migrate.path).is_relative_to(
        validate.inside(folder, context)
    )
    if not inside and migrate.inside is None:
        words = (
            f"should be below the build context of {migrate.service[:60]}, so that its image has it; or say `inside`"
        )
        file.problem(problems, (*path, "path"), words)
