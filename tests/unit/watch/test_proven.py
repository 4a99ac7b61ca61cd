"""What one environment has proven for another: healthy, verified, and a commit that everybody can look up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from invoke import Context, Exit

from slipway import target
from slipway.errors import BadInput, SlipwayError
from slipway.image import source
from slipway.plan.outcome import Outcome
from slipway.process import run
from slipway.target.compose import verbs
from slipway.tasks import release
from slipway.watch import proven, status

DIGEST = "sha256:" + "a" * 64


def git(folder: Path, *words: str) -> str:
    return run(["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *words], cwd=folder).out.strip()


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one commit on its branch, and another one on a branch that was not merged."""
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "one")
    git(tmp_path, "tag", "v1.0")
    git(tmp_path, "checkout", "-q", "-b", "aside")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "two")
    git(tmp_path, "checkout", "-q", "main")
    monkeypatch.setattr(proven.load, "root", lambda: tmp_path)
    return tmp_path


def served(monkeypatch: pytest.MonkeyPatch, version: str, **changes: Any) -> None:
    """Play a staging that serves `version`."""
    live = {"id": f"{version}-abc", "version": version, "images": {"api": DIGEST}, "verified": True}
    found = {"env": "staging", "stack": "probe", "healthy": True, "problems": [], "release": live, **changes}
    monkeypatch.setattr(status, "status", lambda env, stack: found)


def test_a_release_that_serves(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = git(repo, "rev-parse", "HEAD")
    served(monkeypatch, commit[:10])
    found = proven.proven("staging", None)
    assert (found.version, found.images, found.commit) == (commit[:10], {"api": DIGEST}, commit)
    assert f"--version {commit[:10]}\n  --images api={DIGEST}" in found.text()


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"healthy": False, "problems": ["app1: away"]}, "app1: away"),
        ({"release": None, "healthy": False}, "nothing is live"),
        ({"release": {"id": "v1.0-x", "version": "v1.0", "images": {}, "verified": False}}, "v1.0-x was not verified"),
    ],
)
def test_what_proves_nothing(repo: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], seen: str) -> None:
    served(monkeypatch, "v1.0", **changes)
    with pytest.raises(SlipwayError, match="staging has proven nothing") as caught:
        proven.proven("staging", None)
    assert caught.value.exit_code == 1
    assert seen in caught.value.seen


def test_a_version_that_nobody_can_look_up(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a host says of a version is not checked out unless it is in the history of the branch."""
    aside = git(repo, "rev-parse", "aside")
    for version in ("named", "aside", aside[:10], "--help", "main..aside"):
        served(monkeypatch, version)
        with pytest.raises(BadInput, match="is no commit in the history"):
            proven.proven("staging", None)
    assert source.commit_of(repo, "v1.0") == git(repo, "rev-parse", "v1.0^{commit}")


def test_what_is_taken_from_there(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch, "v1.0")
    asked: list[Any] = []

    def deploy(*words: Any, **options: Any) -> Outcome:
        asked.append((*words[:3], options["images"]))
        return Outcome("deploy", "production", "probe", "v1.0-x", None, True, "http://x", steps=[("Switch", 1.0)])

    monkeypatch.setattr(target, "of", lambda _: SimpleNamespace(deploy=deploy))
    release.deploy(Context(), env="production", from_="staging")
    release.deploy(Context(), env="production", version="v1.0", images=f"api={DIGEST}")
    assert asked == [("production", None, "v1.0", {"api": DIGEST})] * 2
    with pytest.raises(Exit) as ended:
        release.deploy(Context(), env="production", from_="staging", version="v2")
    assert ended.value.code == 2


@pytest.mark.parametrize("options", [{}, {"version": "v1", "build": True}])
def test_images_are_those_of_a_version(options: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="--images are those of a version"):
        verbs.deploy(
            "local", None, options.get("version"), build=bool(options.get("build")), plan_only=True, cut=False, yes=False,
            images={"api": DIGEST},
        )  # fmt: skip
