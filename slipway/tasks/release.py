"""Releases: what was deployed, when and by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke import Collection, Context

from slipway.tasks import agreed, document, environment, out, seconds, task

if TYPE_CHECKING:
    from slipway.target.compose.run import Outcome

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
    cut="end an old release's open requests, instead of waiting, where too many old releases still have some",
)
def deploy(
    c: Context,
    env: str = "",
    stack: str = "",
    version: str = "",
    build: bool = False,
    plan: bool = False,
    cut: bool = False,
    yes: bool = False,
    format: str = "text",
) -> None:
    """Bring a version live without losing a request, and prove it.

    Without --version this tree is the version: what the registry lacks of it is built. --version NAME deploys what was built
    before; with --build, this tree under that name. A lab's hosts are started and provisioned first. Where nothing differs,
    nothing is done. The steps and exit codes: docs/deploy.md.
    """
    as_json = document(format)
    from slipway.target.compose import verbs

    outcome = verbs.deploy(
        environment(c, env), stack or None, version or None, build=build, plan_only=plan, cut=cut, yes=agreed(yes)
    )
    tell(outcome, as_json)


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
    from slipway.target.compose import verbs

    tell(verbs.rollback(environment(c, env), stack or None, to or None, plan_only=plan, yes=agreed(yes)), as_json)


@task("env", "stack", "format")
def status(c: Context, env: str = "", stack: str = "", format: str = "text") -> int:
    """Show what serves, on which hosts, with which share of the requests.

    Exits 0 when the live release is healthy on every host and the front door answers, else 1.
    """
    as_json = document(format)
    from slipway.watch import status as watch

    found = watch.status(environment(c, env), stack or None)
    out(found if as_json else watch.text(found))
    return 0 if found["healthy"] else 1


@task("env", "stack", "format")
def list_releases(c: Context, env: str = "", stack: str = "", format: str = "text") -> None:
    """List what was deployed and rolled back: when, by whom, how it ended."""
    as_json = document(format)
    from slipway.watch import releases

    found = releases.entries(environment(c, env), stack or None)
    out(found if as_json else releases.text(found))


collection = Collection("release")
collection.add_task(list_releases, name="list")
