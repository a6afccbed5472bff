"""JSON logs that hold no text, token or key."""

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
    """JSON lines on stdout from here on, those of libraries too."""
    out = cast("TextIO", _Lines(sys.stdout))
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _where_it_failed,
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


class _Lines:
    """Where lines go. One that cannot be written, because its reader left or the disk is full, fails no request."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def log_crashes() -> None:
    """An exception that ends the process, or a thread of it, is a line like others: Python would print its message."""

    def crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        del kind, trace
        if not isinstance(error, KeyboardInterrupt):  # somebody changed their mind while it began
            log.critical("crashed", exc_info=error)

    def thread_crashed(ended: threading.ExceptHookArgs) -> None:
        log.critical("a thread crashed", thread=ended.thread and ended.thread.name, exc_info=ended.exc_value)

    sys.excepthook = crashed
    threading.excepthook = thread_crashed


def log_background_failure(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What an event loop does about it: its own way quotes exceptions, and the arguments of callbacks."""
    del loop
    error = context.get("exception")
    if error is None:
        log.error("failed in the background", reason=context["message"])
    else:
        log.error("failed in the background", exc_info=error)


def _where_it_failed(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """An exception as its type and the lines it passed: its message may quote what a caller sent."""
    del logger, method
    info = event.pop("exc_info", None)
    error = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        event["stack"] = where(error)
    return event


def where(error: BaseException) -> list[str]:
    """File, line and function of every frame, the innermost last."""
    frames: list[Any] = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
