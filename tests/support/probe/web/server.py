"""Answers, streams, ticks; and misbehaves as behaviour.json says. Standard library only."""

import hashlib
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import database
import websocket
from store import ask

ROLE = (sys.argv[1:] or ["web"])[0]
BEHAVIOUR = json.loads(Path("behaviour.json").read_text())
MODE = BEHAVIOUR["mode"] if BEHAVIOUR.get("service", "web") == ROLE else "good"
RELEASE = os.environ.get("SLIPWAY_RELEASE", "")
STARTED = time.monotonic()
answering = set()


def token():
    path = os.environ.get("TOKEN_FILE")
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""


def ready():
    if MODE == "sick" or (MODE == "sick later" and time.monotonic() - STARTED > BEHAVIOUR["after"]):
        return 503, {"status": "not ready", "failed": ["the flux capacitor"]}
    if "READY_SQL" in os.environ:
        try:
            return 200, {"status": "ready", "rows": database.query(os.environ["READY_SQL"])}
        except (OSError, RuntimeError) as error:
            return 503, {"status": "not ready", "failed": [str(error)]}
    return 200, {"status": "ready"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer is two writes: the second would wait for the first one's acknowledgement

    def do_GET(self):
        answering.add(self)
        try:
            self.respond()
        finally:
            answering.discard(self)

    def do_POST(self):
        self.do_GET()

    def respond(self):
        url = urlsplit(self.path)
        asked = {key: values[0] for key, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if url.path == "/stream":
            self.stream(asked)
        elif url.path == "/ws":
            self.websocket()
        elif url.path == "/digest":
            self.answer(200, {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)})
        elif url.path == "/store":
            self.answer(200, {"pong": ask("PING"), "schema": ask("GET", "schema")})
        elif url.path == "/database":
            self.answer(200, {"answer": database.query(asked.get("sql", "SELECT 6 * 7"))})
        elif url.path == "/health/ready":
            self.answer(*ready())
        elif url.path == "/health":
            self.answer(200, {"status": "alive"})
        else:
            time.sleep(float(asked.get("seconds", 0)) if url.path == "/slow" else 0)
            name = "impostor" if MODE == "wrong" else "probe" if ROLE == "web" else ROLE
            told = {"name": name, "label": BEHAVIOUR["label"], "greeting": os.environ.get("GREETING"), "token": token()}
            self.answer(200, told)

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Release", RELEASE)
        self.end_headers()
        self.wfile.write(body)

    def websocket(self):
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", websocket.accept(self.headers["Sec-WebSocket-Key"]))
        self.send_header("X-Release", RELEASE)
        self.end_headers()
        websocket.echo(self.rfile, self.wfile)
        self.close_connection = True

    def stream(self, asked):
        """Send an event a second: so many, or until the store has a key."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("X-Release", RELEASE)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(1, int(asked.get("seconds", 10000)) + 1):
            time.sleep(1)
            self.chunk(f"data: {number}\n\n")
            if "until" in asked and ask("GET", asked["until"]):
                break
        self.chunk("event: end\ndata: bye\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def chunk(self, text):
        self.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())
        self.wfile.flush()

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        """Leave out clients that went away: the log's last lines are for what is wrong here."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def finish(server):
    """Take no more connections, finish what is being answered, and leave; idle connections are nobody's business."""
    server.shutdown()
    while answering:
        time.sleep(0.02)
    os._exit(0)


def tick():
    """Set a sign of life each half second until SIGTERM; two of one release at a time are a fault that tests look for."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ask("RPUSH", "ticks", f"{RELEASE} start {time.time():.3f}")
    while not ended.wait(0.3):
        ask("SET", "tick", RELEASE)
    ask("RPUSH", "ticks", f"{RELEASE} stop {time.time():.3f}")


if MODE == "slow":
    signal.signal(
        signal.SIGTERM, lambda *_: os._exit(0)
    )  # the first process of a container would not hear it otherwise
    time.sleep(BEHAVIOUR["after"])
if MODE == "crash":
    print("loading the model")
    sys.exit("RuntimeError: model file is corrupt: expected 42 bytes")
if ROLE == "tick":
    tick()
else:
    server = Server(("", int(os.environ.get("PORT", "8000"))), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=finish, args=[server]).start())
    server.serve_forever()
