"""Smoke tests on a cluster: the stack's own requests, through its Services, asked by way of the API server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from slipway.agent.smoke import differences
from slipway.errors import SlipwayError
from slipway.target.kubernetes.cluster import Cluster

Result = dict[str, Any]


def run(
    cluster: Cluster,
    namespace: str,
    progress: Callable[[str], None],
    tests: Sequence[Mapping[str, Any]],
    routes: Sequence[Mapping[str, Any]],
    ports: Mapping[str, str],
) -> Result:
    """Send each request and compare its answer.

    Args:
        cluster: where.
        namespace: the stack's.
        progress: told which test is at hand.
        tests: of the stack, see `slipway.agent.smoke.run`.
        routes: `service` and `path` of each routed service.
        ports: the port of each one's Service.

    Raises:
        SlipwayError: an answer is another one; says which was expected and what came.
    """
    for test in tests:
        progress(str(test["name"]))
        service = service_of(str(test["path"]), routes)
        status, text = cluster.visit(
            namespace, service, ports[service], str(test["path"]), method=str(test["method"]), body=test["json"]
        )
        wrong = differences(dict(test), status, text)
        if wrong:
            seen = (
                f"{test['method']} {service}{test['path']} → {status or 'no answer'} {text[:500].strip()}\n"
                + "\n".join(wrong)
            )
            raise SlipwayError(f"smoke test {test['name']!r} failed", where=f"service {service}", seen=seen)
    return {"tests": [t["name"] for t in tests]}


def service_of(path: str, routes: Sequence[Mapping[str, Any]]) -> str:
    """Return the service that a request goes to: the one with the longest prefix, as an Ingress sends it."""
    plain = path.partition("?")[0]

    def fits(prefix: str) -> bool:
        bare = prefix.rstrip("/")
        return plain == bare or plain.startswith(f"{bare}/")

    return str(max((r for r in routes if fits(r["path"])), key=lambda r: len(r["path"]), default=routes[0])["service"])
