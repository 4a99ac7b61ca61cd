"""Runs on a host as the deploying user: what is true of a stack there, as JSON. Standard library only."""

import csv
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

HOME = Path("/var/lib/slipway")
ASKED = json.loads(sys.argv[1])
STACK = ASKED["stack"]


class Engine(http.client.HTTPConnection):
    """The Docker Engine at its socket."""

    def __init__(self):
        super().__init__("localhost", timeout=10)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect("/var/run/docker.sock")

    def get(self, path):
        self.request("GET", path)
        answer = self.getresponse()
        data = answer.read()
        return json.loads(data) if answer.status == 200 else None


def containers(engine):
    wanted = quote(json.dumps({"label": ["slipway.stack=" + STACK]}))
    listed = engine.get("/containers/json?all=true&filters=" + wanted) or []
    found = [engine.get("/containers/{}/json".format(c["Id"])) for c in listed]
    # One-off jobs come and go beside the release.
    return [c for c in found if c and c["Config"]["Labels"].get("com.docker.compose.oneoff") != "True"]


def settled(engine):
    """Return the containers once no accessory awaits its first health check.

    After a restart of the engine each does, however long it has been running: for one interval at most.
    """
    begun = time.monotonic()
    while True:
        found = containers(engine)
        waiting = [c for c in found if starting(c)]
        longest = max([c["Config"]["Healthcheck"].get("Interval") or 30e9 for c in waiting], default=0) / 1e9 + 2
        if not waiting or time.monotonic() - begun > min(longest, 60):
            return found
        time.sleep(0.25)


def starting(container):
    accessory = container["Config"]["Labels"].get("slipway.role") == "accessory"
    return accessory and (container["State"].get("Health") or {}).get("Status") == "starting"


def servers():
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(5)
        s.connect(str(HOME / "proxy" / "run" / "admin.sock"))
        s.sendall(b"show stat -1 4 -1\n")
        data = b""
        while part := s.recv(65536):
            data += part
    rows = csv.DictReader(data.decode().lstrip("# ").splitlines())
    return [
        {
            "backend": row["pxname"],
            "name": row["svname"],
            "release": row["svname"].rpartition(".")[0],
            "weight": int(row["weight"] or 0),
            "status": row["status"],
            "up": row["status"].startswith("UP") or row["status"] == "no check",
        }
        for row in rows
        if row["svname"] not in ("FRONTEND", "BACKEND")
    ]


def answer(path):
    connection = http.client.HTTPConnection("127.0.0.1", ASKED["port"], timeout=10)
    try:
        connection.request("GET", path, headers={"Host": ASKED["domain"] or "localhost"})
        got = connection.getresponse()
        body = got.read(300).decode("utf-8", "replace")
        return {"path": path, "status": got.status, "release": got.getheader("X-Release"), "body": body}
    except OSError as error:
        return {"path": path, "status": 0, "release": None, "body": str(error)}
    finally:
        connection.close()


def secret_files():
    """Return the secret files in Slipway's folders (mode, owner, ACL), and their values for `leaks`."""
    paths = sorted(HOME.glob(f"stacks/{STACK}/releases/*/secrets/*")) + sorted(
        HOME.glob(f"stacks/{STACK}/accessories/secrets/*")
    )
    files, values = [], {}
    entries = acl(paths)
    for path in paths:
        state = path.stat()
        files.append(
            {
                "path": str(path),
                "mode": state.st_mode & 0o777,
                "mine": state.st_uid == os.getuid(),
                "acl": entries[str(path)],
            }
        )
        values[path.name, path.read_text(errors="replace").strip()] = path.name
    return files, {value: name for (name, value) in values if len(value) >= 6}


def acl(paths):
    """Return the ACL entries of each path, as getfacl words them."""
    if not paths:
        return {}
    out = subprocess.run(
        ["getfacl", "--absolute-names", "--numeric", "--", *map(str, paths)], capture_output=True, text=True, check=True
    ).stdout
    found = {}
    for block in out.strip().split("\n\n"):
        lines = block.splitlines()
        found[lines[0].partition("# file: ")[2]] = [line.split()[0] for line in lines if not line.startswith("#")]
    return found


def leaks(found, values):
    """Return where a secret's value shows to anyone who may inspect a container. The value itself stays here."""
    told = []
    for container in found:
        config = container["Config"]
        shown = {
            "environment": config["Env"] or [],
            "command": (config["Cmd"] or []) + (config["Entrypoint"] or []) + container["Args"],
            "labels": list((config["Labels"] or {}).values()),
        }
        for where, words in shown.items():
            told += [
                "{} of {} shows secret {}".format(where, container["Name"].lstrip("/"), name)
                for value, name in values.items()
                if any(value in word for word in words)
            ]
    return sorted(set(told))


def main():
    engine = Engine()
    found = settled(engine)
    images = {}
    for container in found:
        if container["Image"] not in images:
            image = engine.get("/images/{}/json".format(container["Image"])) or {}
            images[container["Image"]] = (image.get("RepoDigests") or []) + (image.get("RepoTags") or [])
    try:
        told, says = servers(), ""
    except OSError as error:
        told, says = [], str(error)
    files, values = secret_files()
    state = {
        "containers": found,
        "images": images,
        "router": engine.get("/containers/slipway-proxy/json"),
        "door": engine.get("/containers/slipway-door/json"),
        "servers": told,
        "router_says": says,
        "front": {name: answer(path) for name, path in ASKED["paths"].items()},
        "secret_files": files,
        "leaks": leaks(found, values),
    }
    json.dump(state, sys.stdout)


main()
