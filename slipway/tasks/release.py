"""Releases: what was deployed, when and by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke import Collection, Context

from slipway.tasks import agreed, document, environment, out, seconds, task

if TYPE_CHECKING:
    from slipway.plan.outcome import Outcome

_FLAGS = ("env", "stack", "yes", "format")


def tell(outcome: Outcome, as_json: bool) -> None:
    """Print what a verb did, or would do."""
    from slipway import report
    from slipway.watch import outcome as words

    took = seconds()
    out(words.document(outcome, took) if as_json else words.text(outcome, took))
    report.current().page.append(words.summary(outcome, took))


@task(
    *_FLAGS,
    "version",
    "plan",
    build="build this tree and call it what --version says",
    images="exactly these images of --version, service=sha256:… with commas, as release.proven prints them",
    from_="environment whose live, verified release is to be taken, image by image",
    cut="end an old release's open requests, instead of waiting, where too many old releases still have some",
)
def deploy(
    c: Context,
    env: str = "",
    stack: str = "",
    version: str = "",
    build: bool = False,
    images: str = "",
    plan: bool = False,
    cut: bool = False,
    yes: bool = False,
    format: str = "text",
    from_: str = "",
) -> None:
    """Bring a version live without losing a request, and prove it.

    Without --version this tree is the version: what the registry lacks of it is built. --version NAME deploys what was built
    before; with --build, this tree under that name. --from staging deploys what staging has proven. A lab's hosts are started
    and provisioned first. Where nothing differs, nothing is done. The steps and exit codes: docs/deploy.md.
    """
    as_json = document(format)
    from slipway import actions, target

    name, digests = _proven(from_, stack, version, images, build) if from_ else (version, _digests(images))
    where = environment(c, env)
    outcome = target.of(where).deploy(
        where, stack or None, name or None, build=build, images=digests, plan_only=plan, cut=cut, yes=agreed(yes)
    )
    tell(outcome, as_json)
    if not plan:
        actions.leave("deploy", {"release": outcome.release, "url": outcome.url})


def _digests(images: str) -> dict[str, str] | None:
    from slipway.image import exact

    return exact.read(images) if images else None


def _proven(env: str, stack: str, version: str, images: str, build: bool) -> tuple[str, dict[str, str]]:
    """Return the version and the images that an environment has proven."""
    from slipway import report
    from slipway.errors import BadInput
    from slipway.watch import proven

    if version or images or build:
        raise BadInput("--from takes version and images from there", todo="leave --version, --images and --build out")
    found = proven.proven(env, stack or None)
    report.say(f"{env} has proven release {found.release}")
    return found.version, found.images


@task(*_FLAGS, "plan", to="release to go back to, see release.list (default: the verified one that was live before)")
def rollback(
    c: Context,
    env: str = "",
    stack: str = "",
    to: str = "",
    plan: bool = False,
    yes: bool = False,
    format: str = "text",
) -> None:
    """Go back to an earlier verified release: at once, where it still runs.

    It gets its own settings back, with today's secrets. The database stays as it is: migrations are not undone.
    """
    as_json = document(format)
    from slipway import target

    where = environment(c, env)
    tell(target.of(where).rollback(where, stack or None, to or None, plan_only=plan, yes=agreed(yes)), as_json)


@task("env", "stack", "format")
def status(c: Context, env: str = "", stack: str = "", format: str = "text") -> int:
    """Show what serves, on which hosts, with which share of the requests.

    Exits 0 when the live release is healthy on every host and the front door answers, else 1.
    """
    as_json = document(format)
    from slipway import report
    from slipway.watch import status as watch

    found = watch.status(environment(c, env), stack or None)
    for problem in found["problems"]:
        report.annotate(problem, title=f"{found['stack']} in {found['env']}")
    report.current().page.append(f"```text\n{watch.text(found)}\n```")
    out(found if as_json else watch.text(found))
    return 0 if found["healthy"] else 1


@task("env", "stack", "format")
def list_releases(c: Context, env: str = "", stack: str = "", format: str = "text") -> None:
    """List what was deployed and rolled back: when, by whom, how it ended."""
    as_json = document(format)
    from slipway.watch import releases

    found = releases.entries(environment(c, env), stack or None)
    out(found if as_json else releases.text(found))


@task("env", "stack", "format")
def proven(c: Context, env: str = "", stack: str = "", format: str = "text") -> None:
    """Show what an environment has proven: version and digests of its live, verified release, for another one.

    Exits 1 where nothing is live, healthy and verified there. A deploy with --from does the same by itself.
    """
    as_json = document(format)
    from slipway import actions, report
    from slipway.image import exact
    from slipway.watch import proven as watch

    found = watch.proven(environment(c, env), stack or None)
    out(found.document() if as_json else found.text())
    report.current().page.append(f"```text\n{found.text()}\n```")
    values = {"version": found.version, "images": exact.write(found.images), "commit": found.commit}
    actions.leave("release.proven", values)


collection = Collection("release", proven)
collection.add_task(list_releases, name="list")
