"""Rollbacks and versions: back to a release that is warm, further back, to a chosen one; today's credentials."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.support import stacks
from tests.support.site import SLACK, Site, eventually


@pytest.fixture(scope="module")
def three(served: Site) -> list[str]:
    """Three releases, oldest first; the last one is live."""
    ids = []
    for label in ("first", "second", "third"):
        with served.checkout.changed():
            stacks.behave(served.checkout, label)
            version = served.checkout.commit(label)
            served.deploy().ok()
            ids.append(served.live())
            assert ids[-1].startswith(version)
    return ids


def of(containers: dict[str, dict[str, Any]], release: str, *services: str) -> dict[str, str]:
    """Return when each container of a release (of these services) was started."""
    return {
        n: c["started"] for n, c in containers.items()
        if c["release"] == release and c["state"] == "running" and c["service"] in services
    }  # fmt: skip


def test_back_to_the_warm_one_then_further(served: Site, three: list[str]) -> None:
    first, second, third = three
    eventually(lambda: first not in served.running(), within=30)  # two deploys ago: stopped behind our back
    warm = of(served.containers(), second, "web", "extra")
    assert len(warm) == 3, "the predecessor still runs"
    with served.visitor() as visitor:
        done = served.inv("rollback").ok()
    visitor.happy()
    assert set(visitor.releases) == {third, second}
    assert served.live() == second
    assert served.get().json()["label"] == "second"
    assert of(served.containers(), second, "web", "extra") == warm, "no container was restarted"
    assert done.seconds < 6 * SLACK
    assert served.inv("status").code == 0

    with served.visitor() as visitor:
        served.inv("rollback").ok()
    visitor.happy()
    assert served.live() == first, "not back to the one that was just left"
    assert served.inv("status").code == 0

    with served.visitor() as visitor:
        done = served.inv("rollback", "--to", third, "--plan").ok()
        assert served.live() == first
        assert f"{first} → {third}" in done.out
        served.inv("rollback", "--to", third).ok()
    visitor.happy()
    assert served.live() == third


def test_a_worker_goes_along(served: Site, three: list[str]) -> None:
    """The release that serves has its worker; the others' have ended."""
    live = served.live()
    eventually(
        lambda: {c["release"] for c in served.containers().values() if c["service"] == "tick" and c["state"] == "running"}
        == {live},
        within=15,
    )  # fmt: skip


def test_an_earlier_release_gets_todays_credentials(served: Site, three: list[str]) -> None:
    _, second, third = three
    served.inv("rollback", "--to", third)
    stacks.plant(served.checkout, served.env, served.stack, token="rotated-token-4711")
    plan = served.inv("rollback", "--to", second, "--plan").ok()
    assert "token: today's value" in plan.out
    assert "rotated-token-4711" not in plan.text
    with served.visitor() as visitor:
        served.inv("rollback", "--to", second).ok()
    visitor.happy()
    told = served.get().json()
    assert (told["label"], told["token"]) == ("second", hashlib.sha256(b"rotated-token-4711").hexdigest())


def test_an_earlier_version_by_its_name(served: Site, three: list[str]) -> None:
    version = three[0].rpartition("-")[0]
    done = served.deploy("--version", version).ok()
    assert "Build" not in done.out
    assert served.get().json()["label"] == "first"
    assert served.live().startswith(version)


def test_a_name_makes_a_release_even_of_the_same_source(served: Site, three: list[str]) -> None:
    with served.checkout.changed():
        served.deploy("--build", "--version", "name-one").ok()
        one, before = served.status(), served.get().json()
        assert one["release"]["version"] == "name-one"
        served.deploy("--build", "--version", "name-two").ok()
        two = served.status()
        assert two["release"]["version"] == "name-two"
        assert two["release"]["id"] != one["release"]["id"]
        assert two["release"]["images"] == one["release"]["images"], "the digests are equal"
        assert served.get().json() == before
        again = served.deploy("--version", "name-two").ok()
        assert again.out.startswith("nothing to do")
        served.deploy("--version", "name-one").ok()
        assert served.status()["release"]["version"] == "name-one"


def test_build_needs_a_name(served: Site) -> None:
    assert "--build needs a name" in served.deploy("--build").exits(2).err
