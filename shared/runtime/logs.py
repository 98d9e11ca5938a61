"""Logs: one wide line per act, JSON for machines or coloured text for people, on standard error.

A line about a mailing, a message or a client carries `mailing_id`, `message_id`, `client_id`; a line caused by a
request carries its `request_id`. Phones are masked by whoever logs them (`shared.domain.client.mask_phone`).
"""

import functools
import json
import logging
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, Literal

import orjson
import structlog

TOLD_BY_OURSELVES = ("aio_pika", "aiormq")  # each lost connection is one line of the gateway's, not twenty of theirs


def configure_logs(service: str, *, level: str, log_format: Literal["json", "console"]) -> None:
    """Set up structlog, and send what libraries log through it.

    Args:
        service: name of the process, in every line.
        level: least level that is written.
        log_format: "json" or "console".
    """
    shared_steps: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: structlog.typing.Processor
    own_renderer: structlog.typing.Processor
    factory: Callable[..., structlog.typing.WrappedLogger]
    if log_format == "json":
        shared_steps.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer()
        own_renderer = structlog.processors.JSONRenderer(_as_json)
        factory = functools.partial(_Lines, sys.stderr.buffer)
    else:
        # Plain: a traceback that shows local variables shows phones, and takes a second to draw.
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        own_renderer = renderer
        factory = structlog.PrintLoggerFactory(sys.stderr)
    structlog.configure(
        processors=[*shared_steps, own_renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared_steps,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(
        handlers=[handler], level=max(logging.WARNING, logging.getLevelNamesMapping()[level]), force=True
    )
    for library in TOLD_BY_OURSELVES:
        logging.getLogger(library).setLevel(logging.CRITICAL)
    structlog.contextvars.bind_contextvars(service=service)


class _Lines:
    """Lines of a file, each written at once. What cannot be written is lost: a full disk must cost no message."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, line: bytes) -> None:
        try:
            self._file.write(line + b"\n")
            self._file.flush()
        except OSError:
            pass

    debug = info = warning = error = critical = write


def _as_json(line: dict[str, Any], default: Callable[[Any], Any], **_: Any) -> bytes:
    """A line as JSON. What orjson does not take (half a surrogate pair, a number above 64 bits) costs time, no line."""
    try:
        return orjson.dumps(line, default=default)
    except TypeError:
        return json.dumps(line, default=default).encode()
