"""What a host has, and which of it nothing accounts for.

After any run that ended well, each thing on a host has a reason: the live release, its predecessor that stays warm, a verified
release that is kept, the accessories, the router. What has none was left over by somebody.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.agent import weight
from tests.support.site import Site, eventually

_LOOK = Path(__file__).with_name("look.py")
_TEMPORARY = re.compile(r"(^|/)\.[^/]+$|\.(new|part|tmp)$")


@dataclass(frozen=True)
class Census:
    """What `look.py` saw on one host; `stack` is the stack in question."""

    stack: str
    raw: dict[str, Any]

    @property
    def live(self) -> str:
        """The release that the router sends requests to."""
        mine = [r["id"] for r in self.raw["releases"] if r["stack"] == self.stack]
        loaded = [name for name, weight in self.raw["servers"].items() if weight and name.startswith(self.stack)]
        found = [r for r in mine if any(re.search(rf"/{re.escape(r)}\b", name) for name in loaded)]
        return found[0] if len(found) == 1 else ""

    @property
    def warm(self) -> str:
        """The verified release that was live before: it may run on."""
        left = [r for r in self.raw["releases"] if r["stack"] == self.stack and r["verified"] and r["id"] != self.live]
        return str(max(left, key=lambda r: r["left"], default={"id": ""})["id"])

    @property
    def known(self) -> set[str]:
        """The releases that have a reason to be there."""
        mine = [r for r in self.raw["releases"] if r["stack"] == self.stack and r["recorded"]]
        return {r["id"] for r in mine if r["verified"] or r["id"] == self.live}

    def strays(self) -> list[str]:
        """Return what nothing accounts for, in words."""
        found = [] if self.live else [f"no one release is live: {self.raw['servers']}"]
        found += self._containers() + self._releases()
        found += [f"network {n}" for n in self.raw["networks"] if not self._is_network(n)]
        found += [f"image {' '.join(names)}" for names in self.raw["images"] if not self._is_image(names)]
        found += [f"part of a pull: {name}" for name in self.raw["pulls"]]
        found += [f"file {name}" for name in self.raw["files"] if _TEMPORARY.search(name)]
        found += [f"process {argv}" for argv in self.raw["processes"]]
        found += [f"lock {name} is held" for name in self.raw["locks"]]
        found += [f"file {name}" for name in self.raw["temporary"]]
        return found

    def _containers(self) -> list[str]:
        found = []
        for c in self.raw["containers"]:
            if c["role"] in ("router", "accessory"):
                well = c["state"] == "running" and (c["role"] == "router" or c["name"].endswith(f"-{c['service']}-1"))
            elif c["release"] == self.live:
                well = c["state"] == "running" and not c["job"] and c["shares"] != weight.STARTING
            elif c["release"] == self.warm:
                well = not c["job"]
            else:
                well = c["release"] in self.known and c["state"] == "exited" and not c["job"]
            if not well:
                little = " with the share of one that starts" if c["shares"] == weight.STARTING else ""
                found.append(f"container {c['name']} ({c['state']}{little})")
        return found

    def _releases(self) -> list[str]:
        return [f"release {r['id']}" for r in self.raw["releases"] if r["id"] not in self.known]

    def _is_network(self, name: str) -> bool:
        own = name in ("bridge", "host", "none", f"slipway-{self.stack}")
        return own or name in {f"release-{self.stack}-{r}" for r in self.known}

    def _is_image(self, names: list[str]) -> bool:
        needed = {c["image"] for c in self.raw["containers"]}
        needed |= {image for r in self.raw["releases"] if r["id"] in self.known for image in r["images"]}
        return bool(needed & set(names))

    def rest(self) -> dict[str, Any]:
        """Return what is there besides releases, and what containers that are gone said: the same after any number of deploys."""
        ours = self.raw["files"] + self.raw["folders"]
        outside = [f for f in ours if "/releases/" not in f and not f.startswith(f"logs/{self.stack}/")]
        return {
            "files": sorted({re.sub(r"[0-9a-f]{16}\.pyz", "DIGEST.pyz", f) for f in outside}),
            "volumes": self.raw["volumes"],
            "networks": [n for n in self.raw["networks"] if not n.startswith("release-")],
            "accessories": sorted(c["name"] for c in self.raw["containers"] if not c["release"]),
        }

    def counts(self) -> dict[str, int]:
        """Return how many there are of each kind."""
        kinds = ("containers", "networks", "images", "volumes", "files", "processes", "locks", "releases")
        return {kind: len(self.raw[kind]) for kind in kinds}


def left_over(before: Mapping[str, Census], after: Mapping[str, Census]) -> list[str]:
    """Return, in words, what nothing accounts for on hosts, and what besides releases is not as it was."""
    found = []
    for host, now in after.items():
        found += [f"{host}: {stray}" for stray in now.strays()]
        was, rest = before[host].rest(), now.rest()
        for kind in was:
            found += [f"{host}: {kind}: {name} is gone" for name in was[kind] if name not in rest[kind]]
            found += [f"{host}: {kind}: {name} is new" for name in rest[kind] if name not in was[kind]]
    return found


def take(site: Site, host: str = "app1") -> Census:
    """Return what is on a host now."""
    return Census(
        site.stack, json.loads(site.checkout.on(site.env, "python3", "-", "deploy", host=host, stdin=_LOOK.read_text()))
    )


def settled(site: Site, host: str = "app1", within: float = 45) -> Census:
    """Return what is on a host once it has tidied up, which it does by itself at the end of a run and each minute.

    The minute is not waited for: the timer's service is started by hand. Strays that stay are in the census that is returned.
    """
    seen: list[Census] = []

    def tidy() -> bool:
        site.on("systemctl", "start", "slipway-reap", host=host, check=False)
        seen.append(take(site, host))
        return not seen[-1].strays()

    try:
        eventually(tidy, within=within, every=0.5)
    except AssertionError:
        return seen[-1]
    return seen[-1]
