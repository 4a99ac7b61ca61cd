"""One service of a stack file into a `Service`: what the planner needs is made plain, the rest is carried as it is."""

from __future__ import annotations

import re
from pathlib import Path as FilePath
from typing import Any

from slipway.settings import backups, composekeys, logs, roles, validate
from slipway.settings.keeping import ServiceBackup
from slipway.settings.model import MOST_REPLICAS, Build, Service
from slipway.settings.patterns import PATTERNS, SHORT_NAME
from slipway.settings.problems import Path, Problems, nearest
from slipway.settings.xslipway import ServiceExtras
from slipway.settings.yamlfile import YamlFile

_IMAGE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9._:/-]*?)(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?P<digest>@sha256:[0-9a-f]{64})?"
)
_USER = re.compile(r"\d+(:\d+)?")
_OURS = ("SLIPWAY_RELEASE", "SLIPWAY_VERSION")
_OUR_LABELS = ("slipway.", "com.docker.compose.")


class ServiceReader:
    """Reads the services of one stack file; what is wrong goes into `problems`."""

    def __init__(
        self,
        root: FilePath,
        stack: str,
        file: YamlFile,
        data: dict[str, Any],
        *,
        replicas: dict[str, int],
        problems: Problems,
    ) -> None:
        self.root, self.folder = root, root / "compose" / stack
        self.file, self.data, self.replicas, self.problems = file, data, replicas, problems
        self.replicas_refused: list[str] = []

    def read(self, name: str, raw: Any) -> Service | None:
        """Return the service `name` with the Compose section `raw` (interpolated), None if it is wrong."""
        before = len(self.problems.found)
        at: Path = ("services", name)
        if not re.fullmatch(SHORT_NAME, name):
            self._no(at, f"should be {PATTERNS[SHORT_NAME]}")
        if not isinstance(raw, dict):
            self._no(at, "should be a mapping")
            return None
        self._keys(at, raw)
        said = {} if raw.get("x-slipway") is None else raw["x-slipway"]
        rest = {k: v for k, v in said.items() if k != "backup"} if isinstance(said, dict) else said
        extras = validate.model(ServiceExtras, rest, self.file, (*at, "x-slipway"), self.problems)
        keeps = self._backups(at, said)
        build = self._build(at, raw)
        role = roles.role_of(raw)
        section = {k: v for k, v in raw.items() if not k.startswith("x-") and k not in ("build", "depends_on")}
        if "environment" in raw:
            section["environment"] = self._environment((*at, "environment"), raw["environment"])
        if "labels" in raw:
            section["labels"] = self._labels((*at, "labels"), raw["labels"])
        if "depends_on" in raw and (kept := roles.dependencies(self._no, at, self.data["services"])):
            section["depends_on"] = kept
        secrets = self._secrets((*at, "secrets"), raw.get("secrets"))
        self._user(at, raw, secrets)
        image = self._image(at, raw)
        self._volumes((*at, "volumes"), raw.get("volumes"))
        backups.check(self._no, at, role, keeps, raw, secrets)
        replicas = self._replicas(name, at, role, raw, section)
        roles.check(self._no, at, raw, extras)
        logs.check(self._no, at, role, extras.logs if extras else (), raw, list(backups.mounted(raw)))
        if extras is None or len(self.problems.found) > before:
            return None
        health = extras.health
        return Service(
            name=name,
            role=role,
            phase=extras.phase,
            replicas=replicas,
            image=image,
            build=build,
            route=extras.route,
            health=health,
            drain=extras.drain,
            secrets=secrets,
            backup=keeps,
            logs=extras.logs,
            compose=section,
        )

    def _backups(self, at: Path, said: Any) -> tuple[ServiceBackup, ...]:
        value = said.get("backup") if isinstance(said, dict) else None
        return backups.entries(self.file, (*at, "x-slipway", "backup"), value, self.problems)

    def _no(self, path: Path, message: str) -> None:
        self.file.problem(self.problems, path, message)

    def _keys(self, at: Path, raw: dict[str, Any]) -> None:
        for key in raw:
            if key in composekeys.SERVICE_REFUSED:
                self._no((*at, key), f"is not for a stack: {composekeys.SERVICE_REFUSED[key]}")
            elif key.startswith("x-"):
                if key != "x-slipway" and nearest(key, ["x-slipway"]):
                    self._no((*at, key), f"unknown key{nearest(key, ['x-slipway'])}")
            elif key not in composekeys.SERVICE:
                self._no((*at, key), f"unknown key{nearest(key, {*composekeys.SERVICE, 'x-slipway'})}")
        if "build" not in raw and "image" not in raw:
            self._no(at, "needs an image, or a build")
        if "build" in raw and "image" in raw:
            self._no((*at, "image"), "Slipway names the images that it builds: leave image out")

    def _build(self, at: Path, raw: dict[str, Any]) -> Build | None:
        if "build" not in raw:
            return None
        value, path = raw["build"], (*at, "build")
        section = {"context": value} if isinstance(value, str) else value
        if not isinstance(section, dict):
            self._no(path, "should be a folder, or a mapping with a context")
            return None
        for key in section.keys() & (composekeys.BUILD_ALL - composekeys.BUILD):
            self._no((*path, key), "is not supported: images are built with context, dockerfile, target and args")
        section = {k: v for k, v in section.items() if k not in composekeys.BUILD_ALL - composekeys.BUILD}
        if "args" in section:
            section["args"] = self._environment((*path, "args"), section["args"])
        section.setdefault("context", ".")
        build = validate.model(Build, section, self.file, path, self.problems)
        if build is None:
            return None
        context = validate.inside(self.folder, build.context)
        if not context.is_relative_to(self.root) or not validate.is_folder(context):
            self._no((*path, "context"), f"there is no folder {build.context[:80]} in this checkout")
        elif not validate.is_file(validate.inside(context, build.dockerfile)):
            self._no((*path, "dockerfile"), f"there is no {build.dockerfile[:80]} in {build.context[:80]}")
        return build.model_copy(update={"context": str(context)})

    def _environment(self, path: Path, raw: Any) -> dict[str, str]:
        """Return `environment:` or `args:` as a mapping of texts, whichever of Compose's two forms it has."""
        pairs = self._pairs(path, raw)
        for key in _OURS:
            if key in pairs:
                self._no(pairs[key][0], "is set by Slipway itself: leave it out")
        return {key: self._text(where, key, value) for key, (where, value) in pairs.items()}

    def _labels(self, path: Path, raw: Any) -> dict[str, str]:
        """Return `labels:` as a mapping of texts; one without a value is empty, as in Compose."""
        pairs = self._pairs(path, raw)
        for key, (where, _) in pairs.items():
            if key.startswith(_OUR_LABELS):
                self._no(where, "is set by Slipway or Compose itself: leave it out")
        return {k: "" if value is None else self._text(where, k, value) for k, (where, value) in pairs.items()}

    def _pairs(self, path: Path, raw: Any) -> dict[str, tuple[Path, Any]]:
        """Return place and value by name, of a mapping or of a list of NAME=value."""
        if isinstance(raw, dict):
            return {key: ((*path, key), value) for key, value in raw.items()}
        if raw is not None and not isinstance(raw, list):
            self._no(path, "should be a mapping, or a list of NAME=value")
        pairs: dict[str, tuple[Path, Any]] = {}
        for index, item in enumerate(raw if isinstance(raw, list) else ()):
            key, sign, value = item.partition("=") if isinstance(item, str) else ("", "", None)
            if not key:
                self._no((*path, index), "should be text: NAME=value")
                continue
            if key in pairs:
                self._no((*path, index), f"{key[:60]} is here twice")
            pairs[key] = ((*path, index), value if sign else None)
        return pairs

    def _text(self, path: Path, key: str, value: Any) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, (bool, int, float)):
            return self.file.text(path) or str(value)
        if value is None:
            self._no(path, f"would take its value from the shell of whoever types: write ${{{key[:60]}}}, or a value")
        else:
            self._no(path, "should be text or a number")
        return ""

    def _secrets(self, path: Path, raw: Any) -> tuple[str, ...]:
        if raw is None:
            return ()
        if not isinstance(raw, list):
            self._no(path, "should be a list")
            return ()
        declared = self.data.get("secrets")
        known = declared if isinstance(declared, dict) else {}
        names: list[str] = []
        for index, item in enumerate(raw):
            name = item.get("source") if isinstance(item, dict) else item
            if not isinstance(name, str):
                self._no((*path, index), "should name a secret, or be a mapping with a source")
                continue
            for key in item if isinstance(item, dict) else ():
                if key in ("uid", "gid", "mode"):
                    self._no((*path, index, key), "has no effect: Slipway lets the service's user read the file")
                elif key not in ("source", "target"):
                    self._no((*path, index, key), f"unknown key{nearest(key, ('source', 'target'))}")
            if name not in known:
                words = "is not declared under the file's top-level secrets"
                self._no((*path, index), f"{name[:60]} {words}{nearest(name, known)}")
            names.append(name)
        return tuple(dict.fromkeys(names))

    def _user(self, at: Path, raw: dict[str, Any], secrets: tuple[str, ...]) -> None:
        if "user" in raw and secrets and not _USER.fullmatch(str(raw["user"])):
            self._no((*at, "user"), 'should be a number ("10001:10001"): its secrets are readable by that user alone')

    def _image(self, at: Path, raw: dict[str, Any]) -> str | None:
        image, path = raw.get("image"), (*at, "image")
        if "image" not in raw or "build" in raw:
            return None
        match = _IMAGE.fullmatch(image) if isinstance(image, str) else None
        if match is None or not isinstance(image, str):
            self._no(path, "should be an image's name with its tag, e.g. postgres:17")
            return None
        if match["tag"] == "latest":
            self._no(path, "`latest` is another image tomorrow: name a version")
        elif not match["tag"] and not match["digest"]:
            self._no(path, f"has no tag: name a version, e.g. {image[:80]}:1.0")
        return image

    def _volumes(self, path: Path, raw: Any) -> None:
        if raw is None:
            return
        if not isinstance(raw, list):
            self._no(path, "should be a list")
            return
        declared = self.data.get("volumes")
        known = declared if isinstance(declared, dict) else {}
        for index, item in enumerate(raw):
            source = item.get("source") if isinstance(item, dict) else None
            kind = item.get("type", "volume") if isinstance(item, dict) else "volume"
            if isinstance(item, str) and ":" in item:
                source = item.split(":", 1)[0]
                kind = "bind" if source[:1] in (".", "~", "/") else "volume"
            elif not isinstance(item, (str, dict)):
                self._no((*path, index), "should be text (volume:path) or a mapping")
            if not isinstance(source, str):
                continue
            if source.endswith("docker.sock"):
                self._no((*path, index), "the engine's socket makes a container the owner of its host")
            elif kind == "bind" and not source.startswith("/"):
                self._no((*path, index), f"{source[:80]} is a folder of this machine: it belongs into compose.dev.yaml")
            elif kind == "volume" and source not in known:
                words = "is not declared under the file's top-level volumes"
                self._no((*path, index), f"{source[:60]} {words}{nearest(source, known)}")

    def _replicas(self, name: str, at: Path, role: roles.Role, raw: dict[str, Any], section: dict[str, Any]) -> int:
        deploy = {} if raw.get("deploy") is None else raw["deploy"]
        if not isinstance(deploy, dict):
            self._no((*at, "deploy"), "should be a mapping")
            return 1
        roles.check_deploy(self._no, (*at, "deploy"), role, deploy)
        own = deploy.get("replicas", 1)
        path = (*at, "deploy", "replicas")
        if not isinstance(own, int) or isinstance(own, bool) or not 1 <= own <= MOST_REPLICAS:
            self._no(path, f"should be a whole number, 1 to {MOST_REPLICAS}")
            return 1
        if role != "app":
            if own != 1:
                self._no(path, "only an app service has replicas: an accessory keeps data of its own, a job runs once")
            if name in self.replicas:
                self.replicas_refused.append(name)
            return 1
        count = self.replicas.get(name, own)
        if count != own or "replicas" in deploy:
            section["deploy"] = {**deploy, "replicas": count}
        return count
