"""Run by a host's own `python3 -` as root: prints what a stack has there, as JSON. One call: commands of the engine take longer.

python3 - STACK PART..., each of containers, networks, images, releases, weights.
"""

import http.client
import json
import os
import socket
import sys

STACK = sys.argv[1]
FOLDER = f"/var/lib/slipway/stacks/{STACK}/releases"
ROUTER = "/var/lib/slipway/proxy/run/admin.sock"


class Engine(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/run/docker.sock")


def ask(path):
    """Return what the engine answers; None for what is gone."""
    engine = Engine("engine")
    engine.request("GET", path)
    answer = engine.getresponse()
    found = json.loads(answer.read())
    if answer.status != 200 and answer.status != 404:
        sys.exit(f"{path}: {answer.status} {found}")
    return found if answer.status == 200 else None


def containers():
    for listed in ask("/containers/json?all=1"):
        if listed["Labels"].get("slipway.stack") == STACK and (c := ask(f"/containers/{listed['Id']}/json")):
            labels = c["Config"]["Labels"]
            yield (
                c["Name"].lstrip("/"),
                {
                    "id": c["Id"],
                    "state": c["State"]["Status"],
                    "started": c["State"]["StartedAt"],
                    "service": labels["slipway.service"],
                    "release": labels.get("slipway.release"),
                    "image": c["Config"]["Image"],
                },
            )


def images():
    return sorted({n for i in ask("/images/json") for n in (i["RepoTags"] or []) + (i["RepoDigests"] or [])})


def weights():
    with socket.socket(socket.AF_UNIX) as router:
        router.connect(ROUTER)
        router.sendall(b"show stat -1 4 -1\n")
        rows = [line.split(",") for line in router.makefile().read().splitlines()[1:] if line]
    return {f"{r[0]}/{r[1]}": int(r[18] or 0) for r in rows if r[0].startswith(f"{STACK}:")}


LOOKS = {
    "containers": lambda: dict(containers()),
    "networks": lambda: sorted(n["Name"] for n in ask("/networks")),
    "images": images,
    "releases": lambda: sorted(os.listdir(FOLDER)) if os.path.isdir(FOLDER) else [],  # noqa: PTH112, PTH208
    "weights": weights,
}
print(json.dumps({part: LOOKS[part]() for part in sys.argv[2:]}))
