"""A word with Redis, in its own protocol."""

import os
import socket


def ask(*words):
    """Send one command and return its answer (a text, a number, or None)."""
    host, _, port = os.environ["STORE"].partition(":")
    with socket.create_connection((host, int(port)), timeout=3) as s:
        s.sendall((f"*{len(words)}\r\n" + "".join(f"${len(w)}\r\n{w}\r\n" for w in words)).encode())
        file = s.makefile("rb")
        line = file.readline().decode().rstrip("\r\n")
        if line[0] == "$":
            return None if line == "$-1" else file.read(int(line[1:])).decode()
        if line[0] == "-":
            raise RuntimeError(line)
        return line[1:]
