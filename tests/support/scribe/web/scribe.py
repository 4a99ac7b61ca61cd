"""Says lines, as asked at `/say`; or, as `pen`, numbers the lines of a file until SIGTERM. Standard library only."""

import json
import os
import random
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

FILE = Path("/var/log/scribe/numbers.log")
RELEASE = os.environ.get("SLIPWAY_RELEASE", "")
BEHAVIOUR = json.loads(Path("behaviour.json").read_text())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urlsplit(self.path)
        asked = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path == "/say":
            self.say(asked)
        if url.path == "/requests":
            requests(int(asked["lines"]), int(asked["seed"]))
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
                "edition": BEHAVIOUR["label"],
            }
            lines.append(
                asked["plain"] if "plain" in asked else json.dumps({**told, "request_id": self.headers["X-Request-ID"]})
            )
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()

    def log_message(self, *args):
        pass


def requests(lines, seed):
    """Say lines as a busy service does, one in ten thousand of them an error."""
    chance, hexadecimal = random.Random(seed), "0123456789abcdef"
    for number in range(lines):
        wrong = number % 10_000 == seed * 37
        told = {
            "timestamp": f"2026-01-31T14:{number // 60_000 % 60:02d}:{number // 1000 % 60:02d}.{number % 1000:03d}+00:00",
            "level": "ERROR" if wrong else "INFO", "message": "request failed" if wrong else "request", "logger": "api.requests",
            "service": "api", "release": RELEASE, "request_id": "".join(chance.choices(hexadecimal, k=32)),
            "method": "GET", "path": f"/v1/insights/{chance.randrange(100_000)}", "route": "/v1/insights/{business}",
            "status": 500 if wrong else 200, "ms": chance.randrange(100_000) / 100,
        }  # fmt: skip
        sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """Leave out clients that went away, the router's checks for example."""


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
elif BEHAVIOUR["mode"] == "crash":
    print("loading the model")
    sys.exit(f"the model of {BEHAVIOUR['label']} is corrupt")
else:
    server = Server(("", 8000), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
