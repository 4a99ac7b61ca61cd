"""From a stack and a version to images by digest: found in the registry, given another tag, or built and pushed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from slipway import report
from slipway.errors import BadInput, SlipwayError
from slipway.image.registry import RegistryClient
from slipway.image.source import context_digest, folder_digest
from slipway.settings.model import Service, Stack


@dataclass(frozen=True)
class Image:
    """An image of one service in a registry.

    Args:
        service: whose.
        reference: as hosts pull it, by digest.
        origin: "registry" (was there), "tagged" (the same source under another version), "built".
    """

    service: str
    reference: str
    origin: str


def built_services(stack: Stack) -> list[Service]:
    """Return the app and job services that have a `build:` section."""
    return [s for s in stack.services if s.build and s.role != "accessory"]


def ensure(
    stack: Stack,
    client: RegistryClient,
    version: str,
    *,
    build: bool,
    rebuild: bool = False,
    password: str | None = None,
    dry: bool = False,
    bases: Callable[[list[str]], None] | None = None,
) -> dict[str, Image]:
    """Return the images of a stack's version, building and pushing, side by side, what the registry lacks.

    Args:
        stack: the stack.
        client: the registry.
        version: the tag.
        build: this tree is that version: what is missing may be built. Otherwise it must exist.
        rebuild: the tree's source is given this version even where the registry has another image under it.
        password: of the registry's user, for pushing.
        bases: given the base images of what is to be built, sees that the engine has them (a lab's stand-ins).
        dry: build nothing; an image that would be built has the digest of its source.

    Raises:
        BadInput: the version does not exist and may not be built (exit code 2).
        SlipwayError: an image does not build, or the registry does not take it.
    """
    services = built_services(stack)
    with ThreadPoolExecutor(max(1, len(services))) as pool:
        found = dict(
            zip(
                [s.name for s in services],
                pool.map(lambda s: client.digest(_name(stack, s), version), services),
                strict=True,
            )
        )
    missing = [s for s in services if found[s.name] is None or rebuild]
    if missing and not build:
        names = ", ".join(_name(stack, s) for s in missing)
        raise BadInput(
            f"version {version} does not exist in the registry",
            where=client.registry.push,
            seen=f"no tag {version} of {names}",
            todo="inv release.list shows what was released; --build --version NAME builds this tree under a new name",
        )
    images = {s.name: _image(stack, s, client, str(found[s.name]), "registry") for s in services if s not in missing}
    with ThreadPoolExecutor(max(1, len(missing))) as pool:
        if bases and missing and not dry:
            bases(sorted({name for s in missing for name in base_images(s)}))
        made = pool.map(lambda s: _make(stack, s, client, version, password, dry), missing)
        images.update({image.service: image for image in made})
    for service in stack.services:  # an app of somebody else's image: the hosts resolve its tag
        if not service.build and service.role != "accessory":
            images[service.name] = Image(service.name, str(service.image), "named")
    return images


def _name(stack: Stack, service: Service) -> str:
    return f"{stack.name}/{service.name}"


def _image(stack: Stack, service: Service, client: RegistryClient, digest: str, origin: str) -> Image:
    return Image(service.name, f"{client.registry.seen_by_hosts}/{_name(stack, service)}@{digest}", origin)


def _make(
    stack: Stack, service: Service, client: RegistryClient, version: str, password: str | None, dry: bool
) -> Image:
    name, labels = _name(stack, service), _labels(stack, service)
    assert service.build  # noqa: S101 - the caller looked
    source = "src-" + context_digest(service.build, extra=repr(labels))[:24]
    digest = client.digest(name, source)
    if dry:
        return _image(stack, service, client, digest or f"{source} (to be built)", "tagged" if digest else "built")
    if digest:
        client.retag(name, digest, version)
        return _image(stack, service, client, digest, "tagged")
    with report.step(f"Build {name}") as step:
        reference = f"{client.registry.push}/{name}"
        build(service, [f"{reference}:{version}", f"{reference}:{source}"], labels, step.say)
        for tag in (version, source):
            push(f"{reference}:{tag}", client, password, step.say)
        digest = client.digest(name, version)
        step.done(f"{version}, pushed as {str(digest)[:19]}")
    return _image(stack, service, client, str(digest), "built")


def _labels(stack: Stack, service: Service) -> dict[str, str]:
    labels = {"slipway.stack": stack.name, "slipway.service": service.name}
    if stack.migrate and stack.migrate.service == service.name:
        labels["slipway.migrations"] = folder_digest(Path(stack.folder) / stack.migrate.path)
    return labels


def base_images(service: Service) -> list[str]:
    """Return the images that a service's Dockerfile starts from."""
    assert service.build  # noqa: S101 - the caller looked
    text = (Path(service.build.context) / service.build.dockerfile).read_text()
    found = re.findall(r"^FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", text, re.M | re.I)
    stages = {stage for _, stage in found if stage}
    return sorted({image for image, _ in found if image not in stages and image != "scratch" and "$" not in image})


def certificate_bundle() -> Path | None:
    """Return this machine's CA bundle: where builds go out through a proxy with a CA of its own, they need it."""
    for candidate in (os.environ.get("SSL_CERT_FILE", ""), "/etc/ssl/certs/ca-certificates.crt"):
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    return None


def build(service: Service, tags: list[str], labels: dict[str, str], say: Callable[[str], None]) -> None:
    """Build a service's image with BuildKit under `tags`. Raise SlipwayError with the failing step's last lines."""
    from slipway.lab import engine

    section = service.build
    assert section  # noqa: S101 - the caller looked
    argv: list[str] = ["build", "--progress", "plain", "-f", str(Path(section.context) / section.dockerfile)]
    for tag in tags:
        argv += ["-t", tag]
    for key, value in labels.items():
        argv += ["--label", f"{key}={value}"]
    for key, value in section.args.items():
        argv += ["--build-arg", f"{key}={value}"]
    if section.target:
        argv += ["--target", section.target]
    bundle = certificate_bundle()
    if bundle:
        argv += ["--secret", f"id=ca,src={bundle}"]
    done = engine.docker(*argv, section.context, check=False, on_line=lambda line: say(line[-100:]) if line else None)
    if done.code != 0:
        raise SlipwayError(
            f"the image of {service.name} does not build",
            where=f"{section.context}/{section.dockerfile}",
            seen=done.tail(20),
            todo="mend it; `inv build` builds without deploying",
        )


def push(reference: str, client: RegistryClient, password: str | None, say: Callable[[str], None]) -> None:
    """Push an image with the registry's credentials for this call only. Raise SlipwayError where it is refused."""
    import docker

    user = client.registry.username
    auth = {"username": user, "password": password} if user and password else None
    try:
        for event in docker.from_env().api.push(reference, stream=True, decode=True, auth_config=auth):
            if "error" in event:
                raise SlipwayError("the registry does not take the image", where=reference, seen=event["error"])
            if event.get("progress"):
                say(f"push {event.get('id', '')} {event['progress'][:60]}")
    except docker.errors.DockerException as error:
        raise SlipwayError("the image could not be pushed", where=reference, seen=str(error)) from error


def build_locally(stack: Stack, service: Service, tag: str) -> None:
    """Build a service's image on this machine's engine under `tag`, and push nothing. Raises as `build`."""
    with report.step(f"Build {stack.name}/{service.name}") as step:
        build(service, [tag], _labels(stack, service), step.say)
