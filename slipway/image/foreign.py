"""Apps that run somebody else's image: its tag is asked for once, and every host gets the digest."""

from __future__ import annotations

from slipway.errors import BadInput, SlipwayError
from slipway.image.registry import RegistryClient
from slipway.lab.state import LabState
from slipway.settings.imagename import HUB, ImageName, parse
from slipway.settings.model import Registry, Service

_HUB_API = "registry-1.docker.io"


def pinned(service: Service, client: RegistryClient, lab: LabState | None, *, dry: bool = False) -> str:
    """Return the image of a service without `build:` by digest, as the registry that hosts pull it from tells it.

    Args:
        service: whose image.
        client: the environment's registry.
        lab: the lab, if the environment is one: its registry gets the official image first, unless `dry`.
        dry: change nothing; an image that a lab's registry would get is named with its tag.

    Raises:
        BadInput: no registry tells the digest.
    """
    image = str(service.image)
    name = parse(image)
    if name.digest:
        return f"{name.repository}@{name.digest}"
    try:
        found = _in_lab(image, name, client, lab, dry) if lab and name.registry == HUB else _asked(name, client)
    except SlipwayError as error:
        raise _unknown(service, name, str(error)) from error
    if found is None:
        raise _unknown(service, name, f"there is no {image}")
    return f"{name.repository}@{found}"


def _in_lab(image: str, name: ImageName, client: RegistryClient, lab: LabState, dry: bool) -> str | None:
    from slipway.lab import images

    if not dry:
        images.publish(images.ensure(image), lab)
    found = client.whole().digest(name.path, name.tag)
    return f"{name.tag} (to be published in the lab)" if dry and found is None else found


def _asked(name: ImageName, client: RegistryClient) -> str | None:
    """Ask in the order in which hosts do: a mirror before the hub."""
    registry = client.registry
    if name.registry in (client.host, registry.seen_by_hosts.partition("/")[0]):
        return client.whole().digest(name.path, name.tag)
    if name.registry == HUB and registry.mirror:
        found = client.whole().digest(name.path, name.tag)
        if found:
            return found
    host = _HUB_API if name.registry == HUB else name.registry
    return RegistryClient(Registry(push=host)).digest(name.path, name.tag)


def _unknown(service: Service, name: ImageName, seen: str) -> BadInput:
    return BadInput(
        f"the image {service.image} cannot be pinned by digest: no registry tells which one {name.tag} is",
        where=service.name,
        seen=seen,
        todo=f"try again once {name.registry} answers, or write the digest into the stack file: "
        f"image: {name.repository}@sha256:…",
    )
