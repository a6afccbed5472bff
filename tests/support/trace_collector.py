"""A collector of traces: what it is sent by OTLP over HTTP, decoded, and as the bytes that came.

As a program, `collector.py PORT`, it answers `GET /received` with the bodies so far: base64, in a list.
"""

import base64
import json
import sys
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
    deployment: str
    """Deployment of the pod, if it runs in one."""


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
def collector(host: str = "127.0.0.1", port: int = 0) -> Iterator[Collector]:
    """Up when it is yielded; on any free port unless told otherwise."""
    seen = Collector()
    seen.answers.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.answers.wait()
            seen.received.append(body)
            status = 200 if self.path == "/v1/traces" else 404
            self._answers(status, "application/x-protobuf", ExportTraceServiceResponse().SerializeToString())

        def do_GET(self) -> None:
            bodies = [base64.b64encode(body).decode() for body in list(seen.received)]
            self._answers(200 if self.path == "/received" else 404, "application/json", json.dumps(bodies).encode())

        def _answers(self, status: int, content_type: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has
            del format, args

    server = ThreadingHTTPServer((host, port), Handler)
    seen.url = f"http://{host}:{server.server_port}"
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
        said = {each.key: each.value.string_value for each in resource.resource.attributes}
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
                    service=said["service.name"],
                    deployment=said.get("k8s.deployment.name", ""),
                )


if __name__ == "__main__":
    with collector("0.0.0.0", int(sys.argv[1])):
        threading.Event().wait()
