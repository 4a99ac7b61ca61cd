"""What the hosts say is true, as typed answers to the planner's questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class HostFacts:
    """The facts of one stack on one host (see `slipway.agent.facts`)."""

    host: str
    raw: Mapping[str, Any]

    @property
    def releases(self) -> Mapping[str, Mapping[str, Any]]:
        """What is recorded of each release."""
        value: Mapping[str, Mapping[str, Any]] = self.raw["releases"]
        return value

    @property
    def router(self) -> Mapping[str, Any]:
        """What the router says: `answers`, `ports`, `others`, `shares`, `weights`, `open` (see `slipway.agent.facts`)."""
        value: Mapping[str, Any] = self.raw["router"]
        return value

    def running(self, release: str, service: str | None = None) -> int:
        """Return how many containers of a release (of one service) run."""
        return sum(
            c["state"] == "running" and c["release"] == release and service in (None, c["service"])
            for c in self.raw["containers"]
        )

    def shares(self) -> dict[str, dict[str, float]]:
        """Return the shares per service and release; {} where the router does not answer."""
        return dict(self.router["shares"])

    def live(self) -> str | None:
        """Return the release that the router sends traffic to: the one with the largest share over all services.

        Where no server is up, or no router runs, the one that would get most of it. Where a run stopped between two phases and
        two releases have as much, the one that was verified, and went live first: the other one never came so far.
        """
        by_service = self.shares() if any(any(s.values()) for s in self.shares().values()) else self.router["weights"]
        totals: dict[str, float] = {}
        for of in by_service.values():
            for release, share in of.items():
                totals[release] = totals.get(release, 0) + share

        def rank(release: str) -> tuple[float, bool, float]:
            meta = self.releases.get(release, {})
            return totals[release], bool(meta.get("verified")), -float(meta.get("activated_run") or 0)

        return max((r for r in totals if totals[r]), key=rank, default=None)

    def receiving(self) -> set[str]:
        """Return every release that gets requests, or would if its servers were up."""
        return {release for of in self.router["weights"].values() for release in of}

    def serving(self, service: str) -> str | None:
        """Return the release that has the most weight for a service."""
        of = self.router["weights"].get(service, {})
        return max(of, key=lambda r: of[r], default=None)

    def warm(self, release: str) -> bool:
        """Tell whether a release could take requests at once: all its containers run, and nobody stops them."""
        meta = self.releases.get(release)
        if not meta or meta.get("stopped_at"):
            return False
        apps = [s for s in meta["services"].values() if s["role"] == "app" and s["routed"]]
        return all(self.running(release, s["name"]) >= s["replicas"] for s in apps)

    def is_whole(self, release: str) -> bool:
        """Tell whether a release gets every request of every service, and all its containers run and are healthy."""
        shares = self.shares()
        meta = self.releases.get(release)
        if not meta or not self.router["answers"] or any(s.get(release) != 100.0 for s in shares.values()):
            return False
        return all(
            self._service_is_whole(release, name, s) for name, s in meta["services"].items() if s["role"] == "app"
        )

    def _service_is_whole(self, release: str, name: str, service: Mapping[str, Any]) -> bool:
        mine = [c for c in self.raw["containers"] if c["release"] == release and c["service"] == name]
        # Where the gate asks by HTTP, a container's own check, which may come round twice a minute, has nothing to add yet.
        well = {"healthy", "none", *(["starting"] if service["ready"] else [])}
        good = [c for c in mine if c["state"] == "running" and c["health"] in well]
        images = self.releases[release]["images"]
        return len(good) >= service["replicas"] and all(c["image"] == images[name] for c in good)

    def rollback_candidates(self) -> list[str]:
        """Return the verified releases that were deployed before the live one, newest first.

        Going back twice goes further back, not to the release that was just left: a rollback is no new activation. Runs are
        counted, since clocks may be set back.
        """
        live = self.live()
        before = self.releases.get(live or "", {}).get("activated_run", float("inf"))
        known = {
            r: m["activated_run"] for r, m in self.releases.items() if m.get("verified") and m.get("activated_run")
        }
        return sorted((r for r in known if r != live and known[r] < before), key=lambda r: known[r], reverse=True)


def live_release(facts: Mapping[str, HostFacts]) -> str | None:
    """Return the release that serves on the hosts: the one that most of them send traffic to, the first host's in a tie."""
    known = [r for f in facts.values() if (r := f.live())]
    return max(dict.fromkeys(known), key=known.count, default=None)
