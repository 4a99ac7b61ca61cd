"""The throw-away services of a drill: a Compose project of the same images, on a network that leads nowhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import engine, gate
from ..context import Result
from ..failure import OperationFailed
from ..state import StackHome, write_json
from . import into_files, into_postgres, into_redis, keep
from .postgres import Server
from .restic import Repository
from .restore import Work

DRILL = "slipway.drill"
"""The label of what a drill makes: whose it is."""
_DROPPED = (
    "ports",
    "container_name",
    "labels",
    "depends_on",
    "extra_hosts",
    "profiles",
    "restart",
    "networks",
    "deploy",
)
Progress = Callable[[str], None]


def gate_of(name: str) -> Result:
    """Return what is asked of a throw-away service before it is used."""
    return {"name": name, "replicas": 1, "start_within": 180.0, "port": 0, "ready": None}


def compose(project: str, file: Any) -> Result:
    """Return a Compose file as Compose understands it. Its `$` stay escaped."""
    if not file.exists():
        raise OperationFailed("the stack has no accessories and releases on this host", str(file), bad_input=True)
    what = "docker compose does not take its own file"
    value: Result = json.loads(engine.compose_or_fail(what, project, file, "config", "--format", "json"))
    return value


class Project:
    """The Compose project of a drill.

    Args:
        home: the stack's folder.
        accessories: their Compose document.
        apps: the release's.
        asked: the apps that are started.
        todo: what is restored.
    """

    def __init__(
        self, home: StackHome, accessories: Result, apps: Result, asked: Sequence[str], todo: Sequence[Work]
    ) -> None:
        self.home, self.name, self.folder = home, f"{home.stack}-drill", home.path / "drill"
        accessories, apps = _apart(accessories), _apart(apps)
        services = dict(accessories["services"])
        services |= {n: s for n, s in apps["services"].items() if n in asked}
        self.outside = {w.service: _outside(home, w.kept) for w in todo if w.kept.host}
        self.mounts = {n: _volumes(s) for n, s in {**accessories["services"], **apps["services"]}.items()}
        wanted = {volume for of in self.mounts.values() for volume in of}
        self.document = {
            "name": self.name,
            "services": {n: self._service(n, s) for n, s in {**services, **self.outside}.items()},
            "networks": {"drill": {"internal": True, "name": self.name, "labels": {DRILL: home.stack}}},
            "volumes": {v: {"name": self._volume(v), "labels": {DRILL: home.stack}} for v in sorted(wanted)},
            "secrets": {**accessories.get("secrets", {}), **apps.get("secrets", {})},
        }

    def _volume(self, volume: str) -> str:
        return f"{self.name}-{volume}"

    def _service(self, name: str, section: Result) -> Result:
        kept = {k: v for k, v in section.items() if k not in _DROPPED}
        limits = (section.get("deploy") or {}).get("resources")
        aliases = [name, *section.get("aliases", [])]
        kept.pop("aliases", None)
        return {
            **kept,
            **({"deploy": {"resources": limits}} if limits else {}),
            "labels": {DRILL: self.home.stack, "slipway.service": name},
            "networks": {"drill": {"aliases": aliases}},
            "restart": "no",
        }

    def write(self) -> None:
        """Write the Compose file."""
        write_json(self.folder / "compose.json", self.document)

    def up(self, services: Sequence[str], what: str) -> None:
        """Start services. Raises OperationFailed."""
        argv = ["up", "-d", "--no-deps", "--pull", "never", *services]
        engine.compose_or_fail(what, self.name, self.folder / "compose.json", *argv)

    def look(self) -> list[dict[str, Any]]:
        """Return its containers."""
        return engine.containers(slipway_drill=self.home.stack)

    def _container(self, service: str) -> dict[str, Any]:
        return next(c for c in self.look() if c["Config"]["Labels"]["slipway.service"] == service)

    def fill(self, repository: Repository, one: Work, progress: Progress) -> list[str]:
        """Restore one thing into the throw-away services; return what is not as the manifest says. Raises OperationFailed."""
        if one.kept.kind == "postgres":
            where = self._server(one.kept)
            return into_postgres.load(repository, one.kept, one.part, where, one.kept.database, progress)
        if one.kept.kind == "redis":
            container = self._container(one.service)
            where_ = into_redis.store(repository, one.kept, container)
            found = into_redis.load(repository, one.kept, one.part, where_, progress)
            engine.api("POST", f"/containers/{container['Id']}/stop", timeout=3700)
            into_redis.swap(repository, one.kept, where_)
            engine.api("POST", f"/containers/{container['Id']}/start")
            gate.await_healthy(self.look, [gate_of(one.service)], progress)
            return found
        targets = self._targets(one)
        found = into_files.load(repository, one.kept, one.part, targets, progress)
        into_files.swap(repository, one.kept, targets)
        # What came with an image is read back and compared as well.
        return found + into_files.load(repository, one.kept, one.part, self._aside(one, targets), progress)

    def _server(self, kept: keep.Kept) -> Server:
        container = self._container(kept.service)
        folder = keep.folder(self.home) / "secrets" if kept.host else self.home.accessories / "secrets"
        password = folder / (f"database-{kept.password}" if kept.host else str(kept.password))
        own = str(password) if kept.password and password.exists() else ""
        told = {
            "image": container["Image"],
            "port": "5432",
            "database": kept.database,
            "user": kept.user,
            "password": own,
        }
        if keep.is_local(keep.document(self.home).repository):
            return Server(network=f"container:{container['Id']}", host="127.0.0.1", **told)
        # A repository elsewhere is out of reach from a network that leads nowhere.
        address = container["NetworkSettings"]["Networks"][self.name]["IPAddress"]
        return Server(network="bridge", second=self.name, host=address, **told)

    def _targets(self, one: Work) -> list[Mapping[str, str]]:
        """Return the drill's own volumes for the kept paths that are in volumes."""
        found: list[Mapping[str, str]] = []
        for path in one.part["paths"]:
            of = {m: v for v, m in self.mounts.get(one.service, {}).items() if f"{path}/".startswith(f"{m}/")}
            if of:
                mount = max(of, key=len)
                found.append({"path": path, "volume": self._make_volume(of[mount]), "mount": mount})
        return found

    def _aside(self, one: Work, targets: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
        """Return a volume of its own for the paths that are in none."""
        paths = [p for p in one.part["paths"] if p not in {t["path"] for t in targets}]
        volume = self._make_volume(f"aside-{one.service}") if paths else ""
        return [{"path": path, "volume": volume, "mount": "/slipway-aside"} for path in paths]

    def _make_volume(self, volume: str) -> str:
        name = self._volume(volume)
        labels = {DRILL: self.home.stack, "com.docker.compose.project": self.name, "com.docker.compose.volume": volume}
        engine.api("POST", "/volumes/create", {"Name": name, "Labels": labels})
        return name


def _apart(document: Result) -> Result:
    """Return a Compose document whose services write into nothing of the host's: its folders become volumes of the drill's."""
    services = {n: {**s, "volumes": [_own(v) for v in s.get("volumes") or []]} for n, s in document["services"].items()}
    return {**document, "services": services}


def _own(mount: Result) -> Result:
    if mount.get("type") != "bind" or mount.get("read_only"):
        return mount
    if Path(mount["source"]).is_file():
        return {**mount, "read_only": True}
    name = "folder-" + hashlib.sha256(mount["source"].encode()).hexdigest()[:12]
    return {"type": "volume", "source": name, "target": mount["target"]}


def _volumes(section: Result) -> dict[str, str]:
    """Return folder by volume of a service."""
    volumes = section.get("volumes") or []
    return {v["source"]: v["target"].rstrip("/") for v in volumes if v.get("type") == "volume" and v.get("source")}


def _outside(home: StackHome, kept: keep.Kept) -> Result:
    """Return the service that stands in for a database that somebody else runs, under that one's name."""
    password = keep.folder(home) / "secrets" / f"database-{kept.password}"
    return {
        "image": kept.image,
        "environment": {
            "POSTGRES_USER": kept.user,
            "POSTGRES_DB": kept.database,
            "POSTGRES_PASSWORD_FILE": "/run/slipway-password",
        },
        "volumes": [{"type": "bind", "source": str(password), "target": "/run/slipway-password", "read_only": True}],
        "aliases": [kept.host],
        "healthcheck": {
            "test": ["CMD", "pg_isready", "--quiet", "--host", "127.0.0.1", "--username", kept.user],
            "interval": "2s",
            "start_period": "60s",
        },
    }
