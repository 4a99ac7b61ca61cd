"""Says lines, as asked at `/say`; or, as `pen`, numbers the lines of a file until SIGTERM. Standard library only."""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

FILE = Path("/var/log/scribe/numbers.log")
RELEASE = os.environ.get("SLIPWAY_RELEASE", "")
EDITION = json.loads(Path("behaviour.json").read_text())["label"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urlsplit(self.path)
        asked = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path == "/say":
            self.say(asked)
        body = b"{}"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Release", RELEASE)
        self.end_headers()
        self.wfile.write(body)

    def say(self, asked):
        """Say so many lines: JSON ones, or a plain text; numbered, with the request's id."""
        first, lines = int(asked.get("first", 0)), []
        for number in range(first, first + int(asked.get("lines", 1))):
            told = {
                "level": asked.get("level", "info"),
                "message": asked.get("text", "said"),
                "n": number,
                "edition": EDITION,
            }
            lines.append(
                asked["plain"] if "plain" in asked else json.dumps({**told, "request_id": self.headers["X-Request-ID"]})
            )
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def pen():
    """Number lines, as many as go; SIGUSR1 has it open its file anew."""
    ended, file = threading.Event(), FILE.open("a", buffering=1)
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGUSR1, lambda *_: asked.append(True))
    number = 0
    while not ended.is_set():
        if asked:
            asked.clear()
            file.close()
            file = FILE.open("a", buffering=1)
        for _ in range(20):
            number += 1
            file.write(f"{os.environ['HOSTNAME']} {number}\n")
        time.sleep(0.002)
    file.close()


if sys.argv[1:] == ["pen"]:
    pen()
else:
    server = Server(("", 8000), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
