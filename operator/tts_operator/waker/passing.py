"""Passes a request on to a pod, and its answer back as it comes."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from tts_operator.waker.tenants import Pod

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
        "content-length",
    }
)
"""Headers that belong to one connection (RFC 9110, section 7.6.1), and those that the client library writes itself."""
CONNECT_SECONDS = 2.0
"""Longest time for a connection to a pod, seconds."""
SILENCE_SECONDS = 300.0
"""Longest silence of a pod, seconds."""
WRITE_SECONDS = 30.0
"""Longest time until a caller takes a part of an answer, seconds: one that does not read keeps a place no longer."""


class NotDelivered(Exception):  # noqa: N818 - names what happened
    """No answer began: another attempt may succeed."""


@dataclass(frozen=True)
class Busy:
    """A pod's 503: it has not begun to work on the request."""

    response: aiohttp.ClientResponse
    retry_after_seconds: float


@dataclass(frozen=True)
class Passed:
    """A request with its whole body."""

    request: web.BaseRequest
    body: bytes


class Passer:
    """Client of the pods."""

    def __init__(self, write_seconds: float = WRITE_SECONDS) -> None:
        self._write_seconds = write_seconds
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            connector=aiohttp.TCPConnector(limit=0, use_dns_cache=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def open(self, passed: Passed, pod: Pod) -> aiohttp.ClientResponse:
        """Send the request to a pod. The answer's body is not read yet. Raises NotDelivered."""
        request = passed.request
        try:
            return await self._session.request(
                request.method,
                pod_url(pod, request.raw_path),
                headers=_onward(request),
                data=passed.body or None,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NotDelivered(str(error) or type(error).__name__) from error

    async def relay(self, passed: Passed, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        """Send an answer back as it comes. An answer that breaks off is cut: it never ends as if it were whole."""
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=_end_to_end(answer))
        response.force_close()  # the next connection leads to the pods themselves
        if answer.content_length is not None and passed.request.method != "HEAD":
            response.content_length = answer.content_length
        try:
            async with asyncio.timeout(self._write_seconds):
                await response.prepare(passed.request)
            async for chunk in answer.content.iter_any():
                async with asyncio.timeout(self._write_seconds):
                    await response.write(chunk)
            async with asyncio.timeout(self._write_seconds):
                await response.write_eof()
        except (aiohttp.ClientError, TimeoutError, OSError):
            if passed.request.transport is not None:
                passed.request.transport.abort()
        finally:
            answer.release()
        return response


def pod_url(pod: Pod, target: str) -> URL:
    """The URL of a request's target at a pod, unchanged. The target is a path that begins with a slash, and a query."""
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        raise ValueError(f"no path: {target}")  # URL.build would take it for a part of the authority
    return URL.build(scheme="http", authority=pod.authority, path=path, query_string=query, encoded=True)


def _onward(request: web.BaseRequest) -> CIMultiDict[str]:
    headers = _without_hop_by_hop(request.headers.items(), request.headers.get("Connection", ""))
    before = headers.popall("X-Forwarded-For", [])
    if request.remote:
        headers["X-Forwarded-For"] = ", ".join((*before, request.remote))
    return headers


def _end_to_end(answer: aiohttp.ClientResponse) -> CIMultiDict[str]:
    return _without_hop_by_hop(answer.headers.items(), answer.headers.get("Connection", ""))


def _without_hop_by_hop(headers: Iterable[tuple[str, str]], connection: str) -> CIMultiDict[str]:
    named = {each.strip().lower() for each in connection.split(",")}
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in headers:
        if name.lower() not in HOP_BY_HOP | named:
            kept.add(name, value)
    return kept
