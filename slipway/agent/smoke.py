"""Smoke tests: requests through this host's front door, and the answers that prove the stack does its job."""

from __future__ import annotations

import http.client
import json
from typing import Any

from .failure import OperationFailed

_TIMEOUT = 30


def run(tests: list[dict[str, Any]], port: int, domain: str | None, release: str) -> list[str]:
    """Send each request and compare its answer. Return the names of the tests.

    Args:
        tests: `name`, `method`, `path`, `json` (body or None), `status`, `contains` (or None), `expect` (JSON keys and values).
        port: the front door's port on this host.
        domain: the name that the router answers to (None: any).
        release: where the stack sends `X-Release`, it must be this one.

    Raises:
        OperationFailed: an answer is another one; says which was expected and what came.
    """
    for test in tests:
        _one(test, port, domain, release)
    return [t["name"] for t in tests]


def _one(test: dict[str, Any], port: int, domain: str | None, release: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)
    headers = {"Host": domain or "127.0.0.1", "X-Request-ID": "slipway-smoke"}
    body = None
    if test["json"] is not None:
        body, headers["Content-Type"] = json.dumps(test["json"]), "application/json"
    request = f"{test['method']} :{port}{test['path']}"
    try:
        connection.request(test["method"], test["path"], body, headers)
        answer = connection.getresponse()
        text = answer.read(200_000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        seen = f"{request}: {error or type(error).__name__}"
        raise OperationFailed(f"smoke test {test['name']!r} got no answer", seen) from error
    finally:
        connection.close()
    wrong = differences(test, answer.status, text)
    if answer.headers.get("X-Release") not in (None, release):
        wrong.append(f"X-Release is {answer.headers['X-Release']}, not {release}")
    if wrong:
        seen = f"{request} → {answer.status} {text[:500].strip()}\n" + "\n".join(wrong)
        raise OperationFailed(f"smoke test {test['name']!r} failed", seen)


def differences(test: dict[str, Any], status: int, text: str) -> list[str]:
    """Return what of an answer is not as its test expects."""
    wrong = [f"status {test['status']} was expected"] if status != test["status"] else []
    if test["contains"] and test["contains"] not in text:
        wrong.append(f"{test['contains']!r} is not in the body")
    if test["expect"]:
        try:
            found = json.loads(text)
        except ValueError:
            return [*wrong, "the body is not JSON"]
        for key, value in test["expect"].items():
            if not isinstance(found, dict) or found.get(key) != value:
                got = found.get(key) if isinstance(found, dict) else found
                wrong.append(f"{key}: {value!r} was expected, {got!r} came")
    return wrong
