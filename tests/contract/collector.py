"""A collector of traces: what it is sent by OTLP over HTTP, decoded, and as the bytes that came."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

Value = str | int | float | bool


@dataclass(frozen=True)
class Seen:
    """A span, as whoever looks at the trace sees it."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    failed: bool
    attributes: dict[str, Value]
    events: tuple[str, ...]
    seconds: float
    service: str


@dataclass
class Collector:
    """Listens at `url`."""

    url: str = ""
    received: list[bytes] = field(default_factory=list)
    """Bodies."""
    answers: threading.Event = field(default_factory=threading.Event)
    """Cleared: it takes requests, and says nothing."""

    @property
    def spans(self) -> list[Seen]:
        return [span for body in list(self.received) for span in _spans(body)]

    def named(self, name: str) -> list[Seen]:
        return [span for span in self.spans if span.name == name]


@contextmanager
def collector() -> Iterator[Collector]:
    """Up when it is yielded."""
    seen = Collector()
    seen.answers.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.answers.wait()
            seen.received.append(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    seen.url = f"http://127.0.0.1:{server.server_port}"
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield seen
    finally:
        seen.answers.set()
        server.shutdown()
        server.server_close()


def _spans(body: bytes) -> Iterator[Seen]:
    message = ExportTraceServiceRequest()
    message.ParseFromString(body)
    for resource in message.resource_spans:
        service = next(each.value.string_value for each in resource.resource.attributes if each.key == "service.name")
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Seen(
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    failed=span.status.code == 2,
                    attributes={
                        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes
                    },
                    events=tuple(event.name for event in span.events),
                    seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                    service=service,
                )
