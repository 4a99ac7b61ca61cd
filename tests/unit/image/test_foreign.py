"""Apps of somebody else's image: pinned by the registry that hosts ask, or refused. With registries of a few lines."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.errors import BadInput, SlipwayError
from slipway.image import foreign
from slipway.image.registry import RegistryClient
from slipway.lab import images as lab_images
from slipway.lab.state import LabState
from slipway.settings.model import Registry, Service
from tests.support.values import LAB

OWN = Registry(push="registry.example/team", username="ci")
MIRROR = Registry(push="registry.example/team", mirror=True)
LABS = Registry(push="127.0.0.1:5000", pull="registry.lab:5000", insecure=True, mirror=True)

World = dict[str, str | None]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """What the registries of the world have, as `host/repository:tag` -> digest; None: the host does not answer."""
    known: World = {}

    def call(self: RegistryClient, method: str, repository: str, path: str, **_: Any) -> Any:
        asked = f"{self.host}/{repository}:{path.rpartition('/')[2]}"
        known.setdefault("asked", "")
        known["asked"] = f"{known['asked']} {asked}".strip()
        if known.get(self.host, "") is None:
            raise SlipwayError("the registry does not answer", where=self.host)
        found = known.get(asked)
        headers = {"Docker-Content-Digest": found}
        return type("Answer", (), {"status_code": 200 if found else 404, "headers": headers})

    monkeypatch.setattr(RegistryClient, "_call", call)
    return known


def pinned(image: str, registry: Registry = OWN, **options: Any) -> str:
    service = Service(name="web", role="app", image=image)
    return foreign.pinned(service, RegistryClient(registry, "geheim"), options.pop("lab", None), **options)


def test_an_official_image_by_what_the_hub_says(world: World) -> None:
    world["registry-1.docker.io/library/nginx:1.27"] = "sha256:n"
    assert pinned("nginx:1.27") == "nginx@sha256:n"
    assert world["asked"] == "registry-1.docker.io/library/nginx:1.27"


def test_a_mirror_is_asked_first_as_hosts_do(world: World) -> None:
    world["registry-1.docker.io/team/x:1"] = "sha256:hub"
    assert pinned("team/x:1", MIRROR) == "team/x@sha256:hub"
    world["registry.example/team/x:1"] = "sha256:mirror"
    assert pinned("team/x:1", MIRROR) == "team/x@sha256:mirror"


def test_another_registrys_image_by_that_registry(world: World) -> None:
    world["ghcr.example:8443/a/b:2"] = "sha256:g"
    assert pinned("ghcr.example:8443/a/b:2", MIRROR) == "ghcr.example:8443/a/b@sha256:g"


def test_an_image_of_the_environments_registry_as_this_machine_sees_it(world: World) -> None:
    world["registry.example/tools/x:1"] = "sha256:own"
    hosts_see = OWN.model_copy(update={"pull": "10.0.0.5:5000/team"})
    assert pinned("10.0.0.5:5000/tools/x:1", hosts_see) == "10.0.0.5:5000/tools/x@sha256:own"


def test_a_digest_needs_no_answer(world: World) -> None:
    assert pinned("nginx:1.27@sha256:" + "a" * 64) == "nginx@sha256:" + "a" * 64
    assert not world


@pytest.mark.parametrize("answers", ["", None])
def test_what_nobody_can_tell_is_refused(world: World, answers: str | None) -> None:
    world["registry-1.docker.io"] = answers
    with pytest.raises(BadInput, match=r"nginx:1\.27 cannot be pinned by digest") as caught:
        pinned("nginx:1.27")
    assert "nginx@sha256:" in caught.value.todo
    assert ("does not answer" if answers is None else "there is no nginx:1.27") in caught.value.seen


def test_in_a_lab_the_official_image_is_published_then_asked_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def publish(name: str, lab: LabState) -> None:
        done.append(name)
        world["127.0.0.1:5000/library/redis:8"] = "sha256:lab"

    monkeypatch.setattr(lab_images, "ensure", lambda name: name)
    monkeypatch.setattr(lab_images, "publish", publish)
    assert pinned("redis:8", LABS, lab=LAB, dry=True) == "redis@8 (to be published in the lab)"
    assert done == [], "looking publishes nothing"
    assert pinned("redis:8", LABS, lab=LAB) == "redis@sha256:lab"
    assert pinned("redis:8", LABS, lab=LAB, dry=True) == "redis@sha256:lab"
    assert done == ["redis:8"]


def test_a_lab_that_cannot_get_the_image_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def ensure(name: str) -> str:
        raise SlipwayError(f"the image {name} is not on the engine and cannot be pulled")

    monkeypatch.setattr(lab_images, "ensure", ensure)
    with pytest.raises(BadInput, match="nginx:1 is not on the engine and cannot be pulled"):
        pinned("nginx:1", LABS, lab=LAB)
