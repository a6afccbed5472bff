"""OpenAI's speech API: `POST {url}/v1/audio/speech`, as most speech servers have it."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

import httpx

from tts_server.inference.speech_server.api_key import APIKey
from tts_server.inference.speech_server.connection_pool import ConnectionPool
from tts_server.inference.speech_server.exchange import AnswerPart, ServerConnection, SpeechCall
from tts_server.inference.speech_server.faults import ServerFault, fault_of_answer
from tts_server.inference.speech_server.http_connection import HTTPConnection
from tts_server.tls import TlsTrustStore

SPEEDS = (0.25, 4.0)
"""Range of `speed`."""
LARGEST_REFUSAL_BYTES = 16_384
OK = 200
PORTS = {"http": 80, "https": 443}


class OpenAIExchange:
    """`Exchange` over HTTP/1.1, without redirects and without a proxy of the environment."""

    def __init__(self, connection: ServerConnection) -> None:
        url = httpx.URL(connection.url)
        self._host, self._port = url.raw_host.decode("ascii"), url.port or PORTS[url.scheme]
        self._head = b"\r\n".join(
            [
                b"POST %b HTTP/1.1" % url.raw_path,
                b"Host: %b" % url.netloc,
                b"Content-Type: application/json",
                b"Accept: audio/*",
                b"Accept-Encoding: identity",
                b"User-Agent: tts-server",
            ]
        )
        self._connection = connection
        self.key = APIKey(connection.api_key_file)
        self._trust = TlsTrustStore(connection.ca_file, needed=True) if url.scheme == "https" else None
        self._pool: ConnectionPool | None = None

    async def open(self) -> None:
        self._pool = ConnectionPool(
            self._host,
            self._port,
            context=await asyncio.to_thread(self._trust.context) if self._trust else None,
            connect_timeout_seconds=self._connection.connect_timeout_seconds,
            refuse_local_addresses=self._connection.refuse_local_addresses,
        )

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    async def call(self, call: SpeechCall) -> AsyncGenerator[AnswerPart]:
        if self._pool is None:
            raise ServerFault("cut", began=True)
        request = self._request(body_of(call))
        async with self._pool.connection() as connection:
            await connection.ask(request)
            if connection.status != OK:
                raise fault_of_answer(connection.status, connection.headers, await _beginning(connection))
            yield AnswerPart(b"", connection.headers.get("content-type", ""))
            async with aclosing(connection.parts()) as parts:
                async for data in parts:
                    yield AnswerPart(data)

    def _request(self, body: bytes) -> bytes:
        key = self.key.read()
        authorization = f"\r\nAuthorization: Bearer {key}" if key else ""
        return b"%b%b\r\nContent-Length: %d\r\n\r\n%b" % (self._head, authorization.encode("ascii"), len(body), body)


def body_of(call: SpeechCall) -> bytes:
    """The request's body. In ASCII: a client's JSON may hold a lone surrogate, which UTF-8 cannot."""
    fields = {
        **call.fields,
        "model": call.model,
        "input": call.text,
        "voice": call.voice,
        "response_format": call.response_format,
        "speed": call.speed,
    }
    return json.dumps(fields).encode("ascii")


async def _beginning(connection: HTTPConnection) -> bytes:
    """The body of a refusal, as far as it may matter."""
    body = b""
    async with aclosing(connection.parts()) as parts:
        async for data in parts:
            body += data
            if len(body) > LARGEST_REFUSAL_BYTES:
                break
    return body
