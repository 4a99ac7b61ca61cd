"""What the client asks for, and with how many clients of which kinds."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Target:
    """The paths that a stack offers to the client, and the answers that prove them right. "" leaves a kind out.

    Args:
        path: for requests that are answered at once.
        expect: a text that such an answer contains; `{release}` stands for the answer's own `X-Release`.
        slow: for answers that take `{seconds}`; they contain `expect` too ("": a stream that lasts as long).
        stream: for server-sent events, one a second; `{seconds}` stands for how many.
        final: the first line of the event that ends a stream.
        upload: takes a POST of `body`.
        body: JSON.
        uploaded: a text that the answer to it contains; `{sha256}` stands for the digest of what was sent.
        websocket: sends back each message.
        host: the Host header ("": the URL's).
    """

    path: str = "/"
    expect: str = ""
    slow: str = ""
    stream: str = ""
    final: str = "event: done"
    upload: str = ""
    body: Any = None
    uploaded: str = ""
    websocket: str = ""
    host: str = ""


FINEASY = Target(
    path="/version",
    expect='"release":"{release}"',
    stream="/v1/stream?seconds={seconds}",
    upload="/v1/fraud/score",
    body={
        "business": "demo",
        "payment_id": "load",
        "amount": 1200,
        "hour": 14,
        "new_payee": False,
        "account_age_days": 900,
    },
    uploaded='"verdict":"allow"',
    websocket="/v1/ws",
)
PROBE = Target(
    path="/",
    expect='"name": "probe"',
    slow="/slow?seconds={seconds}",
    stream="/stream?seconds={seconds}",
    final="event: end",
    upload="/digest",
    body="what is uploaded, " * 4000,
    uploaded='"sha256": "{sha256}"',
    websocket="/ws",
)


@dataclass(frozen=True)
class Kind:
    """Clients of one kind.

    Args:
        name: see `KINDS`.
        count: how many clients; of `new`, how many requests a second.
        seconds: how long one request, stream or upload takes; of `keep-alive`, the pause between requests.
    """

    name: str
    count: float
    seconds: float


KINDS = {
    "keep-alive": 0.0,  # requests back to back, each client on a connection that it keeps
    "close": 0.0,  # requests back to back, each on a connection of its own
    "new": 0.0,  # so many requests a second, each on a connection of its own, whether or not earlier ones were answered
    "answer": 3.0,  # answers that take so long
    "upload": 3.0,  # bodies that are sent so slowly
    "sse": 10.0,  # streams of so many seconds
    "ws": 10.0,  # WebSocket sessions of so many seconds, five messages a second
}
"""Kinds of clients, and the seconds that are meant where none are given."""
LASTING = ("answer", "upload", "sse", "ws")
_WORD = re.compile(r"(?P<name>[a-z-]+)=(?P<count>[\d.]+)(?:x(?P<seconds>[\d.]+))?")


@dataclass(frozen=True)
class Profile:
    """Which clients run side by side."""

    kinds: tuple[Kind, ...] = field(default_factory=tuple)

    @classmethod
    def parse(cls, text: str) -> Profile:
        """Return the profile that words such as `keep-alive=32 new=50 sse=1x20` describe. Raise ValueError for others."""
        kinds = []
        for word in re.split(r"[,\s]+", text.strip()):
            found = _WORD.fullmatch(word)
            if not found or found["name"] not in KINDS:
                raise ValueError(f"{word!r} is no kind=count or kind=countxseconds of {', '.join(KINDS)}")
            kinds.append(Kind(found["name"], float(found["count"]), float(found["seconds"] or KINDS[found["name"]])))
        return cls(tuple(kinds))

    def text(self) -> str:
        """Return the words that `parse` reads."""
        return " ".join(f"{k.name}={k.count:g}x{k.seconds:g}" for k in self.kinds)


def target_of(text: str) -> Target:
    """Return the target that JSON, or the word `fineasy` or `probe`, names."""
    named = {"fineasy": FINEASY, "probe": PROBE}
    return named[text] if text in named else Target(**json.loads(text))
