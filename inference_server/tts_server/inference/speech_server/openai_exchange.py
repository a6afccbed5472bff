"""OpenAI's speech API: `POST {url}/v1/audio/speech`, as most speech servers have it."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import Any

import httpx

from tts_server.config.hosts import is_local_text
from tts_server.inference.speech_server.api_key import APIKey
from tts_server.inference.speech_server.exchange import AnswerPart, ServerConnection, SpeechCall
from tts_server.inference.speech_server.faults import ServerFault, fault_of_answer
from tts_server.tls import TlsTrustStore

SPEEDS = (0.25, 4.0)
"""Range of `speed`."""
LARGEST_REFUSAL_BYTES = 16_384
KEEPALIVE_SECONDS = 5.0
"""How long a connection stays open unused: less than the servers' own limit, which closes it under a request."""


class OpenAIExchange:
    """`Exchange` over HTTP/1.1, without redirects and without a proxy of the environment."""

    def __init__(self, connection: ServerConnection) -> None:
        self._url = connection.url
        self.key = APIKey(connection.api_key_file)
        self._trust = TlsTrustStore(connection.ca_file, needed=True) if connection.url.startswith("https:") else None
        # The client limits the waits for audio: those are no waits for one read.
        self._timeout = httpx.Timeout(None, connect=connection.connect_timeout_seconds)
        self._limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=64, keepalive_expiry=KEEPALIVE_SECONDS
        )
        self._extensions: dict[str, Any] = {"trace": _refuse_local} if connection.refuse_local_addresses else {}
        self._client: httpx.AsyncClient | None = None

    async def open(self) -> None:
        verify: ssl.SSLContext | bool = await asyncio.to_thread(self._trust.context) if self._trust else False
        self._client = httpx.AsyncClient(
            verify=verify, timeout=self._timeout, limits=self._limits, trust_env=False, follow_redirects=False
        )

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def call(self, call: SpeechCall) -> AsyncGenerator[AnswerPart]:
        if self._client is None:
            raise ServerFault("cut", began=True)
        began = False
        try:
            request = self._client.build_request(
                "POST", self._url, content=body_of(call), headers=self._headers(), extensions=self._extensions
            )
            async with aclosing(await self._client.send(request, stream=True)) as response:
                began = True
                if response.status_code != httpx.codes.OK:
                    raise fault_of_answer(response.status_code, response.headers, await _beginning(response))
                yield AnswerPart(b"", response.headers.get("content-type", ""))
                async for data in response.aiter_raw():
                    yield AnswerPart(data)
        except httpx.HTTPError as error:
            raise ServerFault(word_of(error), began=began) from error

    def _headers(self) -> Mapping[str, str]:
        key = self.key.read()
        headers = {"Content-Type": "application/json", "Accept": "audio/*", "Accept-Encoding": "identity"}
        return headers | ({"Authorization": f"Bearer {key}"} if key else {})


def body_of(call: SpeechCall) -> bytes:
    """The request's body. Not httpx's own JSON: that fails on a lone surrogate, which a client's JSON may hold."""
    fields = {
        **call.fields,
        "model": call.model,
        "input": call.text,
        "voice": call.voice,
        "response_format": call.response_format,
        "speed": call.speed,
    }
    return json.dumps(fields).encode("ascii")


def word_of(error: httpx.HTTPError) -> str:
    """The word for a failed connection."""
    if isinstance(error, httpx.ConnectTimeout):
        return "connect_timeout"
    if isinstance(error, httpx.ConnectError):
        causes = list(_causes(error))
        return next((word for kind, word in CAUSES if any(isinstance(each, kind) for each in causes)), "unreachable")
    if isinstance(error, httpx.RemoteProtocolError) and not _was_closed(error):
        return "bad_http"
    return "cut"


CAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (ssl.SSLError, "tls_failed"),
    (socket.gaierror, "unknown_host"),
    (ConnectionRefusedError, "connection_refused"),
)
"""The word by the operating system's error behind a connection that failed."""


def _was_closed(error: httpx.RemoteProtocolError) -> bool:
    """Whether the connection ended, and not the protocol. httpx tells the two apart by the message alone."""
    text = str(error)
    return "disconnected" in text or "closed connection" in text


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and all that led to it: anyio groups the errors of a host's addresses."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for each in error.exceptions:
                yield from _causes(each)
        error = error.__cause__ or error.__context__


async def _beginning(response: httpx.Response) -> bytes:
    """The body of a refusal, as far as it may matter."""
    body = b""
    async for data in response.aiter_raw():
        body += data
        if len(body) > LARGEST_REFUSAL_BYTES:
            break
    return body


async def _refuse_local(event: str, details: dict[str, Any]) -> None:
    """Check the connection in httpx's trace: before TLS begins, its other end is known."""
    if event == "connection.connect_tcp.complete":
        stream = details["return_value"]
        if is_local_text(str(stream.get_extra_info("server_addr")[0])):
            await stream.aclose()
            raise ServerFault("local_address")
