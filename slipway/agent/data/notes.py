"""What pods of a stack's data leave to the next one: the ConfigMap `slipway-data-<stack>` with notes, ledger, and who works.

It is the lock as well: a change names the version that it changes, so one of two gets it. Whoever finds a pod in it that is gone
goes on. The pod's service account may get and change that one ConfigMap, and look at pods.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from ..failure import OperationFailed
from ..state import StackHome, read_lines, write
from . import keep, pod

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_API = "https://kubernetes.default.svc"
_NOTES = ("good.json", "last.json", "drill.json", "known.json", "holder.json")
_LEDGER = "ledger"
LEDGER_ENTRIES = 200
_PATIENCE = 60.0
"""Seconds for which an API server that is away is waited for."""
_EVERY = 2.0


def name(stack: str) -> str:
    """Return the ConfigMap's name."""
    return f"slipway-data-{stack}"


def request(method: str, path: str, body: Any = None, kind: str = "application/json") -> dict[str, Any] | None:
    """Ask the API server; None where there is no such thing.

    Raises:
        OperationFailed: it does not answer, or refuses.
        Conflict: somebody changed it meanwhile.
    """
    import ssl  # a host's agent never needs these, and goes without TLS
    import urllib.error
    import urllib.request

    until = time.monotonic() + _PATIENCE
    while True:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {(_ACCOUNT / 'token').read_text()}", "Content-Type": kind}
        asked = urllib.request.Request(_API + path, data, headers, method=method)  # noqa: S310 - always https
        try:
            context = ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt"))
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # clusters' authorities may lack what newer Pythons ask for
            with urllib.request.urlopen(asked, timeout=30, context=context) as answer:  # noqa: S310 - always https
                value: dict[str, Any] = json.load(answer)
                return value
        except urllib.error.HTTPError as error:
            seen = error.read().decode(errors="replace")[:500]
            if error.code == 404:
                return None
            if error.code == 409:
                raise Conflict(seen) from error
            if error.code not in (429, 500, 502, 503, 504) or time.monotonic() > until:
                raise OperationFailed("the cluster refuses what a backup's pod has to do", seen) from error
        except OSError as error:
            if time.monotonic() > until:
                raise OperationFailed("the cluster's API server does not answer a backup's pod", str(error)) from error
        time.sleep(1.0)


class Conflict(Exception):
    """Somebody else changed an object meanwhile."""


def _space() -> str:
    return f"/api/v1/namespaces/{(_ACCOUNT / 'namespace').read_text().strip()}"


def _path(stack: str) -> str:
    return f"{_space()}/configmaps/{name(stack)}"


def _read(stack: str) -> dict[str, Any]:
    found = request("GET", _path(stack))
    if found is None:
        raise OperationFailed(
            f"there is no ConfigMap {name(stack)}", "inv deploy, or inv backup, makes it", bad_input=True
        )
    return found


def pull(home: StackHome) -> dict[str, Any]:
    """Lay the notes out as files; return the ConfigMap."""
    found = _read(home.stack)
    for key, text in (found.get("data") or {}).items():
        if key in _NOTES:
            write(keep.folder(home) / key, text)
    return found


def push(home: StackHome, **more: str | None) -> None:
    """Store the notes that this pod made, and what it wrote to the ledger, which is at the ConfigMap's end then."""
    data: dict[str, str | None] = dict(more)
    for key in _NOTES:
        path = keep.folder(home) / key
        if path.exists():
            data.setdefault(key, path.read_text())
    fresh = [json.dumps(entry, sort_keys=True) for entry in read_lines(home.ledger)]
    if fresh:
        before = str((_read(home.stack).get("data") or {}).get(_LEDGER, "")).splitlines()
        data[_LEDGER] = "\n".join([*before, *fresh][-LEDGER_ENTRIES:])
    request("PATCH", _path(home.stack), {"data": data}, "application/merge-patch+json")
    home.ledger.unlink(missing_ok=True)


def take(home: StackHome, holder: dict[str, Any], wait: float) -> dict[str, Any]:
    """Take the lock of the stack's data for this pod. Return who had it before, as the last run noted it.

    Raises:
        OperationFailed: another pod is at work (`lease` says who) and was for `wait` seconds.
    """
    until = time.monotonic() + wait
    while True:
        found = pull(home)
        before: dict[str, Any] = json.loads((found.get("data") or {}).get("holder.json") or "{}")
        if _works(before):
            if time.monotonic() >= until:
                raise OperationFailed(f"a {before.get('verb', 'backup')} of {home.stack} is at work", lease=before)
            time.sleep(_EVERY)
            continue
        text = json.dumps({**holder, "pod": pod.NAME})
        found["data"] = {**(found.get("data") or {}), "holder.json": text}
        with contextlib.suppress(Conflict):  # somebody was faster: look again
            request("PUT", _path(home.stack), found)
            write(keep.folder(home) / "holder.json", text)
            return before


def _works(holder: dict[str, Any]) -> bool:
    """Tell whether the pod that has the lock is there and has not ended."""
    if not holder.get("pod") or holder["pod"] == pod.NAME:
        return False
    found = request("GET", f"{_space()}/pods/{holder['pod']}")
    return bool(found and found.get("status", {}).get("phase") in ("Pending", "Running"))
