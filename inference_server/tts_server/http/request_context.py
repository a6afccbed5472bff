"""Gives every request its id, log line, metrics and span, and an answer to every exception.

Plain ASGI, because a streamed response passes through it chunk by chunk.
"""

import asyncio
import re
import secrets
import time
from dataclasses import dataclass, field

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tts_server.auth.authenticate import Caller
from tts_server.config.api_keys import shown_name
from tts_server.errors import Draining
from tts_server.http.errors import error_response
from tts_server.pipeline.request import RequestStats
from tts_server.pipeline.server import ServerState
from tts_server.telemetry.metrics import UNKNOWN
from tts_server.telemetry.tracing import INVALID_SPAN, NO_TRACER, Span, fail, request_span, trace_id

log = structlog.get_logger(__name__)

REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
UNLOGGED_PATHS = frozenset({"/healthz", "/readyz"})
"""Probes of the kubelet, every second. The cause of a server that is not ready is logged where it arises."""
HUNG_UP = 499
"""Status in metrics and logs, as nginx has it: the client disconnected before the response began."""
CLIENT_FAILURES = frozenset({"hung_up", "slow_reader"})
"""Codes of responses that were cut because of their client."""


class ClientDisconnected(Exception):  # noqa: N818 - not a failure of the server
    """The client closed the connection: no response is needed."""


class ResponseAborted(Exception):  # noqa: N818 - the error is its cause
    """A response that has begun cannot be completed: its connection is closed without the end of the body."""


@dataclass(slots=True)
class RequestContext:
    """State of one request and its response."""

    request_id: str
    path: str
    """Path as the client sent it: logged and counted only if it is a route without parameters."""
    account: RequestStats = field(default_factory=RequestStats)
    speech: bool = False
    """Whether it is a request for speech, which is counted and timed."""
    caller: Caller = field(default_factory=Caller)
    status: int = 0
    failure: str = ""
    """Error code; empty for a success."""
    tenant_server: ServerState | None = None
    """In a shared pool, the state of the tenant whose request it is; unset until that is known."""
    span: Span = INVALID_SPAN
    """Span of the whole request."""

    @property
    def is_cut(self) -> bool:
        """Whether a successful response began and was not completed."""
        return bool(self.failure) and self.status < 400

    @property
    def is_server_failure(self) -> bool:
        """Whether the server failed: a 5xx, or a response that was cut for no reason of its client's."""
        return self.status >= 500 or (self.is_cut and self.failure not in CLIENT_FAILURES)


def context_of(scope: Scope) -> RequestContext:
    """Return the context of the request of this scope."""
    context: RequestContext = scope["context"]
    return context


class RequestContextMiddleware:
    """Outermost layer of the application."""

    def __init__(self, app: ASGIApp, server: ServerState) -> None:
        self._app = app
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
                return
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        sent = headers.get(b"x-request-id", b"")
        request_id = sent if REQUEST_ID.fullmatch(sent) else secrets.token_hex(16).encode()
        context = scope["context"] = RequestContext(request_id.decode(), scope["path"])
        tracer = NO_TRACER if context.path in UNLOGGED_PATHS else self._server.tracing.tracer

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                context.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
                if self._server.draining:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        with request_span(tracer, headers.get(b"traceparent", b"").decode("latin-1")) as context.span:
            await self._respond(context, scope, receive, answer)

    async def _respond(self, context: RequestContext, scope: Scope, receive: Receive, answer: Send) -> None:
        try:
            await self._app(scope, receive, answer)
        except ClientDisconnected:
            context.status = context.status or HUNG_UP
            context.failure = "hung_up"
        except ResponseAborted:
            pass  # incomplete: uvicorn closes the connection
        except asyncio.CancelledError:  # only uvicorn cancels, when the time for draining is over
            context.failure = context.failure or Draining.code
            if not context.status:
                error = Draining("This replica shut down before the response began.")
                await error_response(error, context.request_id)(scope, receive, answer)
        except Exception as error:
            context.failure = context.failure or "internal_error"
            log.exception("request failed", request_id=context.request_id)
            if not context.status:
                await error_response(error, context.request_id)(scope, receive, answer)
        finally:
            self._account(context, scope)

    def _account(self, context: RequestContext, scope: Scope) -> None:
        duration = time.monotonic() - context.account.begun
        tenant = context.caller.share.tenant or self._own_tenant(context)
        if context.speech:
            self._measure(context, tenant, duration)
        if context.path in UNLOGGED_PATHS:
            return
        route = context.path if context.speech else getattr(scope.get("route"), "path", UNKNOWN)
        fields = {"tenant": tenant, "request_id": context.request_id, "route": route, "status": context.status}
        if context.speech:
            account = context.account
            fields |= {"text_len": account.text_characters, "model": account.model, "voice": account.voice}
            fields |= {"audio_seconds": round(account.audio_seconds, 3)}
            if account.spoken_by:
                fields["spoken_by"] = account.spoken_by
        if context.caller.key:
            fields["key_name"] = shown_name(context.caller.key)
        if context.failure:
            fields["error"] = context.failure
        if context.span.is_recording():
            _trace(context, fields)
        level = log.error if context.is_server_failure else log.info
        level("request", **fields, duration=round(duration, 4))

    def _own_tenant(self, context: RequestContext) -> str:
        """Tenant label of a request that was not authenticated."""
        snapshot = (context.tenant_server or self._server).snapshot
        return snapshot.config.tenant if snapshot is not None else UNKNOWN

    def _measure(self, context: RequestContext, tenant: str, duration: float) -> None:
        metrics, account = self._server.metrics, context.account
        metrics.requests_of(tenant, account.model, account.voice, str(context.status)).inc()
        if context.is_cut:
            metrics.replies_cut.labels(tenant, account.model, context.failure).inc()
        timings = metrics.timings(tenant, account.model)
        exemplar = {"trace_id": trace_id(context.span)} if context.span.is_recording() else None
        if account.first_audio is not None:  # cached audio has no first audio
            timings.first_audio.observe(account.first_audio - account.begun, exemplar)
        if account.first_byte is not None:
            timings.first_byte.observe(account.first_byte - account.begun)
            timings.latency.observe(duration, exemplar)
            timings.audio_seconds.inc(account.spoken_seconds)


ATTRIBUTES = {
    "route": "http.route", "status": "http.response.status_code", "text_len": "tts.text_characters",
}  # fmt: skip
"""Names in a trace of the log's fields that are not `tts.` and their own name."""


def _trace(context: RequestContext, fields: dict[str, object]) -> None:
    """Copy the log's fields to the span, and the trace id to the log."""
    for name, value in fields.items():
        if isinstance(value, str | int | float):
            context.span.set_attribute(ATTRIBUTES.get(name, f"tts.{name}"), value)
    if context.account.cache:
        context.span.set_attribute("tts.cache", context.account.cache)
    if context.is_server_failure:
        fail(context.span, context.failure)
    fields["trace_id"] = trace_id(context.span)
