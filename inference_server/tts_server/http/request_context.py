"""Around every request: its id, its line in the log, its metrics, and an answer whatever happens inside.

Plain ASGI, because a streamed reply passes through it chunk by chunk.
"""

import asyncio
import re
import time
import uuid
from dataclasses import dataclass, field

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tts_server.auth.authenticate import Caller
from tts_server.errors import Draining
from tts_server.http.errors import error_response
from tts_server.pipeline.request import Account
from tts_server.pipeline.server import Server
from tts_server.telemetry.metrics import UNKNOWN
from tts_server.telemetry.tracing import NO_SPAN, Span

log = structlog.get_logger(__name__)

REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
QUIET = frozenset({"/healthz", "/readyz"})
"""Asked every second by the kubelet. Why a server is not ready is logged by what makes it so."""
HUNG_UP = 499
"""In metrics and logs, as nginx has it: the caller left before the answer began."""
CALLERS_OWN = frozenset({"hung_up", "slow_reader"})
"""Codes of replies that broke off because of whoever should have heard them."""


class HungUp(Exception):  # noqa: N818 - it is no error of ours
    """The caller closed the connection: there is nobody to answer."""


class CutOff(Exception):  # noqa: N818 - the error is its cause
    """A reply that has begun cannot be finished: its connection is closed without the end of the body."""


@dataclass(slots=True)
class Conversation:
    """One request and its answer, as far as it has come."""

    request_id: str
    path: str
    """As the caller wrote it: nothing to log or count, unless a route without parameters was found for it."""
    account: Account = field(default_factory=Account)
    speech: bool = False
    """Whether it asks for speech: counted and timed."""
    caller: Caller = field(default_factory=Caller)
    status: int = 0
    failure: str = ""
    """Code of what went wrong, if anything did."""
    span: Span = NO_SPAN
    """All of it, where it is traced."""

    @property
    def broke_off(self) -> bool:
        """Whether a good answer was on its way, and did not come to its end."""
        return bool(self.failure) and self.status < 400

    @property
    def failed_here(self) -> bool:
        """Whether it went wrong by no doing of its caller."""
        return self.status >= 500 or (self.broke_off and self.failure not in CALLERS_OWN)


def conversation_of(scope: Scope) -> Conversation:
    """The conversation that a request belongs to."""
    found: Conversation = scope["conversation"]
    return found


class Conversations:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, server: Server) -> None:
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
        given = headers.get(b"x-request-id", b"")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex.encode()
        talk = scope["conversation"] = Conversation(request_id.decode(), scope["path"])
        if talk.path not in QUIET:
            talk.span = self._server.tracer.request(headers.get(b"traceparent", b"").decode("latin-1"))

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                talk.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
                if self._server.draining:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        with talk.span:
            await self._converse(talk, scope, receive, answer)

    async def _converse(self, talk: Conversation, scope: Scope, receive: Receive, answer: Send) -> None:
        try:
            await self._app(scope, receive, answer)
        except HungUp:
            talk.status = talk.status or HUNG_UP
            talk.failure = "hung_up"
        except CutOff:
            pass  # unfinished: the server closes the connection
        except asyncio.CancelledError:  # only the end of the server cancels: its time to drain is over
            talk.failure = talk.failure or Draining.code
            if not talk.status:
                error = Draining("This replica has ended before there was an answer.")
                await error_response(error, talk.request_id)(scope, receive, answer)
        except Exception as error:
            talk.failure = talk.failure or "internal_error"
            log.exception("request failed", request_id=talk.request_id)
            if not talk.status:
                await error_response(error, talk.request_id)(scope, receive, answer)
        finally:
            self._account(talk, scope)

    def _account(self, talk: Conversation, scope: Scope) -> None:
        duration = time.monotonic() - talk.account.begun
        tenant = talk.caller.share.tenant or self._own_tenant()
        if talk.speech:
            self._measure(talk, tenant, duration)
        if talk.path in QUIET:
            return
        route = talk.path if talk.speech else getattr(scope.get("route"), "path", UNKNOWN)
        fields = {"tenant": tenant, "request_id": talk.request_id, "route": route, "status": talk.status}
        if talk.speech:
            account = talk.account
            fields |= {"text_len": account.text_characters, "model": account.model, "voice": account.voice}
            fields |= {"audio_seconds": round(account.audio_seconds, 3)}
            if account.spoken_by:
                fields["spoken_by"] = account.spoken_by
        if talk.caller.key:
            fields["key_name"] = talk.caller.key
        if talk.failure:
            fields["error"] = talk.failure
        if talk.span.trace_id:
            _trace(talk, fields)
        level = log.error if talk.failed_here else log.info
        level("request", **fields, duration=round(duration, 4))

    def _own_tenant(self) -> str:
        """Whose a request is that nobody has let in."""
        return self._server.scene.config.tenant if self._server.scene is not None else UNKNOWN

    def _measure(self, talk: Conversation, tenant: str, duration: float) -> None:
        metrics, account = self._server.metrics, talk.account
        metrics.requests_of(tenant, account.model, account.voice, str(talk.status)).inc()
        if talk.broke_off:
            metrics.replies_cut.labels(tenant, account.model, talk.failure).inc()
        timings = metrics.timings(tenant, account.model)
        exemplar = {"trace_id": talk.span.trace_id} if talk.span.trace_id else None
        if account.first_audio is not None:  # cached audio has none
            timings.first_audio.observe(account.first_audio - account.begun, exemplar)
        if account.first_byte is not None:
            timings.first_byte.observe(account.first_byte - account.begun)
            timings.latency.observe(duration, exemplar)
            timings.audio_seconds.inc(account.spoken_seconds)


ATTRIBUTES = {
    "route": "http.route", "status": "http.response.status_code", "text_len": "tts.text_characters",
}  # fmt: skip
"""What the log's fields are called in a trace, where that is not `tts.` and their own name."""


def _trace(talk: Conversation, fields: dict[str, object]) -> None:
    """The span says what the log says, and each names the other."""
    for name, value in fields.items():
        if isinstance(value, str | int | float):
            talk.span.note(ATTRIBUTES.get(name, f"tts.{name}"), value)
    if talk.account.cache:
        talk.span.note("tts.cache", talk.account.cache)
    if talk.failed_here:
        talk.span.failed(talk.failure)
    fields["trace_id"] = talk.span.trace_id
