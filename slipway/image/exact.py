"""Images that are named by digest: what one environment proved is what another one gets, whatever tags say meanwhile."""

from __future__ import annotations

import re
from collections.abc import Mapping

from slipway.errors import BadInput
from slipway.image.build import Image, built_services
from slipway.image.registry import RegistryClient
from slipway.settings.imagename import parse
from slipway.settings.model import Stack
from slipway.settings.problems import listed

_ONE = re.compile(r"([a-z0-9][a-z0-9_.-]*)=(sha256:[0-9a-f]{64})")


def write(digests: Mapping[str, str]) -> str:
    """Return services and their images' digests as one word: `api=sha256:…,worker=sha256:…`."""
    return ",".join(f"{service}={digest}" for service, digest in sorted(digests.items()))


def read(text: str) -> dict[str, str]:
    """Return what `write` wrote. Raise BadInput for anything else."""
    found: dict[str, str] = {}
    for part in text.split(","):
        match = _ONE.fullmatch(part.strip())
        if not match or match[1] in found:
            todo = "write service=sha256:… for each service, with commas; inv release.proven prints them"
            raise BadInput("--images is not a list of services and digests", seen=part[:100] or "nothing", todo=todo)
        found[match[1]] = match[2]
    return found


def exactly(stack: Stack, client: RegistryClient, digests: Mapping[str, str]) -> dict[str, Image]:
    """Return exactly these images of a stack's services. Nothing is built, tagged, or asked for by a tag.

    Args:
        stack: the stack.
        client: the environment's registry.
        digests: by service, for each that a release replaces.

    Raises:
        BadInput: other services are named than the stack has, or the registry lacks an image (exit code 2).
    """
    services = [s for s in stack.services if s.role != "accessory"]
    _refuse_others(stack, {s.name for s in services}, set(digests))
    built = {s.name for s in built_services(stack)}
    images = {}
    for service in services:
        digest = digests[service.name]
        if service.name not in built:  # hosts pull it from where it is: before the switch, if at all
            images[service.name] = Image(service.name, f"{parse(str(service.image)).repository}@{digest}", "named")
            continue
        name = f"{stack.name}/{service.name}"
        if client.digest(name, digest) is None:
            raise BadInput(
                f"the image of {service.name} does not exist in the registry",
                where=client.registry.push,
                seen=f"no {name}@{digest}",
                todo="environments that hand releases on need the same registry: `registry` in their files",
            )
        images[service.name] = Image(service.name, f"{client.registry.seen_by_hosts}/{name}@{digest}", "registry")
    return images


def _refuse_others(stack: Stack, known: set[str], given: set[str]) -> None:
    if known == given:
        return
    missing, strange = known - given, given - known
    seen = [f"without a digest: {listed(missing)}"] if missing else []
    seen += [f"no service of it: {listed(strange)}"] if strange else []
    raise BadInput(
        "the images are not those of this stack file",
        where=f"compose/{stack.name}/compose.yaml",
        seen="; ".join(seen),
        todo="check the version out that they belong to",
    )
