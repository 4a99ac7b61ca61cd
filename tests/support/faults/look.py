"""Run by a host's own `python3 -` as root: prints all that Slipway may leave on a host, as JSON. See census.py."""

import fcntl
import json
import os
import pwd
import re
import socket
import subprocess
import sys
from pathlib import Path

HOME = Path("/var/lib/slipway")
USER = sys.argv[1]
ALWAYS = (".", "systemd-private-", "runc-process")  # in /tmp: the system's own, and for moments the engine's
OURS = ("slipway", "current.pyz", "docker compose", "docker-compose", "docker pull", "ansible", "mitogen")


def docker(*argv):
    done = subprocess.run(["docker", *argv], capture_output=True, text=True, check=False)
    return done.stdout.split()


def inspect(kind, *ids):
    if not ids:
        return []
    done = subprocess.run(["docker", kind, "inspect", *ids], capture_output=True, text=True, check=False)
    return json.loads(done.stdout or "[]")  # what vanished between the two calls is left out


def read(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def held(path):
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def processes():
    """Yield the command lines of the deploying user's processes, and of any others that are Slipway's, outside containers."""
    uid, mine = pwd.getpwnam(USER).pw_uid, {os.getpid(), os.getppid()}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            argv = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            owner, groups = folder.stat().st_uid, (folder / "cgroup").read_text()
        except OSError:
            continue
        login = argv.startswith(("sshd", "/lib/systemd/systemd --user", "/usr/lib/systemd/systemd --user", "(sd-pam"))
        if int(folder.name) in mine or re.search("[0-9a-f]{64}", groups) or not argv or login:
            continue
        if owner == uid or any(word in argv for word in OURS):
            yield argv[:120]


def servers():
    """Return the weight of each server of the router, by backend and name; {} where it does not answer."""
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(str(HOME / "proxy/run/admin.sock"))
            s.sendall(b"show stat -1 4 -1\n")
            lines = s.makefile().read().splitlines()[1:]
    except OSError:
        return {}
    return {f"{r[0]}/{r[1]}": int(r[18] or 0) for r in (line.split(",") for line in lines if line)}


def containers():
    for c in inspect("container", *docker("ps", "--all", "--quiet", "--no-trunc")):
        labels = c["Config"]["Labels"] or {}
        yield {
            "name": c["Name"].lstrip("/"), "state": c["State"]["Status"], "image": c["Config"]["Image"],
            "release": labels.get("slipway.release", ""), "service": labels.get("slipway.service", ""),
            "job": labels.get("com.docker.compose.oneoff") == "True", "role": labels.get("slipway.role", ""),
            "stack": labels.get("slipway.stack", ""), "shares": c["HostConfig"]["CpuShares"],
        }  # fmt: skip


def releases():
    for folder in sorted(HOME.glob("stacks/*/releases/*")):
        meta = read(folder / "release.json")
        yield {
            "stack": folder.parent.parent.name, "id": folder.name, "verified": bool(meta.get("verified")),
            "recorded": bool(meta), "images": list(meta.get("images", {}).values()),
            "left": meta.get("deactivated_at") or "",
        }  # fmt: skip


images = inspect("image", *set(docker("images", "--all", "--quiet", "--no-trunc")))
print(
    json.dumps(
        {
            "containers": list(containers()),
            "networks": sorted(docker("network", "ls", "--format", "{{.Name}}")),
            "volumes": sorted(docker("volume", "ls", "--quiet")),
            "images": [[*(i.get("RepoTags") or []), *(i.get("RepoDigests") or [])] or [i["Id"]] for i in images],
            "pulls": sorted(p.name for p in Path("/var/lib/docker/tmp").glob("GetImageBlob*")),
            "files": sorted(str(p.relative_to(HOME)) for p in HOME.rglob("*") if p.is_file() or p.is_socket()),
            "folders": sorted(str(p.relative_to(HOME)) for p in HOME.rglob("*") if p.is_dir()),
            "temporary": sorted(str(p) for p in Path("/tmp").glob("*") if not p.name.startswith(ALWAYS)),
            "processes": sorted(processes()),
            "locks": sorted(
                str(p.relative_to(HOME)) for p in HOME.rglob("*") if p.name in ("lease", "host.lock") and held(p)
            ),
            "releases": list(releases()),
            "servers": servers(),
        }
    )
)
