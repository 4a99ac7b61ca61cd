"""The containers' health check, on sockets and files alone: it runs three times a second while a container starts.

python -IS healthcheck.py http PORT PATH       succeeds if that path of this container answers 200
python -IS healthcheck.py file PATH SECONDS    succeeds if that file was touched within so many seconds
"""

import os
import socket
import sys
import time


def http(port: str, path: str) -> None:
    """Exit with 0 if the path answers 200, else with the answer (the engine keeps it in the container's health log)."""
    with socket.create_connection(("127.0.0.1", int(port)), timeout=4) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode(errors="replace")
    if answer.split(" ", 2)[1:2] != ["200"]:
        sys.exit(answer[-1000:])


def file(path: str, seconds: str) -> None:
    """Exit with 0 if the file is young enough."""
    age = time.time() - os.stat(path).st_mtime  # noqa: PTH116 - pathlib costs more than all else here
    if age > float(seconds):
        sys.exit(f"no sign of life for {age:.0f} s")


if __name__ == "__main__":
    try:
        {"http": http, "file": file}[sys.argv[1]](*sys.argv[2:])
    except OSError as error:
        sys.exit(str(error))
