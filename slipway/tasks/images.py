"""Images: built, tagged with a version, pushed."""

from __future__ import annotations

from invoke import Context

from slipway.tasks import agreed, environment, out, task

_FLAGS = ("env", "stack", "version", "yes")


@task(*_FLAGS)
def build(c: Context, env: str = "", stack: str = "", version: str = "", yes: bool = False) -> None:
    """Build a stack's images on this machine, and push nothing."""
    from slipway import target

    where = environment(c, env)
    for line in target.of(where).build(where, stack or None, version or None, yes=agreed(yes)):
        out(line)


@task(*_FLAGS)
def push(c: Context, env: str = "", stack: str = "", version: str = "", yes: bool = False) -> None:
    """Build and push what the registry lacks; print each image by digest.

    With --version NAME this tree gets that name. A name that another source has already is refused, unless the
    environment says allow_dirty.
    """
    from slipway import actions, report, target
    from slipway.image import exact

    where = environment(c, env)
    name, found = target.of(where).push(where, stack or None, version or None, yes=agreed(yes))
    for image in found.values():
        out(f"{image.service}  {image.reference}  ({image.origin})")
    rows = [f"| {image.service} | `{image.reference}` | {image.origin} |" for image in found.values()]
    report.current().page.append("\n".join(["| service | image | was |", "| --- | --- | --- |", *rows]))
    digests = {image.service: image.reference.partition("@")[2] for image in found.values()}
    actions.leave("push", {"version": name, "images": exact.write(digests)})
