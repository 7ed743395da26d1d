"""Log of a long-running process: one event a line on standard error, ``time level event key=value ...``."""

from __future__ import annotations

import logging
import sys

import structlog


def configure() -> None:
    """Once, at the start of a process. Other libraries' warnings go the same way."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )


def _line(_logger: object, _method: str, event: structlog.typing.EventDict) -> str:
    time, level, name = event.pop("timestamp"), event.pop("level"), event.pop("event")
    traceback = event.pop("exception", None)
    fields = "".join(f" {key}={_value(value)}" for key, value in event.items())
    return f"{time} {level} {name}{fields}" + (f"\n{traceback}" if traceback else "")


def _value(value: object) -> str:
    text = str(value)
    return repr(text) if not text or any(c in text for c in ' "\n=') else text
