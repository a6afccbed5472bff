"""Spans of a request by OpenTelemetry's API, which needs no SDK: without one its no-op tracer records nothing.

A span holds names of the configuration, codes, counts and times: never a text, a key or a token.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Protocol

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, NoOpTracer, Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tts_server.errors import TTSError

__all__ = [
    "INVALID_SPAN", "NO_TRACER", "NoTracing", "Span", "Tracing",
    "fail", "request_span", "span", "start_span", "trace_headers", "trace_id",
]  # fmt: skip

NO_TRACER = NoOpTracer()
_TRACER: ContextVar[Tracer] = ContextVar("tracer", default=NO_TRACER)
"""Tracer of the request that this task works for."""
_PROPAGATOR = TraceContextTextMapPropagator()


class Tracing(Protocol):
    """A tracer, and the sending of what it records."""

    @property
    def tracer(self) -> Tracer:
        """Begins the spans of every request."""

    async def close(self) -> None:
        """Send the spans that still wait, for a few seconds at most."""


class NoTracing:
    """`Tracing` of a server that sends no traces."""

    tracer: Tracer = NO_TRACER

    async def close(self) -> None:
        pass


@contextmanager
def request_span(tracer: Tracer, traceparent: str) -> Iterator[Span]:
    """Record a request; `traceparent` is its caller's header (W3C Trace Context), or empty.

    Every `span` begun inside is a child. `tracestate` and baggage of the caller are not passed on.
    """
    if tracer is NO_TRACER:
        yield INVALID_SPAN
        return
    parent = _PROPAGATOR.extract({"traceparent": traceparent}, Context())
    recorded = tracer.start_span("request", parent, kind=SpanKind.SERVER)
    tracer_token = _TRACER.set(tracer)
    span_token = context.attach(trace.set_span_in_context(recorded))
    try:
        yield recorded
    except BaseException as error:
        _note(recorded, error)
        raise
    finally:
        context.detach(span_token)
        _TRACER.reset(tracer_token)
        recorded.end()


class span:  # noqa: N801 - it reads as what happens inside
    """Record a stage of this task's request, from the beginning of the `with` to its end.

    `current`: spans that begin inside, in this task and in those it starts, are children of this one. An exception is
    recorded as its code: OpenTelemetry's own `start_as_current_span` records its message, which may quote a caller.
    """

    __slots__ = ("_current", "_name", "_span", "_token")

    def __init__(self, name: str, *, current: bool = False) -> None:
        self._name = name
        self._current = current

    def __enter__(self) -> Span:
        self._span = start_span(self._name)
        if self._current and self._span.is_recording():
            self._token = context.attach(trace.set_span_in_context(self._span))
        else:
            self._current = False
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._current:
            context.detach(self._token)
        if error is not None:
            _note(self._span, error)
        self._span.end()


def start_span(name: str) -> Span:
    """Begin a stage of this task's request; its caller must `end` it."""
    tracer = _TRACER.get()
    # The no-op tracer would look for a parent in the context first, at each stage of each request.
    return INVALID_SPAN if tracer is NO_TRACER else tracer.start_span(name)


def fail(span: Span, code: str) -> None:
    """Mark a span as failed."""
    span.set_attribute("error.type", code)
    span.set_status(StatusCode.ERROR)


def trace_id(span: Span) -> str:
    """Hexadecimal trace id; empty where nothing is recorded."""
    return trace.format_trace_id(span.get_span_context().trace_id) if span.is_recording() else ""


def trace_headers() -> Mapping[str, str]:
    """Headers that make the spans of another server children of the current span (W3C Trace Context)."""
    headers: dict[str, str] = {}
    _PROPAGATOR.inject(headers)
    return headers


def _note(span: Span, error: BaseException) -> None:
    if isinstance(error, TTSError):
        fail(span, error.code)
    elif isinstance(error, Exception):
        fail(span, type(error).__name__)
    else:  # cancelled, because the client disconnected
        span.set_attribute("tts.cancelled", True)
