"""Structured logs: one JSON object a line, with secrets removed and the trace that it belongs to."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime

import re2

from config.settings import Logging
from iceprod.tracing import traces

__all__ = ["configure", "redact"]

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_SECRET_NAME = re.compile(r"(?i)(password|secret|token|authorization|credential|api_?key)")
_TOKEN = re2.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+")


def redact(name: str, value: object) -> object:
    """The value as it may be logged: nothing that is a secret by its name or looks like a token."""
    if _SECRET_NAME.search(name):
        return "***"
    return _TOKEN.sub("***", value) if isinstance(value, str) else value


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: time, level, logger, message, and its extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).replace(tzinfo=None)
        line: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds"), "level": record.levelname,
            "logger": record.name, "message": redact("", record.getMessage())}
        if trace := traces.current.get():
            line["trace_id"] = trace.trace_id
        line.update((k, redact(k, v)) for k, v in record.__dict__.items() if k not in _STANDARD)
        if record.exc_info:
            line["exception"] = redact("", self.formatException(record.exc_info))
        return json.dumps(line, default=str)


def configure(settings: Logging) -> None:
    """Log to stderr as the settings say."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=settings.level, handlers=[handler], force=True)
    logging.getLogger("pymongo").setLevel(logging.WARNING)
