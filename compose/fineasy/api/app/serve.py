"""`python -m app.serve` serves the api on port 8000; with `--reload` it starts anew when a source file changes."""

import signal
import sys

# Before the imports that take time: as process 1 of a container this process would simply not get a SIGTERM.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

import uvicorn  # noqa: E402

from app.settings import SettingError, Settings  # noqa: E402

if __name__ == "__main__":
    try:
        release = Settings.from_environment().release
    except SettingError as error:
        sys.exit(f"cannot start: {error}")
    # Until SIGTERM; then it takes no more connections and finishes what is open: a stream that has begun goes on to its
    # end, and how long that may take is the container's stop_grace_period.
    uvicorn.run(
        "app.main:create",
        factory=True,
        host="0.0.0.0",
        port=8000,
        reload="--reload" in sys.argv[1:],
        log_config=None,  # app.logs has it
        access_log=False,  # app.observe has it
        server_header=False,
        # Not in a middleware, so that answers of the server itself (400, 500, the WebSocket's 101) have it too.
        headers=[("X-Release", release)],
        # Longer than the router keeps idle connections: closing one while it sends a request would cost the request.
        timeout_keep_alive=120,
        ws_max_size=64 * 1024,
    )
