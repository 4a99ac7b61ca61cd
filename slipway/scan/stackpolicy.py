"""Our policy on stack files: what a service of ours may do on a host is as little as it needs.

What can't be deployed at all (`privileged`, the engine's socket, `latest`) the settings refuse themselves.
Source: https://cheatsheetseries.owasp.org/cheatsheets/Docker_Security_Cheat_Sheet.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from slipway.scan.finding import Finding, Level
from slipway.settings import roles, yamlfile
from slipway.settings.problems import Problems

_STRONG = frozenset(
    "ALL BPF DAC_READ_SEARCH NET_ADMIN PERFMON SYS_ADMIN SYS_BOOT SYS_MODULE SYS_PTRACE SYS_RAWIO SYS_TIME".split()  # noqa: SIM905
)
_SECRET = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY)$", re.I)
_HARMLESS = re.compile(r"^\$\{[^}:-]*(:?-)?\}$|^$")
"""A value that a setting gives, without a default that would be one."""

Said = tuple[tuple[str | int, ...], Level, str, str]
"""Where below the service, how bad, which rule, words."""


def scan(root: Path, name: str) -> list[Finding]:
    """Return what is against the policy in the stack file `name` (a path below `root`).

    One that does not parse has nothing against it: the settings tell what is wrong with it.
    """
    file = yamlfile.read(root / name, name, Problems())
    services = file.data.get("services")
    found = []
    for service, section in (services if isinstance(services, dict) else {}).items():
        if not isinstance(section, dict):
            continue
        for path, level, rule, words in _judge(section, (root / name).parent):
            line = file.line(("services", service, *path))
            found.append(Finding(name, line, rule, f"{service}: {words}", level, "policy"))
    return found


def _judge(section: Mapping[str, Any], folder: Path) -> Iterator[Said]:
    yield from _rights(section)
    yield from _namespaces(section)
    yield from _limits(section)
    yield from _environment(section)
    if roles.role_of(section) == "accessory":
        return  # somebody else's image: which user it is and where it writes is its own affair
    if section.get("read_only") is not True:
        yield (
            (),
            "warning",
            "writable-root",
            "its file system can be written: `read_only: true`, and tmpfs where it has to",
        )
    user = str(section.get("user") or _user_of_image(section, folder) or "")
    if user.partition(":")[0] in ("", "0", "root"):
        yield ("user",), "error", "root-user", 'it runs as root: `user: "10001:10001"`, or USER in its Dockerfile'


def _rights(section: Mapping[str, Any]) -> Iterator[Said]:
    dropped = {str(c).upper() for c in _items(section.get("cap_drop"))}
    if "ALL" not in dropped:
        yield ("cap_drop",), "warning", "capabilities", "it keeps the engine's default capabilities: `cap_drop: [ALL]`"
    for index, capability in enumerate(_items(section.get("cap_add"))):
        if str(capability).upper().removeprefix("CAP_") in _STRONG:
            yield ("cap_add", index), "error", "strong-capability", f"{capability} is nearly the whole host"
    options = [str(o).replace("=", ":") for o in _items(section.get("security_opt"))]
    if not {"no-new-privileges", "no-new-privileges:true"} & set(options):
        words = 'a program in it can become root: `security_opt: ["no-new-privileges:true"]`'
        yield ("security_opt",), "warning", "new-privileges", words
    for index, option in enumerate(options):
        if option.endswith((":unconfined", ":disable")):
            yield ("security_opt", index), "error", "unconfined", f"{option} takes a wall to the host away"


def _namespaces(section: Mapping[str, Any]) -> Iterator[Said]:
    for key in ("pid", "ipc", "uts", "userns_mode", "cgroup"):
        if section.get(key) == "host":
            yield (key,), "error", "host-namespace", f"`{key}: host` shows it the host's own"
    for key in ("devices", "device_cgroup_rules"):
        if section.get(key):
            yield (key,), "warning", "device", "it gets a device of the host: write down why, as an exception"


def _limits(section: Mapping[str, Any]) -> Iterator[Said]:
    limits = ((section.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    if not (limits.get("memory") or section.get("mem_limit")):
        words = "without a limit it can take all memory of its host: `deploy: {resources: {limits: {memory: 256M}}}`"
        yield ("deploy",), "warning", "memory-limit", words
    if not (limits.get("pids") or section.get("pids_limit")):
        words = "without a limit it can take all processes of its host: `deploy: {resources: {limits: {pids: 100}}}`"
        yield ("deploy",), "warning", "process-limit", words


def _environment(section: Mapping[str, Any]) -> Iterator[Said]:
    given = section.get("environment")
    pairs = given.items() if isinstance(given, dict) else []
    listed = [str(item).partition("=") for item in given] if isinstance(given, list) else []
    for index, (key, _, value) in enumerate(listed):
        yield from _secret(key, value, ("environment", index))
    for key, value in pairs:
        yield from _secret(key, value, ("environment", key))


def _secret(key: str, value: Any, path: tuple[str | int, ...]) -> Iterator[Said]:
    if _SECRET.search(key) and value is not None and not _HARMLESS.match(str(value)):
        words = f"{key} stands in the file, and in `docker inspect`: make it a secret (docs/secrets.md)"
        yield path, "error", "secret-in-environment", words


def _user_of_image(section: Mapping[str, Any], folder: Path) -> str:
    """Return the user that the last stage of a service's Dockerfile names; "" where it names none."""
    build = section.get("build")
    context = build if isinstance(build, str) else (build or {}).get("context", ".")
    dockerfile = "Dockerfile" if isinstance(build, str) else (build or {}).get("dockerfile", "Dockerfile")
    path = folder / str(context) / str(dockerfile)
    if not build or not path.is_file():
        return ""
    user = ""
    for line in path.read_text(errors="replace").splitlines():
        word, _, rest = line.strip().partition(" ")
        user = "" if word.upper() == "FROM" else rest.strip() if word.upper() == "USER" else user
    return user


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
