"""What Slipway asks a registry itself: which digest a tag has, and to give a digest another tag.

Pulling and pushing is the engine's work. Source: OCI Distribution Specification 1.1,
https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import re
from typing import Any

from slipway.errors import SlipwayError
from slipway.settings.model import Registry

_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
TIMEOUT = 10
_MOST_PAGES = 40


class Refused(SlipwayError):
    """A registry's answer to what it lets nobody do, or not this user."""


class RegistryClient:
    """A registry, as seen from this machine.

    Args:
        registry: its settings.
        password: of `registry.username` (None: anonymous).
    """

    def __init__(self, registry: Registry, password: str | None = None) -> None:
        import requests

        self.registry, self._password = registry, password
        self.host, _, self.prefix = registry.push.partition("/")
        self._auth = (registry.username, password) if registry.username and password else None
        self._http = requests.Session()
        self._tokens: dict[str, str] = {}

    def _call(self, method: str, repository: str, path: str, **options: Any) -> Any:
        import requests

        scheme = "http" if self.registry.insecure else "https"
        url = f"{scheme}://{self.host}/v2/{repository}/{path}"
        headers = dict(options.pop("headers", {}))
        try:
            for _ in range(2):
                if repository in self._tokens:
                    headers["Authorization"] = f"Bearer {self._tokens[repository]}"
                auth = None if repository in self._tokens else self._auth
                answer = self._http.request(method, url, headers=headers, auth=auth, timeout=TIMEOUT, **options)
                challenge = answer.headers.get("WWW-Authenticate", "")
                if answer.status_code != 401 or not challenge.startswith("Bearer"):
                    break
                self._tokens[repository] = self._token(challenge)
        except requests.RequestException as error:
            raise SlipwayError(
                "the registry does not answer", where=self.host, seen=str(error), todo="see that it runs and try again"
            ) from error
        if answer.status_code >= 400 and answer.status_code != 404:
            seen = f"{method} {repository}/{path}: {answer.status_code} {answer.text[:300]}"
            raise Refused("the registry refused", where=self.host, seen=seen)
        return answer

    def _token(self, challenge: str) -> str:
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm = fields.pop("realm")
        answer = self._http.get(realm, params=fields, auth=self._auth, timeout=TIMEOUT)
        body = answer.json() if answer.ok else {}
        token = body.get("token") or body.get("access_token")
        if not token:
            todo = "look at registry.username and at registry.password in the vault"
            raise SlipwayError("the registry gives no token", where=self.host, seen=f"{answer.status_code}", todo=todo)
        return str(token)

    def whole(self) -> RegistryClient:
        """Return a client of the whole registry, where this one sees what is below a path of it."""
        return RegistryClient(self.registry.model_copy(update={"push": self.host}), self._password)

    def repository(self, name: str) -> str:
        """Return the path of a repository in this registry."""
        return f"{self.prefix}/{name}" if self.prefix else name

    def digest(self, name: str, tag: str) -> str | None:
        """Return the digest (`sha256:…`) that `tag` has, or None where there is no such tag."""
        answer = self._call("HEAD", self.repository(name), f"manifests/{tag}", headers={"Accept": _MANIFESTS})
        return None if answer.status_code == 404 else str(answer.headers["Docker-Content-Digest"])

    def labels(self, name: str, digest: str) -> dict[str, str]:
        """Return the labels of an image of repository `name`; of a list of images, those of the first. {} where it is not there."""
        repository = self.repository(name)
        for _ in range(2):
            answer = self._call("GET", repository, f"manifests/{digest}", headers={"Accept": _MANIFESTS})
            found = answer.json() if answer.status_code == 200 else {}
            if "config" in found:
                config = self._call("GET", repository, f"blobs/{found['config']['digest']}")
                told = config.json() if config.status_code == 200 else {}
                return dict((told.get("config") or {}).get("Labels") or {})
            if not found.get("manifests"):
                break
            digest = found["manifests"][0]["digest"]
        return {}

    def tags(self, path: str) -> list[str]:
        """Return all tags of the repository `path`, which is below no prefix; [] where there is no such repository."""
        found: list[str] = []
        last = ""
        for _ in range(_MOST_PAGES):
            answer = self._call("GET", path, "tags/list", params={"n": "1000", **({"last": last} if last else {})})
            names = [] if answer.status_code == 404 else answer.json().get("tags") or []
            found += names
            if "next" not in answer.links or not names:
                break
            last = names[-1]
        return found

    def retag(self, name: str, digest: str, tag: str) -> None:
        """Give the image `digest` of repository `name` another tag; no layer travels. Raises Refused where it may not."""
        repository = self.repository(name)
        found = self._call("GET", repository, f"manifests/{digest}", headers={"Accept": _MANIFESTS})
        kind = {"Content-Type": found.headers.get("Content-Type", "")}
        given = self._call("PUT", repository, f"manifests/{tag}", headers=kind, data=found.content)
        for answer in (found, given):
            if answer.status_code == 404:
                seen = f"{answer.request.method} {answer.url}: 404"
                raise Refused(f"the registry gives {name} no tag {tag}", where=self.host, seen=seen)
