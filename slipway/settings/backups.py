"""What a stack keeps: its services' `backup`, with defaults put in, and every volume accounted for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from slipway.settings import validate
from slipway.settings.keeping import External, Kept, ServiceBackup
from slipway.settings.model import Service
from slipway.settings.problems import Path, Problems, listed, nearest
from slipway.settings.roles import Refuse, Role
from slipway.settings.yamlfile import YamlFile

_KEYS = {
    "postgres": {"database", "user", "password", "tables", "before", "after"},
    "redis": {"password", "before", "after"},
    "files": {"paths", "before", "after"},
    "none": {"paths"},
}
"""Which keys have an effect with which kind."""

_FOLDERS = {"postgres": "/var/lib/postgresql", "redis": "/data"}
"""Where the official images keep their data."""


def entries(file: YamlFile, at: Path, raw: Any, problems: Problems) -> tuple[ServiceBackup, ...]:
    """Return what stands under `backup` of a service: a kind, a mapping, or a list of them."""
    if raw is None:
        return ()
    items = [((*at, i), item) for i, item in enumerate(raw)] if isinstance(raw, list) else [(at, raw)]
    found = []
    for path, item in items:
        value = {"kind": item} if isinstance(item, str) else item
        entry = validate.model(ServiceBackup, value, file, path, problems)
        if entry is not None:
            found.append(entry)
    return tuple(found)


def check(
    refuse: Refuse,
    at: Path,
    role: Role,
    backups: tuple[ServiceBackup, ...],
    raw: dict[str, Any],
    secrets: Iterable[str],
) -> None:
    """Refuse what does not suit the service at `at` with the Compose section `raw`, or has no effect."""
    mounts = dict(mounted(raw))
    names = list(secrets)
    for index, entry in enumerate(backups):
        path = (*at, "x-slipway", "backup", index)
        if entry.kind in ("postgres", "redis") and entry.kind in [e.kind for e in backups[:index]]:
            refuse(path, f"the service has one database of the kind {entry.kind} already: give the other one a service")
        if role == "job":
            refuse(path, "a job runs once, and keeps nothing")
        elif role == "app" and entry.kind in ("postgres", "redis"):
            refuse(path, "an app is replaced by each release: its backup is `files`, or `none`")
        for key in sorted(entry.model_fields_set - _KEYS[entry.kind] - {"kind"}):
            refuse((*path, key), f"has no effect with the kind {entry.kind}")
        if entry.password and entry.password not in names:
            refuse(
                (*path, "password"),
                f"{entry.password[:60]} is no secret of the service{nearest(entry.password, names)}",
            )
        if entry.kind == "files" and not entry.paths and not mounts:
            refuse(path, "the service has no volume: name the paths that are kept")
        for place, one in enumerate(entry.paths if entry.kind == "none" else ()):
            if one.rstrip("/") not in mounts.values():
                refuse((*path, "paths", place), f"is no volume of the service; its volumes: {listed(mounts.values())}")


def mounted(raw: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield name and path of each named volume in the Compose section of a service."""
    volumes = raw.get("volumes")
    for item in volumes if isinstance(volumes, list) else ():
        if isinstance(item, str) and item.count(":") in (1, 2) and item[0] not in "./~":
            name, path = item.split(":")[:2]
            yield name, path.rstrip("/")
        elif isinstance(item, dict) and item.get("type", "volume") == "volume":
            source, target = item.get("source"), item.get("target")
            if isinstance(source, str) and isinstance(target, str):
                yield source, target.rstrip("/")


def bound(raw: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield folder of the host and path of each bind mount in the Compose section of a service."""
    volumes = raw.get("volumes")
    for item in volumes if isinstance(volumes, list) else ():
        if isinstance(item, str) and item.count(":") in (1, 2) and item[0] == "/":
            folder, path = item.split(":")[:2]
            yield folder, path.rstrip("/")
        elif isinstance(item, dict) and item.get("type") == "bind":
            source, target = item.get("source"), item.get("target")
            if isinstance(source, str) and isinstance(target, str):
                yield source, target.rstrip("/")


def of_service(service: Service) -> Iterator[Kept]:
    """Yield what is kept of a service, with defaults put in."""
    environment = service.compose.get("environment", {})
    mounts = tuple(path for _, path in mounted(service.compose))
    files = [entry for entry in service.backup if entry.kind == "files"]
    for entry in service.backup:
        if entry.kind == "none" or entry in files[1:]:
            continue
        common: dict[str, Any] = {"service": service.name, "before": entry.before, "after": entry.after}
        if entry.kind == "postgres":
            user = entry.user or environment.get("POSTGRES_USER") or "postgres"
            database = entry.database or environment.get("POSTGRES_DB") or user
            file = environment.get("POSTGRES_PASSWORD_FILE", "").removeprefix("/run/secrets/")
            password = entry.password or (file if file in service.secrets else None)
            common |= {"database": database, "user": user, "password": password, "tables": entry.tables}
        elif entry.kind == "redis":
            common |= {"password": entry.password}
        else:
            paths = [p.rstrip("/") for f in files for p in f.paths or mounts]
            common |= {"paths": tuple(dict.fromkeys(paths))}
            common |= {"before": next((f.before for f in files if f.before), ())}
            common |= {"after": next((f.after for f in files if f.after), ())}
        yield Kept(kind=entry.kind, **common)


def of_external(external: External) -> Kept:
    """Return what is kept of a database that somebody else runs."""
    said = external.model_dump(exclude={"name"})
    return Kept(service=external.name, kind="postgres", **said)


def unaccounted(services: list[Service]) -> Iterator[tuple[Service, str]]:
    """Yield each volume that nobody keeps, and nobody says is not kept, with the service it belongs to: its accessory."""
    done = {name for service in services for name in _accounted(service)}
    seen: set[str] = set()
    for service in sorted(services, key=lambda s: s.role != "accessory"):
        for name, _ in mounted(service.compose):
            if name not in done | seen:
                seen.add(name)
                yield service, name


def _accounted(service: Service) -> Iterator[str]:
    mounts = dict(mounted(service.compose))
    for entry in service.backup:
        for name, path in mounts.items():
            if entry.kind in _FOLDERS:
                if len(mounts) == 1 or path == _FOLDERS[entry.kind] or path.startswith(f"{_FOLDERS[entry.kind]}/"):
                    yield name
            elif not entry.paths or any(
                f"{p}/".startswith(f"{path}/") or f"{path}/".startswith(f"{p}/") for p in entry.paths
            ):
                yield name
