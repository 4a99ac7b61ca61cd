"""A drill: the newest backup restored into throw-away containers of the same images, and compared with its manifest.

Then the stack's own api is started on it and asked whether it can serve. All on a network that leads nowhere; nothing of it stays
but the evidence.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .. import engine, failure, gate, router
from ..context import Context, Result, operation
from ..failure import OperationFailed
from ..state import HOME, StackHome, append_line, flock, now, read_json, remove, write_json
from . import backup, into_files, into_postgres, into_redis, keep, lock, restore
from .container import note
from .lock import Who
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


def run(home: StackHome, who: Who, *, wait: float = 0.0, progress: Progress = lambda _: None) -> Result:
    """Make a drill, write its evidence to the ledger, and return that: `set`, `bytes`, `rto_s`, `rpo_s`, `verdict`, ...

    Args:
        home: the stack's folder.
        who: who asked.
        wait: seconds to wait for a backup or a restore that is at work.
        progress: told what is done.

    Raises:
        OperationFailed: there is nothing to restore, or another one is at work. A backup that is not good raises nothing:
            the evidence has `verdict: bad` and `findings`.
    """
    with lock.alone(home, who, wait, progress) as repository:
        clear(home)
        begun = time.monotonic()
        chosen = restore.choose(repository, "latest")
        evidence: Result = {
            "verb": "backup.drill",
            "by": who.by,
            "set": chosen.id,
            "release": None,
            "outcome": "interrupted",
        }
        findings = ["interrupted"]
        try:
            manifest = repository.manifest(chosen)
            todo = restore.work(repository.document, manifest, ())
            evidence |= {"bytes": sum(w.part["bytes"] for w in todo), "rpo_s": round(backup.age(manifest["at"]))}
            evidence["parts"] = [{"service": w.service, "kind": w.kept.kind, "bytes": w.part["bytes"]} for w in todo]
            restore.refuse_full(todo)
            findings = _restored(repository, todo, chosen.release, evidence, progress)
        except OperationFailed as error:
            findings = [f"{error.what}: {error.seen}".rstrip(": ")]
        except Exception as error:
            findings = [f"unforeseen: {type(error).__name__}: {error}"]
            raise
        finally:
            evidence["rto_s"] = round(time.monotonic() - begun, 1)
            with contextlib.suppress(OperationFailed):
                clear(home)
            evidence |= {"verdict": "bad" if findings else "good", "findings": findings[:20]}
            evidence["outcome"] = f"failed: {findings[0]}" if findings else "done"
            evidence |= {"exit_code": 1} if findings else {}
            append_line(home.ledger, {"at": now(), **evidence})
            note(home, "drill.json", {"at": now(), **evidence})
        return evidence


def _restored(
    repository: Repository, todo: Sequence[Work], release: str, evidence: Result, progress: Progress
) -> list[str]:
    """Restore everything and ask the api. Return what is wrong."""
    home = repository.home
    accessories = _compose(f"{home.stack}-accessories", home.accessories / "compose.yaml")
    serving = release if release in home.known() else next(iter(sorted(router.sends_to(home.stack))), "")
    apps = _compose(f"{home.stack}-{serving}", home.release(serving) / "compose.yaml") if serving else {"services": {}}
    evidence["release"] = serving or None
    meta = home.meta(serving) if serving else {}
    asked = [s for s in meta.get("services", {}).values() if s["role"] == "app" and s["routed"] and s["ready"]]
    project = Project(home, accessories, apps, [s["name"] for s in asked], todo)
    progress("starting throw-away services")
    project.write()
    project.up([*accessories["services"], *project.outside], "the throw-away services did not start")
    gates = [_gate(name) for name in (*accessories["services"], *project.outside)]
    gate.await_healthy(project.look, gates, progress)
    with ThreadPoolExecutor(max(1, len(todo))) as pool:
        filling = [pool.submit(project.fill, repository, one, progress) for one in todo]
    found = [finding for done in filling for finding in done.result()]
    if found or not asked:
        return found
    names = ", ".join(s["name"] for s in asked)
    progress(f"starting {names} of release {serving}")
    for one_ in asked:
        engine_image = meta["images"][one_["name"]]
        if not engine.has_image(engine_image):
            return [f"the image of {one_['name']} in release {serving} is not on this host: {engine_image}"]
    try:
        project.up([s["name"] for s in asked], f"{names} did not start")
        evidence["asked"] = gate.await_healthy(project.look, [{**s, "replicas": 1} for s in asked], progress)
    except OperationFailed as error:
        return [f"{error.what}: {error.seen}"]
    return []


def _gate(name: str) -> Result:
    return {"name": name, "replicas": 1, "start_within": 180.0, "port": 0, "ready": None}


def _compose(project: str, file: Any) -> Result:
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
            gate.await_healthy(self.look, [_gate(one.service)], progress)
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
        network = f"container:{container['Id']}"
        return Server(network, container["Image"], "127.0.0.1", "5432", kept.database, kept.user, own)

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


def clear(home: StackHome) -> None:
    """Remove all that drills have made. Raises OperationFailed where the engine does not let go of something."""
    folder = home.path / "drill"
    for container in engine.containers(slipway_drill=home.stack):
        engine.api("DELETE", f"/containers/{container['Id']}", force="true", v="true")
    label = json.dumps({"label": [f"{DRILL}={home.stack}"]})
    for network in engine.api("GET", "/networks", filters=label):
        engine.api("DELETE", f"/networks/{network['Id']}")
    for volume in engine.api("GET", "/volumes", filters=label)["Volumes"] or []:
        engine.api("DELETE", f"/volumes/{volume['Name']}", force="true")
    remove(folder)


def sweep(home: StackHome) -> None:
    """Remove what a drill that was killed has left, unless one is at work: the timer's work."""
    path = keep.folder(home) / "lock"
    if not (home.path / "drill").exists() or not path.exists():
        return
    with path.open("a") as file:
        if flock(file.fileno(), 0):
            clear(home)


def run_all() -> int:
    """Make a drill of every stack of this host that keeps something: the timer's work. Return the exit code."""
    import sys

    code = 0
    for path in sorted((HOME / "stacks").glob("*/backup/document.json")):
        home = StackHome(path.parent.parent.name)
        try:
            told = run(home, Who("drill", "timer", "slipway-drill.timer"), wait=3600.0)
            words = (
                f"{home.stack}: {told['verdict']}: {told['set']}, {told['rto_s']} s to restore, {told['rpo_s']} s old"
            )
            print(words, *told["findings"], sep="\n  ", flush=True)
            code = code if told["verdict"] == "good" else 1
        except Exception as error:  # the other stacks have their drills all the same
            code = 1
            print(f"{home.stack}: {failure.words(error)}", file=sys.stderr, flush=True)
    return code


def last(home: StackHome) -> Result | None:
    """Return the evidence of the last drill, None where there was none."""
    value = read_json(keep.folder(home) / "drill.json")
    return value if isinstance(value, dict) else None


@operation("backup.drill")
def _drill(context: Context, home: StackHome, by: str, command: str) -> Result:
    return run(home, Who("drill", by, command), progress=context.progress)
