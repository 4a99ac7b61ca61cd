"""A secret is a type, and what is known to be secret is masked in every text that leaves the program."""

from __future__ import annotations

import base64
import hmac
import json
import re
import shlex
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "•••"
_SHORTEST = 6
"""Forms with fewer letters are not masked: they would hit by chance."""


class Secret:
    """A text that shows itself as `•••` wherever it is printed; `reveal()` gives the text."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself: for standard input and files of mode 0600, never for argv or a message."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce__(self) -> Any:
        raise TypeError("a secret is not written anywhere by accident: use reveal()")


class Redactor:
    """Masks secrets in texts: as they are, and base64-, URL-, JSON-, shell- and hex-encoded."""

    def __init__(self, secrets: Iterable[str | Secret] = ()) -> None:
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.add(secrets)

    def add(self, secrets: Iterable[str | Secret]) -> None:
        """Mask these from now on, too."""
        for secret in secrets:
            self._forms |= _forms(secret.reveal() if isinstance(secret, Secret) else secret)
        longest_first = sorted(self._forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def redact(self, text: str) -> str:
        """Return `text` with every form of every secret replaced by `•••`."""
        return self._pattern.sub(MASK, text) if self._pattern else text


def _forms(value: str) -> set[str]:
    """Return the ways in which a secret turns up in logs and messages."""
    try:
        raw = value.encode()
    except UnicodeEncodeError:  # bytes that are no text, as an odd environment variable has them
        return {value} if len(value) >= _SHORTEST else set()
    forms = {value, value.strip(), quote(value, safe=""), quote(value), quote_plus(value), raw.hex(), repr(value)[1:-1]}
    forms |= {shlex.quote(value), *_json(value)}
    forms |= {twice for once in _json(value) for twice in _json(once)}  # a JSON document inside a JSON log line
    forms |= {line.strip() for line in value.splitlines()}  # a key of many lines is logged line by line
    for offset in range(3):
        forms |= _base64(raw, offset)
    return {form for form in forms if len(form) >= _SHORTEST}


def _json(value: str) -> set[str]:
    return {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}


def _base64(raw: bytes, offset: int) -> set[str]:
    """Return the base64 letters that `raw` gives wherever it stands `offset` bytes into a group of three."""
    first = (offset * 8 + 5) // 6  # letters before this one hold bits of what stands in front
    last = (offset + len(raw)) * 8 // 6  # letters from this one on hold bits of what follows
    plain = base64.b64encode(bytes(offset) + raw).decode()[first:last]
    return {plain, plain.replace("+", "-").replace("/", "_")}


_known = Redactor()


def hide(secrets: Iterable[str | Secret]) -> None:
    """Mask these in everything that `clean` sees, for the life of this process."""
    _known.add(secrets)


def clean(text: str) -> str:
    """Return `text` without any secret that this process has read."""
    return _known.redact(text)
