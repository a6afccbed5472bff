"""Answers requests on the ports of tenants: holds them until a pod is ready, then passes them on."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from aiohttp import web

from tts_operator.clock import Clock
from tts_operator.objects.keys import Key
from tts_operator.telemetry.waker_metrics import WakerMetrics
from tts_operator.waker import answers
from tts_operator.waker.answers import Answer, PassOn, Wait, decide
from tts_operator.waker.budget import Budget
from tts_operator.waker.passing import NotDelivered, Passed, Passer
from tts_operator.waker.tenants import Pod, Tenant, Tenants
from tts_operator.waker.wakes import Wakes

log = structlog.get_logger()

RECHECK_SECONDS = 1.0
"""Longest time until a held request is decided on again: its time may be over, or a pod may take it now."""
BODY_SECONDS = 30.0
"""Longest time for the body of a request, seconds."""
MAX_HEAD_BYTES = 32_768
"""Most bytes of a request's target and headers."""
MAX_FIELD_BYTES, MAX_FIELDS = 8190, 100
"""Most bytes of the target or of one header, and most headers, beyond which the head is not read to its end."""
COPIES_OF_HEAD = 2
"""Copies of the headers that a request in memory has: as they came, and decoded."""


class Arrivals:
    """Wakes those who wait for a change of one tenant."""

    def __init__(self) -> None:
        self._waiting: defaultdict[Key | None, set[asyncio.Event]] = defaultdict(set)

    def changed(self, key: Key | None) -> None:
        """Wake everyone who waits for this tenant, or for one that is not known yet; for None everyone."""
        keys = list(self._waiting) if key is None else (key, None)
        for each in keys:
            for event in self._waiting.get(each, ()):
                event.set()

    async def wait(self, key: Key | None, seconds: float) -> None:
        """Return at the next change, or after this time."""
        event = asyncio.Event()
        self._waiting[key].add(event)
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting[key].discard(event)
            if not self._waiting[key]:
                del self._waiting[key]


@dataclass(frozen=True)
class Parts:
    """Everything that requests share."""

    tenants: Tenants
    arrivals: Arrivals
    wakes: Wakes
    passer: Passer
    budget: Budget
    metrics: WakerMetrics
    clock: Clock
    max_body_bytes: int


