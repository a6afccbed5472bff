"""One trace per request, where somebody watches: spans of its stages, and what carries it on to another pool.

Where nobody does, every span is the same object, which does nothing: a look at a context variable is all that is paid.

A span holds names of the configuration, codes, counts and times: never a text, a key or a token.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Protocol, Self

import structlog

log = structlog.get_logger(__name__)

Value = str | int | float | bool


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
