"""Runs on a host as root: what is rotated, and containers' logs, as JSON. Standard library only."""

import fnmatch
import json
import re
import stat
import subprocess
import sys
from pathlib import Path

ASKED = json.loads(sys.argv[1])
UNITS = ["slipway-rotate.timer", "slipway-rotate.path", "slipway-rotate@due.service", "slipway-rotate@now.service"]
VOLUMES = Path("/var/lib/docker/volumes")


def out(*argv):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout


def units():
    text = out("systemctl", "show", "--property=Id,ActiveState,UnitFileState,Result", *UNITS, "logrotate.timer")
    blocks = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in text.strip().split("\n\n")]
    return {block["Id"]: block for block in blocks if "Id" in block}


def state(path):
    found = path.stat()
    whole = (
        path.suffix != ".gz" or subprocess.run(["gzip", "-t", path], capture_output=True, check=False).returncode == 0
    )
    return {
        "name": path.name, "user": found.st_uid, "group": found.st_gid, "mode": found.st_mode & 0o7777,
        "size": found.st_size, "inode": [found.st_dev, found.st_ino], "whole": whole,
    }  # fmt: skip


def written():
    """Return the inodes of the regular files below the volumes that some process has open for writing."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = link.stat()
            if stat.S_ISREG(target.st_mode):
                info = (link.parents[1] / "fdinfo" / link.name).read_text()
                if int(re.search(r"^flags:\s+(\d+)", info, re.M)[1], 8) & 0o3:
                    found.append([target.st_dev, target.st_ino])
        except (OSError, TypeError):  # it has ended meanwhile
            continue
    return found


def files(asked):
    """Return the files of one rule: the one or those that are written to, each with its rotated ones."""
    at = VOLUMES / asked["volume"] / "_data" / asked["path"]
    names = sorted(p.name for p in at.parent.iterdir()) if at.parent.is_dir() else []
    return [
        {
            **state(at.with_name(name)),
            "rotated": [state(at.with_name(n)) for n in names if re.fullmatch(re.escape(name) + r"\.\d+(\.gz)?", n)],
        }
        for name in names
        if fnmatch.fnmatch(name, at.name)
    ]


def containers():
    ids = out("docker", "ps", "--all", "--quiet", "--filter", "label=slipway.role").split()
    found = []
    for one in json.loads(out("docker", "inspect", *ids)) if ids else []:
        log, path = one["HostConfig"]["LogConfig"], Path(one["LogPath"])
        argv = ["runuser", "-u", ASKED["user"], "--", "head", "-c1", path]
        found.append({
            "name": one["Name"].lstrip("/"), "driver": log["Type"], "options": log["Config"] or {}, "there": path.is_file(),
            "files": [[p.name, p.stat().st_size] for p in path.parent.glob(f"{path.name}*")] if path.name else [],
            "readable": subprocess.run(argv, capture_output=True, check=False).returncode == 0,
        })  # fmt: skip
    return found


told = {"units": units(), "files": [files(f) for f in ASKED["files"]], "written": written(), "containers": containers()}
json.dump(told, sys.stdout)
