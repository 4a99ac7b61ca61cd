"""The front door of a stack, as a visitor meets it: each routed service is asked through the router."""

from __future__ import annotations

import http.client
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

WITHIN = 5.0
"""Seconds that an answer may take."""


def problems(url: str, release: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the front door: [] where every routed service answers.

    Args:
        url: the door.
        release: what is recorded of the live release (see `slipway.target.compose.request.meta`).
    """
    routes = release.get("router", {}).get("routes", [])
    domain = release.get("router", {}).get("domain")
    asked = [question(route, routes, release["services"][route["service"]]["ready"]) for route in routes]
    found = [_ask(url, path, domain, strict=strict) for path, strict in dict.fromkeys(asked)]
    return [problem for problem in found if problem]


def question(route: Mapping[str, Any], routes: Sequence[Mapping[str, Any]], ready: str | None) -> tuple[str, bool]:
    """Return the path that asks a service, and whether its answer must be 200.

    That is where it says that it can serve, or else that it lives, if the router sends that path to it. Otherwise it is the
    route itself, and any answer of the service's own will do, be it 404.
    """
    for path in (ready, route["live"]):
        if path and _service_of(path, routes) == route["service"]:
            return path, True
    return route["path"], False


def _service_of(path: str, routes: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the service that the router sends a path to: the one with the longest prefix."""
    prefixes = {route["path"].rstrip("/"): str(route["service"]) for route in routes}
    plain = path.partition("?")[0]
    fitting = [p for p in prefixes if plain == p or plain.startswith(f"{p}/")]
    return prefixes[max(fitting, key=len)] if fitting else None


def _ask(url: str, path: str, domain: str | None, *, strict: bool) -> str | None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=WITHIN)
    try:
        # A lab's address is this machine's: the router knows the stack by its name.
        connection.request("GET", path, headers={"Host": domain} if domain else {})
        answer = connection.getresponse()
        body = " ".join(answer.read(500).decode(errors="replace").split())
    except (OSError, http.client.HTTPException) as error:
        return f"{url}{path} does not answer: {error}"
    finally:
        connection.close()
    well = answer.status == 200 if strict else answer.status < 500
    return None if well else f"{url}{path} answers {answer.status}: {body}"
