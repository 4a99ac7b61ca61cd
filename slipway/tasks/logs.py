"""Logs: all hosts, services and replicas in the order of time; rotation."""

from __future__ import annotations

from collections.abc import Sequence

from invoke import Collection, Context

from slipway.tasks import document, environment, out, task


@task(
    "env",
    "stack",
    lists=["field"],
    service="a service, more with commas; `router` is the access log (default: all)",
    host="a host, more with commas (default: all)",
    since="an age such as 1h30m, or a time such as 14:05 or 2026-01-31T14:05 (UTC)",
    until="as --since",
    tail="the last so many lines (default: 100 where nothing else says which, else all)",
    grep="regular expression that a line matches",
    field="KEY=VALUE of a JSON line, such as level=error; can be given several times",
    request_id="lines that belong to a request, the router's included",
    follow="go on with what comes, until Ctrl-C",
    format="text, or json: a JSON object a line",
)
def logs(
    c: Context,
    env: str = "",
    stack: str = "",
    service: str = "",
    host: str = "",
    since: str = "",
    until: str = "",
    tail: str = "",
    grep: str = "",
    field: Sequence[str] | None = None,
    request_id: str = "",
    follow: bool = False,
    format: str = "text",
) -> int:
    """Show what services said, on all hosts, in the order of time.

    The hosts look for what is wanted; containers that were removed are included, as far as docs/logs.md says. Exits 1 where a
    host could not tell all, which is said.
    """
    as_json = document(format)
    from slipway.watch.logs import read
    from slipway.watch.logs.query import Typed

    typed = Typed(service, host, since, until, tail, grep, tuple(field or ()), request_id, follow)
    return read.logs(environment(c, env), stack or None, typed, as_json=as_json)


@task("env", "stack")
def rotate(c: Context, env: str = "", stack: str = "") -> None:
    """Rotate now what services write into files, on all hosts, and look whether that went well.

    The hosts do it by themselves when a file has grown; the engine rotates the logs of containers. docs/logs.md tells more.
    """
    from slipway.watch.logs import rotate as rotation

    for line in rotation.rotate(environment(c, env), stack or None):
        out(line)


collection = Collection("logs", rotate)
collection.add_task(logs, name="show", default=True)
