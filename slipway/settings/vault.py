"""Ansible Vault's format 1.1 (AES256), read and written without Ansible: importing that costs a quarter of a second.

Source: "Ansible Vault payload format 1.1 - 1.2" in Ansible's guide. `ansible-vault` reads and edits these files, too.
"""

from __future__ import annotations

import binascii
import functools
import hashlib
import hmac
import os

_HEADER = "$ANSIBLE_VAULT"
_ROUNDS = 10_000
_BLOCK = 16


class VaultError(ValueError):
    """A text is no vault, or the password is not its own; the message says which."""


def encrypt(text: str, password: str) -> str:
    """Return `text` as an Ansible Vault file."""
    salt = os.urandom(32)
    cipher_key, mac_key, counter = _keys(password, salt)
    plain = text.encode()
    padding = _BLOCK - len(plain) % _BLOCK
    sealed = _aes(cipher_key, counter, plain + bytes([padding]) * padding)
    mac = hmac.new(mac_key, sealed, hashlib.sha256).hexdigest().encode()
    body = b"\n".join((salt.hex().encode(), mac, sealed.hex().encode())).hex()
    lines = [body[i : i + 80] for i in range(0, len(body), 80)]
    return "\n".join([f"{_HEADER};1.1;AES256", *lines]) + "\n"


def decrypt(vault: str, password: str) -> str:
    """Return the text inside an Ansible Vault file (1.1, or 1.2 with its label). Raise VaultError."""
    header, _, body = vault.strip().partition("\n")
    words = [w.strip() for w in header.split(";")]
    if words[0] != _HEADER:
        raise VaultError("is no Ansible Vault file")
    if len(words) < 3 or words[1] not in ("1.1", "1.2") or words[2] != "AES256":
        raise VaultError(f"is an Ansible Vault file of an unknown kind ({';'.join(words[1:3])[:40]})")
    try:
        salt, mac, sealed = binascii.unhexlify("".join(body.split())).split(b"\n", 2)
        salt, sealed = binascii.unhexlify(salt), binascii.unhexlify(sealed)
    except ValueError as error:
        raise VaultError("is a damaged Ansible Vault file") from error
    cipher_key, mac_key, counter = _keys(password, salt)
    if not hmac.compare_digest(hmac.new(mac_key, sealed, hashlib.sha256).hexdigest().encode(), mac):
        raise VaultError("does not open with this password")
    plain = _aes(cipher_key, counter, sealed)
    try:
        return plain[: -plain[-1]].decode()
    except (UnicodeDecodeError, IndexError) as error:
        raise VaultError("holds something other than text") from error


@functools.lru_cache(4)
def _keys(password: str, salt: bytes) -> tuple[bytes, bytes, bytes]:
    derived = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ROUNDS, 80)
    return derived[:32], derived[32:64], derived[64:]


def _aes(key: bytes, counter: bytes, data: bytes) -> bytes:
    """Encrypt or decrypt: in counter mode they are the same."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    worker = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()
    return worker.update(data) + worker.finalize()
