"""As much of HTTP/1.1 as the stack speaks. (To import `http.server` takes twice as long as all else at a container's start.)"""

import _thread
import json
import socket

WORDS = {101: "Switching Protocols", 200: "OK", 503: "Service Unavailable"}


def serve(port, handler):
    """Answer for ever, each connection in a thread: `handler(request)` does."""
    with socket.create_server(("", port), backlog=256) as listening:
        while True:
            connection, _ = listening.accept()
            _thread.start_new_thread(_converse, (connection, handler))


def _converse(connection, handler):
    try:
        with connection, connection.makefile("rwb") as file:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while request := _receive(file):
                handler(request)
                if request.last:
                    break
    except OSError:  # clients that went away: the log's last lines are for what is wrong here
        pass


def _receive(file):
    """Read a request; None where the connection has ended."""
    _, _, rest = file.readline().decode("latin-1").partition(" ")
    if not rest:
        return None
    target, _, version = rest.strip().rpartition(" ")
    headers = {}
    while line := file.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Request(file, target, headers, version)


class Request:
    """A request: `path`, `asked` (its query), `headers` (by names in lower case); its methods read its body and answer it.

    `last`: the connection ends with it.
    """

    def __init__(self, file, target, headers, version):
        self.file, self.headers = file, headers
        self.path, _, query = target.partition("?")
        self.asked = _parsed(query) if query else {}
        self.last = version == "HTTP/1.0" or headers.get("connection", "").lower() == "close"

    def read(self):
        """Return its body: once, and before it is answered."""
        return self.file.read(int(self.headers.get("content-length", 0)))

    def begin(self, status, **headers):
        """Send a status and headers; an underscore in a name is a hyphen."""
        lines = [f"HTTP/1.1 {status} {WORDS[status]}", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
        if self.last:  # else a client may send the next request into a connection that is being closed
            lines.append("Connection: close")
        self.file.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def answer(self, status, value, **headers):
        """Send a value as JSON."""
        body = json.dumps(value).encode()
        self.begin(status, Content_Type="application/json", Content_Length=len(body), **headers)
        self.file.write(body)
        self.file.flush()

    def chunk(self, text):
        """Send a piece of a body whose length nobody knows; "" is its end."""
        self.file.write(f"{len(text):x}\r\n{text}\r\n".encode())
        self.file.flush()


def _parsed(query):
    from urllib.parse import parse_qs

    return {key: values[0] for key, values in parse_qs(query).items()}
