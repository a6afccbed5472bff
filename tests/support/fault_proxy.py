"""A proxy in front of the API server that refuses, freezes or cuts what a test asks for, or what a seed chooses."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web

from hack.cluster.control_plane import ControlPlane
from tests.support.api_faults import ApiFault, Call, FaultPlan, Verb, call_of
from tests.support.watch_faults import EXPIRED_LINE, CutOffError, EndOfWatchError, WatchFault, metadata_of
from tts_operator.objects.fields import decimal

HOP_BY_HOP = {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "authorization"}
HANG_SECONDS = (2.0, 8.0)
"""Shortest and longest time after which the connection of a request that hangs is cut."""
RETRY_AFTER_SECONDS = 1
OLDER_ANSWERS = 4
TOO_MANY = 429
REFUSALS = {
    ApiFault.CONFLICT: (
        409,
        "Conflict",
        "the object has been modified; please apply your changes to the latest version",
    ),
    ApiFault.EXPIRED: (410, "Expired", "too old resource version"),
    ApiFault.THROTTLED: (429, "TooManyRequests", "the server has received too many requests"),
    ApiFault.INTERNAL: (500, "InternalError", "etcdserver: leader changed"),
    ApiFault.UNAVAILABLE: (503, "ServiceUnavailable", "apiserver not ready"),
    ApiFault.DONE_BUT_FAILED: (500, "InternalError", "etcdserver: request timed out"),
}
"""HTTP status, reason and message of each fault that is an answer."""


class Answer(NamedTuple):
    """Whole answer of the API server."""

    status: int
    content_type: str
    content: bytes


@dataclass
class FaultProxy:
    """Plain HTTP in front of TLS with a user's client certificate."""

    upstream: str
    session: aiohttp.ClientSession
    refusals: dict[str, list[int]] = field(default_factory=dict)
    """HTTP statuses with which the next watches of a plural are answered."""
    refused_plurals: dict[str, int] = field(default_factory=dict)
    """HTTP statuses with which every watch of a plural is answered."""
    retry_after_seconds: int | None = None
    """Time that a refusal with 429 of these watches asks to wait."""
    frozen: bool = False
    """Watches deliver nothing and never end, those that are open and new ones."""
    frozen_plurals: frozenset[str] = frozenset()
    """Plurals whose watches alone are frozen."""
    token: str | None = None
    """Token that every request must carry; any other, or none, is answered with 401."""
    plan: FaultPlan | None = None
    url: str = ""
    expired: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """The newest version of each collection that is too old."""
    older: defaultdict[str, deque[Answer]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=OLDER_ANSWERS))
    )

    async def handle(self, request: web.Request) -> web.StreamResponse:
        call = call_of(request.method, request.path, watch="watch" in request.query)
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            return refusal(401)
        if call.verb is Verb.WATCH and self.refusals.get(call.resource):
            return refusal(self.refusals[call.resource].pop(0))
        if call.verb is Verb.WATCH and (status := self.refused_plurals.get(call.resource)):
            return refusal(status, retry_after_seconds=self.retry_after_seconds if status == TOO_MANY else None)
        fault = self.plan.fault_of(call) if self.plan else None
        try:
            if call.verb is Verb.WATCH:
                return await self._watch(request, call, fault)
            return await self._exchange(request, call, fault)
        except (aiohttp.ClientError, OSError):
            return cut(request)  # as if the API server itself had ended

    async def _exchange(self, request: web.Request, call: Call, fault: ApiFault | None) -> web.StreamResponse:
        """Answer anything but a watch."""
        body = await request.read()
        if fault is ApiFault.HANG:
            assert self.plan is not None
            await asyncio.sleep(self.plan.chance.uniform(*HANG_SECONDS))
            return cut(request)
        if fault in REFUSALS and fault is not ApiFault.DONE_BUT_FAILED:
            return told(fault, request.method)
        if fault is ApiFault.STALE_LISTS and self.older[request.raw_path]:
            assert self.plan is not None
            return whole(self.plan.chance.choice(self.older[request.raw_path]))
        answer = await self._forwarded(request, body)
        if self.plan is not None and self.plan.remembers_lists and call.verb is Verb.LIST and answer.status == 200:
            self.older[request.raw_path].append(answer)
        if fault is ApiFault.DONE_BUT_FAILED:
            assert self.plan is not None
            return told(fault, request.method) if self.plan.chance.random() < 0.5 else cut(request)
        if fault is ApiFault.CUT_BODY:
            return await cut_body(request, answer)
        return whole(answer)

    async def _forwarded(self, request: web.Request, body: bytes) -> Answer:
        async with self.session.request(
            request.method, self.upstream + request.raw_path, headers=forwarded_headers(request), data=body or None
        ) as answer:
            return Answer(answer.status, answer.content_type, await answer.read())

    async def _watch(self, request: web.Request, call: Call, fault: ApiFault | None) -> web.StreamResponse:
        began_at = decimal(request.query.get("resourceVersion", ""))
        if 0 < began_at <= self.expired[collection_of(request)]:
            return told(ApiFault.EXPIRED, request.method)
        if fault in REFUSALS and (fault is not ApiFault.EXPIRED or self._chance_of_half()):
            if fault is ApiFault.EXPIRED:
                self._expire(request, began_at)
            return told(fault, request.method)
        async with self.session.get(self.upstream + request.raw_path, headers=forwarded_headers(request)) as answer:
            reply = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
            await reply.prepare(request)
            if self.plan is None:
                await self._copy(reply, answer, call.resource)
            else:
                try:
                    async with events_of(answer) as lines:
                        spoiled = WatchFault(fault, lines, self.plan.chance, self._active)
                        async for line in spoiled.events():
                            if line == EXPIRED_LINE:
                                self._expire(request, began_at)
                            await reply.write(line)
                            if fault is ApiFault.EXPIRED:
                                began_at = max(began_at, decimal(metadata_of(line).get("resourceVersion", "")))
                except CutOffError as error:
                    await reply.write(error.last)
                    cut(request)
                    return reply
            await reply.write_eof()
            return reply

    async def _copy(self, reply: web.StreamResponse, answer: aiohttp.ClientResponse, plural: str) -> None:
        async for chunk in answer.content.iter_any():
            if not self._is_frozen(plural):
                await reply.write(chunk)
        if self._is_frozen(plural):
            await asyncio.Event().wait()

    def _expire(self, request: web.Request, version: int) -> None:
        """Let no watch of this collection begin at the version, or before it: what is too old remains so."""
        collection = collection_of(request)
        self.expired[collection] = max(self.expired[collection], version)

    def _is_frozen(self, plural: str) -> bool:
        return self.frozen or plural in self.frozen_plurals

    def _active(self) -> bool:
        return self.plan is not None and self.plan.active

    def _chance_of_half(self) -> bool:
        return self.plan is not None and self.plan.chance.random() < 0.5

    def kubeconfig(self, file: Path) -> Path:
        """Kubeconfig of a client that goes through the proxy, with the token of now. It is never half written."""
        user = {"token": self.token} if self.token is not None else {}
        draft = file.with_suffix(".draft")
        draft.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "proxy",
                    "clusters": [{"name": "proxy", "cluster": {"server": self.url}}],
                    "users": [{"name": "proxy", "user": user}],
                    "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
                }
            )
        )
        draft.rename(file)
        return file


