"""Log lines on standard error: text for people, or one JSON object a line for collectors."""

import logging
from datetime import UTC, datetime

import orjson

from node.config import LogSettings


class JsonLines(logging.Formatter):
    """`{"time", "level", "logger", "message"}`, with the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def start_logging(settings: LogSettings) -> None:
    """Send all log lines of the process to standard error, as the settings say."""
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonLines() if settings.json else text)
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
