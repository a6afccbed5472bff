"""Sends traces by OTLP over HTTP: the only module that needs OpenTelemetry's SDK, the extra `tracing`.

Spans that ended wait in a queue of 2048 (`OTEL_BSP_MAX_QUEUE_SIZE`) for a thread that sends them in batches. While the
collector is unreachable the queue drops them, and requests are not affected.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Mapping

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

log = structlog.get_logger(__name__)

SERVICE = "tts-server"
LAST_SPANS_SECONDS = 3.0
"""Time limit for sending the spans that are queued at shutdown."""


class OtelTracing:
    """`Tracing` by OpenTelemetry's SDK."""

    def __init__(self, exporter: SpanExporter, environment: Mapping[str, str]) -> None:
        # A name that is written into the resource here would win over the variables.
        named = "OTEL_SERVICE_NAME" in environment or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
        service = {} if named else {"service.name": SERVICE}
        self._provider = TracerProvider(
            resource=Resource.create(service),
            shutdown_on_exit=False,  # `close` does it
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer = self._provider.get_tracer(SERVICE)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "OtelTracing":
        """Raises `ValueError` for a variable with an invalid value."""
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)  # it logs every attempt that it repeats
        return cls(OTLPSpanExporter(), environment)

    async def close(self) -> None:
        done = threading.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            done.set()

        # A daemon thread: the process exits without it where the collector hangs.
        threading.Thread(target=shut_down, daemon=True).start()
        until = time.monotonic() + LAST_SPANS_SECONDS
        while not done.is_set():
            if time.monotonic() > until:
                log.warning("last traces not sent: collector does not answer")
                return
            await asyncio.sleep(0.02)
