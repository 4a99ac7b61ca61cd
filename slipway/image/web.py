"""Requests over HTTP with kept connections. By urllib3: importing `requests` besides would cost each deploy 50 ms of processor."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

TIMEOUT = 10
"""Seconds to connect, and for each answer."""
_REDIRECTS = 10


class Unanswered(Exception):
    """Nobody answered, or not in time, or not as HTTP and TLS want it; the message says which."""


class Web:
    """What asks: one for many requests. It goes by the proxies and authorities that the environment's variables name."""

    def __init__(self) -> None:
        self._pools: dict[tuple[str | None, bool], PoolManager] = {}

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> BaseHTTPResponse:
        """Return the answer, after redirects, whatever its status; a redirect to another host gets no credentials.

        Raises:
            Unanswered: there was none.
        """
        import urllib3

        if params:
            url += ("&" if "?" in url else "?") + urlencode(params)
        retries = urllib3.Retry(total=None, connect=0, read=0, redirect=_REDIRECTS, status=0, other=0)
        try:
            return self._pool(url).request(method, url, body=data, headers=headers, retries=retries, timeout=TIMEOUT)
        except urllib3.exceptions.HTTPError as error:
            raise Unanswered(str(error)) from error

    def _pool(self, url: str) -> PoolManager:
        import urllib3

        proxy, secure = _proxy(url), url.startswith("https:")
        if (proxy, secure) not in self._pools:
            authorities: Any = _authorities() if secure else {}
            made = urllib3.ProxyManager(proxy, **authorities) if proxy else urllib3.PoolManager(**authorities)
            self._pools[proxy, secure] = made
        return self._pools[proxy, secure]


def _proxy(url: str) -> str | None:
    if sys.platform != "darwin" and not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from requests.utils import get_environ_proxies, select_proxy  # they know the rules of NO_PROXY

    return select_proxy(url, get_environ_proxies(url))


def _authorities() -> dict[str, str]:
    import certifi

    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()
    return {"ca_cert_dir" if Path(named).is_dir() else "ca_certs": named}
