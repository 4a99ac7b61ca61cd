"""What `floor.sh` finds on the host: a router of its own, and the stack's Compose file as Slipway wrote it, with variables in it.

So both deploy the same stack, to the same accessories, on the same host; and neither sees the other's containers.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import yaml

from slipway.agent import haproxy
from tests.support.checkout import Checkout

_SCRIPT = Path(__file__).with_name("floor.sh")
PORT = 8090
_STACK, _HOME = "fineasy", "/var/lib/slipway/stacks/fineasy"


class Floor:
    """The floor on the first host of a checkout's lab."""

    def __init__(self, checkout: Checkout, env: str) -> None:
        lab = checkout.lab(env)
        host = lab["hosts"][0]
        options = {"IdentityFile": lab["key_file"], "UserKnownHostsFile": lab["known_hosts"], "BatchMode": "yes"}
        self.ssh = ["-F", "none", *(f"-o{k}={v}" for k, v in options.items()), f"{host['user']}@{host['address']}"]
        self.releases: list[str] = []

    def on_host(self, command: str, stdin: str = "") -> str:
        """Run a command by hand on the host, as the user that deploys."""
        argv = ["ssh", *self.ssh, command]
        return subprocess.run(argv, input=stdin, check=True, capture_output=True, text=True).stdout

    def prepare(self, release: str) -> None:
        """Lay out ~/floor on the host, from the live release `release`; start the floor's router."""
        document = yaml.safe_load(self.on_host(f"cat {_HOME}/releases/{release}/compose.yaml"))
        self.on_host(f"rm -rf ~/floor && mkdir -p ~/floor/proxy && cp -a {_HOME}/releases/{release}/secrets ~/floor/")
        self.on_host("cat > ~/floor/compose.yaml", yaml.safe_dump(_with_variables(document, release)))
        template = haproxy.render([_router(document)])
        self.on_host("tee ~/floor/haproxy.template > ~/floor/proxy/haproxy.cfg", template)
        self.on_host(
            "chmod 711 ~ ~/floor && docker run -d --name floor-proxy --pull never --network slipway-fineasy --read-only"
            f" -v ~/floor/proxy:/usr/local/etc/haproxy:ro --tmpfs /run/haproxy:mode=1777 -p {PORT}:{PORT} haproxy:3.0"
        )

    def remove(self) -> None:
        """Remove the floor's containers from the host: they take no part in what is measured after it."""
        self.on_host("docker ps -aq --filter name=^floor- | xargs -r docker rm -f; rm -rf ~/floor")

    def deploy(self, release: str, images: dict[str, str]) -> float:
        """Bring `release` live by hand. Return the seconds it took."""
        begun = time.monotonic()
        subprocess.run(
            [_SCRIPT, release, images["api"], images["worker"], *self.ssh],
            check=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )
        took = time.monotonic() - begun
        self.releases.append(release)
        for old in self.releases[:-2]:  # as ours: the predecessor stays
            self.on_host(f"docker ps -aq --filter label=com.docker.compose.project=floor-{old} | xargs -r docker rm -f")
            self.releases.remove(old)
        return took


def _with_variables(document: dict[str, Any], release: str) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(document).replace(release, "${RELEASE}"))
    for name, service in changed["services"].items():
        service["image"] = f"${{{name.upper()}}}"
        service["labels"] = {}  # those by which Slipway finds its own
    return changed


def _router(document: dict[str, Any]) -> dict[str, Any]:
    replicas = document["services"]["api"]["deploy"]["replicas"]
    servers = [f"floor-RELEASE-api-{n}" for n in range(1, replicas + 1)]
    release = {"id": "RELEASE", "weights": {"api": 100}, "servers": {"api": servers}}
    release |= {"ports": {"api": 8000}, "live": {"api": "/health"}}
    route = {"service": "api", "path": "/", "timeout": 60.0}
    return {
        "stack": _STACK,
        "port": PORT,
        "domain": None,
        "routes": [route],
        "releases": [release],
    }