class Refused(Exception):  # noqa: N818 - names what happened
    """The waker answers the request itself."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.code)
        self.answer = answer


class _Held:
    """One request of a port, from its arrival on."""

    def __init__(self, request: web.BaseRequest, port: int, parts: Parts) -> None:
        self._request = request
        self._port = port
        self._parts = parts
        self._arrived = parts.clock.monotonic()
        self._attempts = 0
        tenant = parts.tenants.at(port)
        self._key = tenant.key if tenant else None
        self._uid = tenant.uid if tenant else ""
        self._size = 0

    @property
    def waited_seconds(self) -> float:
        return self._parts.clock.monotonic() - self._arrived

    async def answer(self) -> web.StreamResponse:
        """The answer of a pod. Raises Refused."""
        if self._request.method == "CONNECT" or not self._request.raw_path.startswith("/"):
            raise Refused(answers.malformed_target())
        size = head_bytes(self._request)
        if size > MAX_HEAD_BYTES:
            raise Refused(answers.head_too_large(MAX_HEAD_BYTES))
        async with self._admitted():
            self._charge(COPIES_OF_HEAD * size)
            body = await self._body()
            while True:
                tenant, pod = await self._pod()
                response = await self._try(Passed(self._request, body), tenant, pod)
                if response is not None:
                    return response

    @asynccontextmanager
    async def _admitted(self) -> AsyncIterator[None]:
        budget = self._parts.budget
        if not budget.admit(self._key):
            raise Refused(answers.overloaded("requests"))
        try:
            yield
        finally:
            budget.release(self._key, self._size)

    def _charge(self, size: int) -> None:
        """Count bytes that are kept until the answer has been passed on. Raises Refused."""
        if not self._parts.budget.charge(self._key, size):
            raise Refused(answers.overloaded("bytes of requests"))
        self._size += size

    async def _body(self) -> bytes:
        """Read the body, within the limits. Raises Refused."""
        request, most = self._request, self._parts.max_body_bytes
        if (request.content_length or 0) > most:
            raise Refused(answers.too_large(most))
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in request.content.iter_any():
                    if len(body) + len(chunk) > most:
                        raise Refused(answers.too_large(most))
                    self._charge(len(chunk))
                    body += chunk
        except TimeoutError:
            raise Refused(Answer(408, "body_too_slow", f"The body took longer than {BODY_SECONDS:g} s.")) from None
        return bytes(body)

    async def _pod(self) -> tuple[Tenant, Pod]:
        """Wait for a pod. Raises Refused."""
        parts = self._parts
        while True:
            tenant = parts.tenants.at(self._port)
            if tenant is not None and self._uid and tenant.uid != self._uid:
                raise Refused(Answer(503, "unknown_endpoint", "This endpoint has just been deleted.", 1))
            pods = parts.tenants.pods(tenant.key) if tenant else ()
            decision = decide(tenant, self._request.path, self.waited_seconds, parts.clock.now(), ready=bool(pods))
            match decision:
                case PassOn() if tenant is not None:
                    self._uid = tenant.uid
                    self._attempts += 1
                    return tenant, pods[self._attempts % len(pods)]
                case Answer():
                    raise Refused(decision)
                case Wait(ask=True) if tenant is not None:
                    parts.wakes.ask(tenant)
            await parts.arrivals.wait(tenant.key if tenant else None, RECHECK_SECONDS)

    async def _try(self, passed: Passed, tenant: Tenant, pod: Pod) -> web.StreamResponse | None:
        """Pass the request on. None if it is to be tried again; nothing of an answer has been sent then.

        A pod that answers 503 has not begun to work on it: many requests that waited arrive at a new pod at once.
        """
        parts = self._parts
        may_wait = self.waited_seconds < tenant.max_wait_seconds
        waited = self.waited_seconds
        try:
            answer = await parts.passer.open(passed, pod)
        except NotDelivered as error:
            log.info("pod not reached", tenant=str(tenant.key), pod=pod.address, error=str(error))
            if not may_wait:
                raise Refused(answers.unreachable()) from error
            await parts.arrivals.wait(tenant.key, RECHECK_SECONDS)
            return None
        if answer.status == HTTPStatus.SERVICE_UNAVAILABLE and may_wait:
            answer.release()
            await parts.arrivals.wait(tenant.key, RECHECK_SECONDS)
            return None
        parts.metrics.hold.observe(waited)
        return await parts.passer.relay(passed, answer)


class TenantServer:
    """Handles the requests of every port."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.server = web.Server(
            self._handle,
            handler_cancellation=True,
            auto_decompress=False,
            keepalive_timeout=5.0,
            access_log=None,
            max_line_size=MAX_FIELD_BYTES,
            max_field_size=MAX_FIELD_BYTES,
            max_headers=MAX_FIELDS,
        )

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        metrics = self._parts.metrics
        transport = request.transport
        port = transport.get_extra_info("sockname")[1] if transport is not None else 0
        try:
            response = await _Held(request, port, self._parts).answer()
        except Refused as refused:
            metrics.requests.labels(refused.answer.code).inc()
            return error_response(refused.answer)
        metrics.requests.labels("passed").inc()
        return response


def head_bytes(request: web.BaseRequest) -> int:
    """Bytes of a request's target and headers."""
    return len(request.raw_path) + sum(len(name) + len(value) for name, value in request.raw_headers)


def error_response(answer: Answer) -> web.Response:
    """An error as HTTP. Every answer ends its connection, so that the next request finds the pods if they are ready."""
    request_id = f"req_{uuid.uuid4().hex}"
    response = web.Response(
        status=answer.status,
        body=answer.body(request_id),
        content_type="application/json",
        headers={"X-Request-ID": request_id},
    )
    if answer.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(answer.retry_after_seconds)
    response.force_close()
    return response
