"""What the lab's registry has, over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import time

from slipway.settings import imagename

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


def lend(registry: str, image: str, repository: str) -> None:
    """Let a repository of the registry at `host:port` have the layers that it has of an official image; none travels.

    Before it compresses a layer, the engine asks whether the repository has it. Nothing is done where the registry lacks the
    image, where the repository has its layers already, or where it does not answer: pushing tells that.
    """
    wanted = imagename.parse(image)
    if wanted.registry != imagename.HUB:
        return
    connection = http.client.HTTPConnection(registry, timeout=5)

    def ask(method: str, path: str) -> tuple[int, bytes]:
        connection.request(method, f"/v2/{path}", headers={"Accept": MANIFESTS})
        answer = connection.getresponse()
        return answer.status, answer.read()

    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        status, manifest = ask("GET", f"{wanted.path}/manifests/{wanted.tag}")
        layers = json.loads(manifest).get("layers", []) if status == 200 else []
        digests = [layer["digest"] for layer in layers]
        if digests and ask("HEAD", f"{repository}/blobs/{digests[-1]}")[0] != 200:
            for digest in digests:
                ask("POST", f"{repository}/blobs/uploads/?mount={digest}&from={wanted.path}")


def wait(registry: str, seconds: float = 20) -> None:
    """Wait until the registry at `host:port` answers, or for so long: pushing tells what is wrong then."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        connection = http.client.HTTPConnection(registry, timeout=5)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/v2/")
            connection.getresponse()
            return
        time.sleep(0.1)
