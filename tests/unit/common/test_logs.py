from __future__ import annotations

import json
import logging

from iceprod.tokens import encode
from server.common.logs import JsonFormatter


def line(message: str, **extra: object) -> dict[str, object]:
    record = logging.makeLogRecord({"name": "server", "levelname": "INFO", "msg": message, **extra})
    return json.loads(JsonFormatter().format(record))


def test_a_line_is_json_with_the_extra_fields() -> None:
    written = line("hello", action="start", port=1)
    assert (written["message"], written["action"], written["port"]) == ("hello", "start", 1)


def test_secrets_are_removed() -> None:
    token = encode("s" * 48, "ada", ["admin"])
    written = line(f"sent {token}", password="hunter2", note=f"Bearer {token}")
    text = json.dumps(written)
    assert "hunter2" not in text
    assert token not in text
