"""One trace per request, where somebody watches: spans of its stages, and what carries it on to another pool.

Where nobody does, every span is the same object, which does nothing: a look at a context variable is all that is paid.

A span holds names of the configuration, codes, counts and times: never a text, a key or a token.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import urlsplit

import structlog

from tts_server.http_url import with_an_authority

log = structlog.get_logger(__name__)

Value = str | int | float | bool
PROTOCOL = "http/protobuf"


class Span(Protocol):
    """A stretch of a request's time: from its making to the end of its `with`, which notes an exception's code."""

    @property
    def trace_id(self) -> str:
        """In hexadecimal; empty where nothing is recorded."""

    def child(self, name: str, *, leads: bool = False) -> "Span":
        """A stretch of this one.

        `leads`: inside its `with`, `span` gives children of it, in this task and in those that are begun there.
        """

    def note(self, name: str, value: Value) -> None:
        """An attribute."""

    def event(self, name: str) -> None:
        """Something that happens now."""

    def failed(self, code: str) -> None:
        """It did not do what it was for."""

    def headers(self) -> Mapping[str, str]:
        """What makes another server's spans children of this one (W3C Trace Context)."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Tracer(Protocol):
    """Begins a trace for each request, or goes on with its caller's."""

    def request(self, traceparent: str) -> Span:
        """The outermost span of a request, which leads; `traceparent` is the caller's header, or empty."""

    async def close(self) -> None:
        """Send what waits, for a few seconds at most."""


class NoSpan:
    """`Span` of a request that nobody watches."""

    trace_id = ""

    def child(self, name: str, *, leads: bool = False) -> "NoSpan":
        """See `Span.child`."""
        del name, leads
        return self

    def note(self, name: str, value: Value) -> None:
        """See `Span.note`."""

    def event(self, name: str) -> None:
        """See `Span.event`."""

    def failed(self, code: str) -> None:
        """See `Span.failed`."""

    def headers(self) -> Mapping[str, str]:
        """See `Span.headers`."""
        return {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


NO_SPAN = NoSpan()
CURRENT: ContextVar[Span] = ContextVar("span", default=NO_SPAN)
"""The innermost span that leads."""


class NoTracer:
    """`Tracer` of a server that nobody watches."""

    def request(self, traceparent: str) -> Span:
        """See `Tracer.request`."""
        del traceparent
        return NO_SPAN

    async def close(self) -> None:
        """See `Tracer.close`."""


def span(name: str, *, leads: bool = False) -> Span:
    """A stretch of what this task is doing. See `Span.child`."""
    return CURRENT.get().child(name, leads=leads)


def open_tracer(environment: Mapping[str, str]) -> Tracer:
    """As OpenTelemetry's variables say; without an endpoint among them there are no traces.

    A server that cannot send traces says why, and serves.
    """
    reason = _not_to_be_sent(environment)
    if reason is None:
        try:
            from tts_server.otel import OtelTracer

            return OtelTracer.from_environment(environment)
        except ImportError:
            reason = "the extra is not installed: pip install 'ttsfleet[tracing]'"
        except ValueError:
            reason = "one of the variables OTEL_* has a value that is none"
    if reason:
        log.error("no traces are sent", reason=reason)
    return NoTracer()


def _not_to_be_sent(environment: Mapping[str, str]) -> str | None:
    """Why there are no traces; empty where nobody asked for any, None where there are some."""

    def said(name: str) -> str:
        return environment.get(name, "").strip()

    endpoint = said("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or said("OTEL_EXPORTER_OTLP_ENDPOINT")
    disabled = said("OTEL_SDK_DISABLED").lower() == "true" or said("OTEL_TRACES_EXPORTER").lower() == "none"
    if not endpoint or disabled:
        return ""
    if said("OTEL_TRACES_EXPORTER").lower() not in {"", "otlp"}:
        return "OTEL_TRACES_EXPORTER is none of: otlp, none"
    if not _is_address(endpoint):  # the exporter would say so once a request has come, and quote it
        return "OTEL_EXPORTER_OTLP_ENDPOINT is no address such as http://collector:4318"
    protocol = said("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or said("OTEL_EXPORTER_OTLP_PROTOCOL") or PROTOCOL
    return None if protocol == PROTOCOL else f"the only protocol is {PROTOCOL}: a collector's port for it is often 4318"


def _is_address(endpoint: str) -> bool:
    try:
        return urlsplit(with_an_authority(endpoint)).scheme in {"http", "https"}
    except ValueError:
        return False
