"""Writes logs as JSON lines, without texts, tokens or keys."""

import asyncio
import logging
import sys
import threading
import traceback
from contextlib import suppress
from types import TracebackType
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, WrappedLogger

log = structlog.get_logger()


def configure_logging(level: str) -> None:
    """Log JSON lines to stdout from now on, those of libraries included."""
    out = cast("TextIO", _LossyStream(sys.stdout))
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_message,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(logging.getLevelNamesMapping()[level.upper()], logging.WARNING))


class _LossyStream:
    """Stream that drops a line that cannot be written (closed pipe, full disk) instead of failing a request."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def log_crashes() -> None:
    """Log an exception that ends the process or a thread as a line like others: Python would print its message."""

    def crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        del kind, trace
        if not isinstance(error, KeyboardInterrupt):  # Ctrl-C during startup
            log.critical("crashed", exc_info=error)

    def thread_crashed(crash: threading.ExceptHookArgs) -> None:
        log.critical("a thread crashed", thread=crash.thread and crash.thread.name, exc_info=crash.exc_value)

    sys.excepthook = crashed
    threading.excepthook = thread_crashed


def log_background_failure(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Handle an event loop's exception: asyncio's own handler quotes messages, and arguments of callbacks."""
    del loop
    error = context.get("exception")
    if error is None:
        log.error("failed in the background", reason=context["message"])
    else:
        log.error("failed in the background", exc_info=error)


def _without_message(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Log an exception as its type and stack: its message may quote what a caller sent."""
    del logger, method
    info = event.pop("exc_info", None)
    error = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        event["stack"] = where(error)
    return event


def where(error: BaseException) -> list[str]:
    """Return file, line and function of every frame, the innermost last."""
    frames: list[Any] = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
