"""Structured logging to standard error: coloured lines for people or JSON for machines."""

from __future__ import annotations

import logging
import sys

import structlog

from service.printable import printable
from service.settings import LogFormat


def configure(style: LogFormat, level: str) -> None:
    """Set up logging of the whole process, once, at its start. level: debug, info, warning or error.

    Tracebacks name places and never the values of variables: among those are requests, tokens and addresses of
    databases.
    """
    number = getattr(logging, level.upper())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[structlog.typing.Processor]
    if style is LogFormat.JSON:
        renderer = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # Not the richer ones: with every local variable they take seconds, on the event loop, and say what is secret.
        plain = structlog.dev.plain_traceback
        renderer = [_escape, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    # Libraries use the standard module; their lines get the same shape.
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)


def _escape(_: object, __: str, entry: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Let no text of a stranger command the terminal or begin a line; JSON escapes by itself."""
    return {key: printable(value, keep="\t") if isinstance(value, str) else value for key, value in entry.items()}


def get_logger() -> structlog.typing.FilteringBoundLogger:
    """The process's logger; bind values as keyword arguments."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger
