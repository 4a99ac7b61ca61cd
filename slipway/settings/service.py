"""One service of a stack file into a `Service`: what the planner needs is made plain, the rest is carried as it is."""

from __future__ import annotations

import re
from pathlib import Path as FilePath
from typing import Any, Literal, cast

from slipway.settings import composekeys, validate
from slipway.settings.model import Build, Service
from slipway.settings.problems import Path, Problems, nearest
from slipway.settings.xslipway import ServiceExtras
from slipway.settings.yamlfile import YamlFile

_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")
_IMAGE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9._:/-]*?)(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?P<digest>@sha256:[0-9a-f]{64})?"
)
_USER = re.compile(r"\d+(:\d+)?")
_OURS = ("SLIPWAY_RELEASE", "SLIPWAY_VERSION")

Role = Literal["app", "accessory", "job"]


def role_of(raw: Any) -> Role:
    """Return the role of a service with this Compose section, as far as it can be told where the section is wrong."""
    if not isinstance(raw, dict):
        return "app"
    extras = raw.get("x-slipway")
    said = extras.get("role") if isinstance(extras, dict) else None
    if said in ("app", "accessory", "job"):
        return cast(Role, said)
    return "app" if "build" in raw else "accessory"


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
        if not _NAME.fullmatch(name):
            self._no(at, "should be a short name: a lower-case letter, then letters, digits and hyphens")
        if not isinstance(raw, dict):
            self._no(at, "should be a mapping")
            return None
        self._keys(at, raw)
        said = {} if raw.get("x-slipway") is None else raw["x-slipway"]
        extras = validate.model(ServiceExtras, said, self.file, (*at, "x-slipway"), self.problems)
        build = self._build(at, raw)
        role = role_of(raw)
        section = {k: v for k, v in raw.items() if not k.startswith("x-") and k != "build"}
        if "environment" in raw:
            section["environment"] = self._environment((*at, "environment"), raw["environment"])
        if "depends_on" in raw:
            self._depends_on(at, role, section)
        secrets = self._secrets((*at, "secrets"), raw.get("secrets"))
        self._user(at, raw, secrets)
        image = self._image(at, raw)
        self._volumes((*at, "volumes"), raw.get("volumes"))
        replicas = self._replicas(name, at, role, raw, section)
        self._role(at, role, raw, extras)
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
            compose=section,
        )

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
        pairs: dict[str, tuple[Path, Any]] = {}
        if isinstance(raw, list):
            for index, item in enumerate(raw):
                key, sign, value = item.partition("=") if isinstance(item, str) else ("", "", None)
                if not key:
                    self._no((*path, index), "should be text: NAME=value")
                    continue
                if key in pairs:
                    self._no((*path, index), f"{key[:60]} is here twice")
                pairs[key] = ((*path, index), value if sign else None)
        elif isinstance(raw, dict):
            pairs = {key: ((*path, key), value) for key, value in raw.items()}
        elif raw is not None:
            self._no(path, "should be a mapping, or a list of NAME=value")
        result = {key: self._text(where, key, value) for key, (where, value) in pairs.items()}
        for key in _OURS:
            if key in result:
                self._no(pairs[key][0], "is set by Slipway itself: leave it out")
        return result

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

    def _depends_on(self, at: Path, role: Role, section: dict[str, Any]) -> None:
        """Drop what is in another project by the time the service starts; Compose would refuse it there."""
        raw, services = section["depends_on"], self.data["services"]
        if not isinstance(raw, (list, dict)) or not all(isinstance(n, str) for n in raw):
            self._no((*at, "depends_on"), "should be a list or a mapping of services")
            return
        for name in raw:
            if name not in services:
                self._no((*at, "depends_on"), f"the stack has no service {name[:60]}{nearest(name, services)}")
        kept = [n for n in raw if role_of(services.get(n)) == role]
        if kept:
            section["depends_on"] = kept if isinstance(raw, list) else {n: raw[n] for n in kept}
        else:
            del section["depends_on"]

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

    def _replicas(self, name: str, at: Path, role: Role, raw: dict[str, Any], section: dict[str, Any]) -> int:
        deploy = {} if raw.get("deploy") is None else raw["deploy"]
        if not isinstance(deploy, dict):
            self._no((*at, "deploy"), "should be a mapping")
            return 1
        own = deploy.get("replicas", 1)
        path = (*at, "deploy", "replicas")
        if not isinstance(own, int) or isinstance(own, bool) or own < 1:
            self._no(path, "should be a whole number, at least 1")
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

    def _role(self, at: Path, role: Role, raw: dict[str, Any], extras: ServiceExtras | None) -> None:
        """Check that what is said suits the role, so that nothing said is without effect."""
        if role != "app" and "build" in raw and role == "accessory":
            self._no((*at, "build"), "an accessory runs a published image: give it one, or make it an app or a job")
        if role != "accessory" and "ports" in raw:
            self._no((*at, "ports"), "the router is the way in: give the service a route under x-slipway")
        if extras is None:
            return
        said, path = extras.model_fields_set, (*at, "x-slipway")
        if role != "app" and extras.route:
            self._no((*path, "route"), "only an app service has a route")
        if extras.health and not extras.route:
            self._no((*path, "health"), "needs a route: its port is where health answers (else use `healthcheck`)")
        if "drain" in said and not extras.route:
            self._no((*path, "drain"), "needs a route (without one `stop_grace_period` says how long work may go on)")
        if "phase" in said and role == "accessory":
            self._no((*path, "phase"), "has no effect: an accessory is not part of a release")
