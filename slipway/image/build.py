"""From a stack and a version to images by digest: found in the registry, given another tag, or built and pushed."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from slipway import report
from slipway.errors import BadInput, SlipwayError
from slipway.image.foreign import pinned
from slipway.image.push import push
from slipway.image.registry import Refused, RegistryClient
from slipway.image.source import context_digest, folder_digest
from slipway.lab.state import LabState
from slipway.settings.model import Service, Stack

_one_push = threading.Lock()
"""One push at a time: the layers that images share are compressed and sent once, the next ones find them there."""


@dataclass(frozen=True)
class Image:
    """An image of one service in a registry.

    Args:
        service: whose.
        reference: as hosts pull it, by digest.
        origin: "registry" (was there), "tagged" (the same source under another version), "built", "named" (somebody
            else's).
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
    overwrite: bool = False,
    password: str | None = None,
    dry: bool = False,
    lab: LabState | None = None,
) -> dict[str, Image]:
    """Return the images of a stack's version, building and pushing, side by side, what the registry lacks.

    Args:
        stack: the stack.
        client: the registry.
        version: the tag.
        build: this tree is that version: what is missing may be built. Otherwise it must exist.
        rebuild: the version is a name that a person gives to this tree's source, whatever has it now.
        overwrite: it may have been given to another source before; otherwise a version stays what it is.
        password: of the registry's user, for pushing.
        dry: build nothing; an image that would be built has the digest of its source.
        lab: the lab, if the environment is one: official images come from its stand-ins where none can be pulled.

    Raises:
        BadInput: the version does not exist and may not be built, or it exists, made from another source; or an app of
            somebody else's image cannot be pinned (exit code 2). Nothing was built.
        SlipwayError: an image does not build, or the registry does not take it.
    """
    services = built_services(stack)
    found = _digests(services, lambda s: client.digest(_name(stack, s), version))
    wanted = found
    if rebuild:
        wanted = _digests(services, lambda s: client.digest(_name(stack, s), _source(stack, s)))
    missing = [s for s in services if found[s.name] is None or found[s.name] != wanted[s.name]]
    if missing and not build:
        raise _no_version(stack, client, version, missing)
    taken = [s for s in missing if found[s.name]]
    if taken and not overwrite:
        raise _other_source(stack, client, version, taken)
    images = {s.name: _image(stack, s, client, str(found[s.name]), "registry") for s in services if s not in missing}
    for service in (s for s in stack.services if s.image and s.role != "accessory"):
        images[service.name] = Image(service.name, pinned(service, client, lab, dry=dry), "named")
    if lab and missing and not dry:
        ensure_bases(missing)
        _lend_bases(stack, missing, lab)
    with ThreadPoolExecutor(max(1, len(missing))) as pool:
        made = pool.map(lambda s: _make(stack, s, client, version, password, dry), missing)
        return images | {image.service: image for image in made}


def _digests(services: Sequence[Service], ask: Callable[[Service], str | None]) -> dict[str, str | None]:
    """Return what `ask` says of each service, by name, asked side by side."""
    with ThreadPoolExecutor(max(1, len(services))) as pool:
        return dict(zip([s.name for s in services], pool.map(ask, services), strict=True))


def _no_version(stack: Stack, client: RegistryClient, version: str, missing: Sequence[Service]) -> BadInput:
    return BadInput(
        f"version {version} does not exist in the registry",
        where=client.registry.push,
        seen=f"no tag {version} of {', '.join(_name(stack, s) for s in missing)}",
        todo="inv release.list shows what was released; --build --version NAME builds this tree under a new name",
    )


def _other_source(stack: Stack, client: RegistryClient, version: str, taken: Sequence[Service]) -> BadInput:
    return BadInput(
        f"version {version} exists, and was made from another source than this tree",
        where=client.registry.push,
        seen=f"tag {version} of {', '.join(_name(stack, s) for s in taken)}",
        todo=f"choose another name; --version {version} without --build deploys what has that name",
    )


def ensure_bases(services: Sequence[Service]) -> None:
    """See that a lab's engine has the images that these services are built on: pulled, or their stand-ins."""
    from slipway.lab import images as lab_images

    lab_images.ensure_all(sorted({name for service in services for name in base_images(service)}))


def _lend_bases(stack: Stack, services: Sequence[Service], lab: LabState) -> None:
    """Let services' repositories have what a lab's registry has of the images that they are built on: docker finds it there."""
    from slipway.lab import registry

    for service in services:
        for name in base_images(service):
            registry.lend(lab.registry.push, name, _name(stack, service))


def _name(stack: Stack, service: Service) -> str:
    return f"{stack.name}/{service.name}"


def _source(stack: Stack, service: Service) -> str:
    """Return the tag that tells what an image is made from."""
    assert service.build  # noqa: S101 - the caller looked
    return "src-" + context_digest(service.build, extra=repr(_labels(stack, service)))[:24]


def _image(stack: Stack, service: Service, client: RegistryClient, digest: str, origin: str) -> Image:
    return Image(service.name, f"{client.registry.seen_by_hosts}/{_name(stack, service)}@{digest}", origin)


def _make(
    stack: Stack, service: Service, client: RegistryClient, version: str, password: str | None, dry: bool
) -> Image:
    name, source = _name(stack, service), _source(stack, service)
    digest = client.digest(name, source)
    if dry:
        return _image(stack, service, client, digest or f"{source} (to be built)", "tagged" if digest else "built")
    if digest:
        client.retag(name, digest, version)
        return _image(stack, service, client, digest, "tagged")
    with report.step(f"Build {name}") as step:
        reference = f"{client.registry.push}/{name}"
        build(service, [f"{reference}:{version}", f"{reference}:{source}"], _labels(stack, service), step.say)
        with _one_push:
            push(f"{reference}:{source}", client, password, step.say)
            digest = str(client.digest(name, source))
            try:
                client.retag(name, digest, version)  # a version is only there with what tells its source
            except Refused:  # the docker command may have a login of its own
                push(f"{reference}:{version}", client, password, step.say)
        step.done(f"{version}, pushed as {digest[:19]}")
    return _image(stack, service, client, digest, "built")


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
            seen=failed_step(done.err) or done.tail(5),
            todo="mend it; `inv build` builds without deploying",
        )


def failed_step(said: str) -> str:
    """Return what the step of a build that failed said, without BuildKit's own words about it ("": no step failed).

    Args:
        said: what `docker build --progress plain` printed: `#<step> [2/3] RUN …`, `#<step> <seconds> <what it says>`.
    """
    failed = re.search(r"^#(\d+) ERROR: (?:process|executor failed running) .*?(exit code: \d+|$)", said, re.M)
    if not failed:
        return ""
    title = re.search(rf"^#{failed[1]} (\[.*)$", said, re.M)
    lines = re.findall(rf"^#{failed[1]} \d+\.\d+ (.*)$", said, re.M)
    return "\n".join([title[1] if title else "a step", *lines[-15:], failed[2]]).strip()


def build_locally(stack: Stack, service: Service, tag: str) -> None:
    """Build a service's image on this machine's engine under `tag`, and push nothing. Raises as `build`."""
    with report.step(f"Build {stack.name}/{service.name}") as step:
        build(service, [tag], _labels(stack, service), step.say)
