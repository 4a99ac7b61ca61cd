"""Logs as JSON lines on standard output, each with the id of the request it belongs to."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request or job being worked on."""


class JsonLines(logging.Formatter):
    """One JSON object a record; `extra={"fields": {...}}` adds keys."""

    def __init__(self, service: str, release: str) -> None:
        super().__init__()
        self.service, self.release = service, release

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            "service": self.service,
            "release": self.release,
            **({"request_id": current} if (current := request_id.get()) is not None else {}),
            **getattr(record, "fields", {}),
            **({"exception": self.formatException(record.exc_info)} if record.exc_info else {}),
        }
        return json.dumps(line, default=str)


def configure(service: str, release: str, level: str) -> None:
    """Send every log of this process, those of libraries too, to standard output as JSON lines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(service, release))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.INFO)