class EventLines:
    """Lines of a watch, read ahead, so that to wait for one with a timeout loses none."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def read(self, content: aiohttp.StreamReader) -> None:
        """Read until the end of the watch."""
        rest = b""
        try:
            async for chunk in content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._lines.put_nowait(line + b"\n")
        except (aiohttp.ClientError, OSError):
            pass
        self._lines.put_nowait(None)

    async def next(self, within_seconds: float | None = None) -> bytes | None:
        try:
            line = await asyncio.wait_for(self._lines.get(), within_seconds)
        except TimeoutError:
            return None
        if line is None:
            self._lines.put_nowait(None)
            raise EndOfWatchError
        return line


@asynccontextmanager
async def events_of(answer: aiohttp.ClientResponse) -> AsyncIterator[EventLines]:
    """Read a watch for as long as the block lasts."""
    lines = EventLines()
    reading = asyncio.create_task(lines.read(answer.content))
    try:
        yield lines
    finally:
        reading.cancel()
        await asyncio.wait({reading})


def forwarded_headers(request: web.Request) -> dict[str, str]:
    """Headers of a request without those of its connection. The API server is not to compress long lists."""
    kept = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
    return {**kept, "Accept-Encoding": "identity"}


def collection_of(request: web.Request) -> str:
    """The objects that a watch is about."""
    return f"{request.path}?{request.query.get('labelSelector', '')}"


def whole(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, body=answer.content, headers={"Content-Type": answer.content_type})


def cut(request: web.Request) -> web.Response:
    """Cut the connection. Nobody receives the response."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def cut_body(request: web.Request, answer: Answer) -> web.StreamResponse:
    """Send half of an answer, and cut the connection."""
    headers = {"Content-Type": answer.content_type, "Content-Length": str(len(answer.content))}
    reply = web.StreamResponse(status=answer.status, headers=headers)
    await reply.prepare(request)
    await reply.write(answer.content[: len(answer.content) // 2])
    cut(request)
    return reply


def told(fault: ApiFault, method: str) -> web.Response:
    """Answer that says that this fault happened."""
    code, reason, message = REFUSALS[fault]
    if fault is ApiFault.CONFLICT and method == "POST":
        reason = "AlreadyExists"
    if fault is not ApiFault.THROTTLED:
        return refusal(code, reason, message)
    return refusal(code, reason, message, retry_after_seconds=RETRY_AFTER_SECONDS)


def refusal(code: int, reason: str = "", message: str = "", retry_after_seconds: int | None = None) -> web.Response:
    """Status object with an HTTP status, as the API server sends it."""
    status: dict[str, Any] = {"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": code}
    status |= {"message": message or f"refused with {code}"} | ({"reason": reason} if reason else {})
    headers = {}
    if retry_after_seconds is not None:
        status["details"] = {"retryAfterSeconds": retry_after_seconds}
        headers["Retry-After"] = str(retry_after_seconds)
    return web.json_response(status, status=code, headers=headers)


@asynccontextmanager
async def fault_proxy(
    plane: ControlPlane, user: str, *groups: str, plan: FaultPlan | None = None
) -> AsyncIterator[FaultProxy]:
    """A proxy that acts as this user, on a free port until the block ends."""
    client = plane.authority.issue(user, user, groups=groups)
    tls = ssl.create_default_context(cafile=plane.authority.pair.certificate)
    tls.load_cert_chain(client.certificate, client.key)
    connector = aiohttp.TCPConnector(ssl=tls, limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
        proxy = FaultProxy(plane.server, session, plan=plan)
        app = web.Application(client_max_size=16 * 2**20)
        app.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield proxy
        finally:
            await runner.cleanup()
