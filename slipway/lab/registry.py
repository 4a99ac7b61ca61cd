"""What the lab's registry has, asked over HTTP."""

from __future__ import annotations

import http.client

MANIFESTS = ", ".join(
    (
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
    )
)


def digest(registry: str, repository: str, tag: str) -> str | None:
    """Return the digest of a tag in the registry at `host:port`, or None if it has none, or does not answer."""
    connection = http.client.HTTPConnection(registry, timeout=5)
    try:
        connection.request("HEAD", f"/v2/{repository}/manifests/{tag}", headers={"Accept": MANIFESTS})
        answer = connection.getresponse()
        return answer.headers.get("Docker-Content-Digest") if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
