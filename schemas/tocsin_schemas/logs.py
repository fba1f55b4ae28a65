"""Logs on standard error: text for people, JSON for collectors."""

import json
import logging
import sys
import time
from typing import Any, Final, Literal

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["text", "json"]

#: What every record has; whatever else it has was given as `extra`.
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_OURS: Final = ("tocsin_producer", "tocsin_consumer", "tocsin_schemas")


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time (UTC), level, logger, message, the `extra` fields, a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "thread": record.threadName,
            "message": record.getMessage(),
        }
        for key, value in vars(record).items():
            if key not in _STANDARD:
                line.setdefault(key, value)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)

    def formatTime(  # noqa: N802 - its parent's name
        self,
        record: logging.LogRecord,
        datefmt: str | None = None,  # noqa: ARG002
    ) -> str:
        """Return the time as RFC 3339 in UTC with milliseconds."""
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def configure(level: Level, style: Format) -> None:
    """Send the logs of this process to standard error.

    `level` is that of tocsin's own loggers. Libraries only warn: at DEBUG urllib3 would log the address of each
    request, and the address of a webhook is a password.
    """
    handler = logging.StreamHandler(sys.stderr)
    if style == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in _OURS:
        logging.getLogger(name).setLevel(level.upper())
