"""The objects of a cluster: found, listed, applied, removed; what pods say; what Services answer."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from slipway.target.kubernetes.kinds import KINDS, Kind
from slipway.target.kubernetes.transport import AGAIN_AFTER, ApiError, Transport, status_of

MANAGER = "slipway"
"""The field manager: what we applied, and others may not change unnoticed."""


class Cluster(Transport):
    """The cluster that an environment names: its objects."""

    def find(self, path: str) -> dict[str, Any] | None:
        """Return what there is at a path, None where nothing is."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def items(self, kind: Kind, namespace: str, **selector: str) -> list[dict[str, Any]]:
        """Return all objects of a kind in a namespace that have these labels, or all."""
        query = {"labelSelector": ",".join(f"{k}={v}" for k, v in selector.items())} if selector else {}
        found = self.get(kind.path(namespace), **query)["items"]
        return [{"apiVersion": kind.api, "kind": kind.name, **item} for item in found]

    def apply(self, manifest: Mapping[str, Any], *, dry: bool = False, force: bool = False) -> dict[str, Any]:
        """Apply a manifest on the server's side, under our field manager.

        Args:
            manifest: what is to be.
            dry: have it checked and answered, and store nothing.
            force: take fields from other managers.

        Raises:
            ApiError: it is not accepted; code 409: others own fields of it.
        """
        query: dict[str, Any] = {"fieldManager": MANAGER, "force": str(force).lower(), "fieldValidation": "Strict"}
        words = f"{manifest['kind'].lower()} {manifest['metadata']['name']}"
        return self.request(
            "PATCH", path_of(manifest), manifest, what=words, kind="application/apply-patch+yaml",
            **(query | ({"dryRun": "All"} if dry else {})),
        )  # fmt: skip

    def delete(self, path: str, *, propagation: str = "Background", uid: str = "") -> None:
        """Remove an object, if it is there; with a uid only that one, none that has its name by now."""
        only = {"preconditions": {"uid": uid}} if uid else {}
        try:
            self.request("DELETE", path, {"propagationPolicy": propagation, **only})
        except ApiError as error:
            if error.code != 404 and not (uid and error.code == 409):
                raise

    def logs(self, namespace: str, pod: str, *, lines: int = 10, previous: bool = False, container: str = "") -> str:
        """Return the last lines that a pod said; "" where there are none."""
        query = {"tailLines": lines, **({"previous": "true"} if previous else {})}
        query |= {"container": container} if container else {}
        try:
            code, text = self.ask("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}/log", None, "", query)
        except OSError:
            return ""
        return text.strip() if code == 200 else ""

    def visit(
        self, namespace: str, service: str, port: str, path: str, *, method: str = "GET", body: Any = None
    ) -> tuple[int, str]:
        """Return status and body of a Service's answer, asked through the API server: it needs no way in of its own.

        A request that changes nothing is sent again where it did not come to the Service, as long as `patience` says.
        """
        url = f"/api/v1/namespaces/{namespace}/services/{quote(f'http:{service}:{port}')}/proxy{path}"
        until = time.monotonic() + self.patience
        while True:
            code, text = self._visit(method, url, body)
            lost = code in (0, 502) or (
                code == 503 and status_of(text).get("kind") == "Status"
            )  # not the app's own 503
            if not lost or method not in ("GET", "HEAD") or time.monotonic() >= until:
                return code, text
            time.sleep(AGAIN_AFTER)

    def _visit(self, method: str, url: str, body: Any) -> tuple[int, str]:
        with contextlib.closing(self.open()) as connection:
            text = None if body is None else json.dumps(body)
            try:
                connection.request(method, url, text, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                return answer.status, answer.read(65536).decode(errors="replace")
            except (OSError, http.client.HTTPException) as error:
                return 0, str(error)


def path_of(manifest: Mapping[str, Any]) -> str:
    """Return the API's path of a manifest's object."""
    metadata = manifest["metadata"]
    if manifest["kind"] == "Namespace":
        return f"/api/v1/namespaces/{metadata['name']}"
    return KINDS[manifest["kind"]].path(metadata["namespace"], metadata["name"])
