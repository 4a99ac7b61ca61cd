"""A word with Postgres, in its own protocol (version 3, no password)."""

import os
import socket
import struct


def query(sql):
    """Run one statement as user postgres and return the first value of its answer, as text."""
    host, _, port = os.environ["DATABASE"].partition(":")
    with socket.create_connection((host, int(port)), timeout=3) as s:
        file = s.makefile("rwb")
        _send(file, b"", struct.pack(">i", 196608) + b"user\0postgres\0\0")
        _until_ready(file)
        _send(file, b"Q", sql.encode() + b"\0")
        return _until_ready(file)


def _send(file, kind, data):
    file.write(kind + struct.pack(">i", len(data) + 4) + data)
    file.flush()


def _until_ready(file):
    value = None
    while True:
        kind, size = struct.unpack(">ci", file.read(5))
        data = file.read(size - 4)
        if kind == b"E":
            raise RuntimeError(data.decode(errors="replace"))
        if kind == b"D":  # one row: the count of columns, then a length and a text for each
            value = data[6 : 6 + struct.unpack(">i", data[2:6])[0]].decode()
        if kind == b"Z":
            return value
