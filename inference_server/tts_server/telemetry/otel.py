"""Traces by OpenTelemetry, sent by OTLP over HTTP: the only module that needs the extra `tracing`.

Spans that ended wait in a queue of 2048 (`OTEL_BSP_MAX_QUEUE_SIZE`) for a thread that sends them in batches. While the
collector is away they are dropped, and no request notices.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import Self

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tts_server.errors import TTSError
from tts_server.telemetry.tracing import CURRENT, Span, Value

log = structlog.get_logger(__name__)

SERVICE = "tts-server"
LAST_SPANS_SECONDS = 3.0
"""In which the queue's rest is sent at the end."""
_PROPAGATOR = TraceContextTextMapPropagator()


class OtelSpan:
    """See `Span`."""

    def __init__(self, tracer: trace.Tracer, inner: trace.Span, *, leads: bool) -> None:
        self._tracer = tracer
        self._inner = inner
        self._leads = leads
        self._token: Token[Span] | None = None

    @property
    def trace_id(self) -> str:
        """See `Span.trace_id`."""
        return trace.format_trace_id(self._inner.get_span_context().trace_id) if self._inner.is_recording() else ""

    def child(self, name: str, *, leads: bool = False) -> "OtelSpan":
        """See `Span.child`."""
        parent = trace.set_span_in_context(self._inner)
        return OtelSpan(self._tracer, self._tracer.start_span(name, parent), leads=leads)

    def note(self, name: str, value: Value) -> None:
        """See `Span.note`."""
        self._inner.set_attribute(name, value)

    def event(self, name: str) -> None:
        """See `Span.event`."""
        self._inner.add_event(name)

    def failed(self, code: str) -> None:
        """See `Span.failed`."""
        self.note("error.type", code)
        self._inner.set_status(StatusCode.ERROR)

    def headers(self) -> Mapping[str, str]:
        """See `Span.headers`."""
        carried: dict[str, str] = {}
        _PROPAGATOR.inject(carried, trace.set_span_in_context(self._inner))
        return carried

    def __enter__(self) -> Self:
        if self._leads:
            self._token = CURRENT.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            CURRENT.reset(self._token)
        if isinstance(error, TTSError):
            self.failed(error.code)
        elif isinstance(error, Exception):
            self.failed(type(error).__name__)  # its message may quote what a caller sent
        elif error is not None:  # its caller hung up
            self.note("tts.cancelled", True)
        self._inner.end()


class OtelTracer:
    """See `Tracer`."""

    def __init__(self, exporter: SpanExporter, environment: Mapping[str, str]) -> None:
        # What is written into a resource here would win over the variables.
        named = "OTEL_SERVICE_NAME" in environment or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
        service = {} if named else {"service.name": SERVICE}
        self._provider = TracerProvider(
            resource=Resource.create(service),
            shutdown_on_exit=False,  # see close
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(SERVICE)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "OtelTracer":
        """Raises `ValueError` for a variable that makes no sense."""
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)  # each attempt that is made again is no news
        return cls(OTLPSpanExporter(), environment)

    def request(self, traceparent: str) -> OtelSpan:
        """See `Tracer.request`. `tracestate` and baggage end here: what a caller made up is not passed on."""
        parent = _PROPAGATOR.extract({"traceparent": traceparent})
        return OtelSpan(self._tracer, self._tracer.start_span("request", parent, kind=SpanKind.SERVER), leads=True)

    async def close(self) -> None:
        """See `Tracer.close`."""
        done = threading.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            done.set()

        # A thread that the end of the process does not wait for: a collector that hangs would hold it for long.
        threading.Thread(target=shut_down, daemon=True).start()
        until = time.monotonic() + LAST_SPANS_SECONDS
        while not done.is_set():
            if time.monotonic() > until:
                log.warning("the last traces were not sent: the collector does not answer")
                return
            await asyncio.sleep(0.02)
