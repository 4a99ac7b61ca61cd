"""A key of a restic repository that opens at once, for tests.

To open a repository costs half a second of processor, since restic derives its key from the password as slowly as people's
passwords need. Tests open theirs some hundred times: so the repository's key is wrapped once more, with the same password and
the least work. Nothing else of the repository changes. https://restic.readthedocs.io/en/stable/100_references.html#keys-encryption-and-mac
"""

from __future__ import annotations

import base64
import hashlib
import json
import os

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.poly1305 import Poly1305

_LEAST = 2


def is_cheap(text: str) -> bool:
    """Tell whether the key file `text` opens at once."""
    return bool(json.loads(text)["N"] == _LEAST)


def rewrapped(text: str, password: str) -> tuple[str, str]:
    """Return the name and the text of a key file that opens what the key file `text` opens, with the same password, at once."""
    key = json.loads(text)
    wrapped = base64.b64decode(key["data"])
    secret = _derived(password, base64.b64decode(key["salt"]), key["N"], key["r"], key["p"])
    nonce, body, tag = wrapped[:16], wrapped[16:-16], wrapped[-16:]
    assert _tag(secret, nonce, body) == tag, "the password is not the repository's"
    plain = _aes(secret, nonce, body)
    salt, nonce = os.urandom(64), os.urandom(16)
    cheap = _derived(password, salt, _LEAST, 1, 1)
    body = _aes(cheap, nonce, plain)
    data = base64.b64encode(nonce + body + _tag(cheap, nonce, body)).decode()
    made = json.dumps({**key, "N": _LEAST, "r": 1, "p": 1, "salt": base64.b64encode(salt).decode(), "data": data})
    return hashlib.sha256(made.encode()).hexdigest(), made


def _derived(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return Scrypt(salt=salt, length=64, n=n, r=r, p=p).derive(password.encode())


def _aes(secret: bytes, nonce: bytes, text: bytes) -> bytes:
    return Cipher(algorithms.AES(secret[:32]), modes.CTR(nonce)).encryptor().update(text)


def _tag(secret: bytes, nonce: bytes, text: bytes) -> bytes:
    """Return the Poly1305-AES of a text: the key's second part is masked with the nonce's cipher."""
    mask = Cipher(algorithms.AES(secret[32:48]), modes.ECB()).encryptor().update(nonce)
    return Poly1305.generate_tag(secret[48:64] + mask, text)
