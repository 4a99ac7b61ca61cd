"""What an environment has proven: its live release, healthy and verified, for another environment to take by digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slipway.errors import BadInput, SlipwayError
from slipway.image import exact, source
from slipway.settings import load
from slipway.watch import status


@dataclass(frozen=True)
class Proven:
    """A release that serves, whole and verified.

    Args:
        env: where.
        stack: whose.
        release: its id.
        version: what it was built from, as it is called.
        images: the digests of its images, by service.
        commit: the revision of this repository that the version is.
    """

    env: str
    stack: str
    release: str
    version: str
    images: dict[str, str]
    commit: str

    def document(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        return dict(vars(self))

    def text(self) -> str:
        """Return it as people read it: what one types to have it elsewhere is in the last two lines."""
        head = f"{self.stack} in {self.env} has proven release {self.release}, commit {self.commit}"
        return f"{head}\n\n  --version {self.version}\n  --images {exact.write(self.images)}"


def proven(env: str, stack: str | None) -> Proven:
    """Return what an environment has proven.

    Raises:
        BadInput: settings are wrong; or the version is no commit in the history of this checkout: nobody could tell which
            stack file goes with it.
        SlipwayError: nothing is live there, or it is not healthy, or not verified.
    """
    found = status.status(env, stack)
    release = found["release"] or {}
    if not found["healthy"] or not release.get("verified"):
        why = found["problems"] or [f"release {release.get('id')} was not verified" if release else "nothing is live"]
        raise SlipwayError(
            f"{env} has proven nothing", where=f"{found['stack']} in {env}", seen="; ".join(why),
            todo=f"inv status --env {env} shows it; mend that, deploy there, then again",
        )  # fmt: skip
    version = str(release["version"])
    commit = source.commit_of(load.root(), version)
    if commit is None:
        raise BadInput(
            f"version {version} is no commit in the history of this checkout: nobody can tell which stack file goes with it",
            where=f"{found['stack']} in {env}",
            todo="get the whole history of the branch (`git fetch --unshallow`), or have a commit of it deployed there",
        )
    return Proven(env, str(found["stack"]), str(release["id"]), version, dict(release["images"]), commit)
