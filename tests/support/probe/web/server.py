"""Answers, streams, ticks; and misbehaves as behaviour.json says. Standard library only, and at the start as little as will do."""

import json
import os
import signal
import sys
import time

from store import ask

ROLE = (sys.argv[1:] or ["web"])[0]
with open("behaviour.json") as file:  # noqa: PTH123 - pathlib takes as long as Python itself
    BEHAVIOUR = json.load(file)
MODE = BEHAVIOUR["mode"] if BEHAVIOUR.get("service", "web") == ROLE else "good"
RELEASE = os.environ.get("SLIPWAY_RELEASE", "")
STARTED = time.monotonic()
answering = set()


def digest(data):
    from hashlib import sha256

    return sha256(data).hexdigest()


def token():
    path = os.environ.get("TOKEN_FILE")
    if not path:
        return ""
    with open(path, "rb") as file:  # noqa: PTH123
        return digest(file.read())


def query(sql):
    from database import query

    return query(sql)


def ready():
    if MODE == "sick" or (MODE == "sick later" and time.monotonic() - STARTED > BEHAVIOUR["after"]):
        return 503, {"status": "not ready", "failed": ["the flux capacitor"]}
    if "READY_SQL" in os.environ:
        try:
            return 200, {"status": "ready", "rows": query(os.environ["READY_SQL"])}
        except (OSError, RuntimeError) as error:
            return 503, {"status": "not ready", "failed": [str(error)]}
    return 200, {"status": "ready"}


def handle(request):
    answering.add(request)
    try:
        respond(request, request.read())
    finally:
        answering.discard(request)


def respond(request, body):
    def answer(status, value):
        request.answer(status, value, X_Release=RELEASE)

    if request.path == "/stream":
        stream(request)
    elif request.path == "/ws":
        chat(request)
    elif request.path == "/digest":
        answer(200, {"sha256": digest(body), "size": len(body)})
    elif request.path == "/store":
        answer(200, {"pong": ask("PING"), "schema": ask("GET", "schema")})
    elif request.path == "/database":
        answer(200, {"answer": query(request.asked.get("sql", "SELECT 6 * 7"))})
    elif request.path == "/health/ready":
        answer(*ready())
    elif request.path == "/health":
        answer(200, {"status": "alive"})
    else:
        time.sleep(float(request.asked.get("seconds", 0)) if request.path == "/slow" else 0)
        name = "impostor" if MODE == "wrong" else "probe" if ROLE == "web" else ROLE
        told = {"name": name, "label": BEHAVIOUR["label"], "greeting": os.environ.get("GREETING"), "token": token()}
        answer(200, told)


def chat(request):
    import websocket

    key = websocket.accept(request.headers["sec-websocket-key"])
    request.begin(101, Upgrade="websocket", Connection="Upgrade", Sec_WebSocket_Accept=key, X_Release=RELEASE)
    request.file.flush()
    websocket.echo(request.file, request.file)
    request.last = True


def stream(request):
    """Send an event a second: so many, or until the store has a key."""
    request.begin(200, Content_Type="text/event-stream", X_Release=RELEASE, Transfer_Encoding="chunked")
    request.file.flush()
    for number in range(1, int(request.asked.get("seconds", 10000)) + 1):
        time.sleep(1)
        request.chunk(f"data: {number}\n\n")
        if "until" in request.asked and ask("GET", request.asked["until"]):
            break
    request.chunk("event: end\ndata: bye\n\n")
    request.chunk("")


def finish(*_):
    """Take no more connections, finish what is being answered, and leave; idle connections are nobody's business."""
    while answering:  # meanwhile the thread that accepts connections is here
        time.sleep(0.02)
    os._exit(0)


def tick():
    """Set a sign of life each half second until SIGTERM; two of one release at a time are a fault that tests look for."""
    from threading import Event

    ended = Event()
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
    from http1 import serve

    signal.signal(signal.SIGTERM, finish)
    serve(int(os.environ.get("PORT", "8000")), handle)
