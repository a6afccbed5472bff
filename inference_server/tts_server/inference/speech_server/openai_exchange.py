"""OpenAI's speech API: `POST {url}/v1/audio/speech`, as most speech servers have it."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Mapping

import aiohttp
from yarl import URL

from tts_server.inference.speech_server.api_key import APIKey
from tts_server.inference.speech_server.exchange import AnswerPart, ServerConnection, SpeechCall
from tts_server.inference.speech_server.faults import ServerFault, fault_of_answer
from tts_server.inference.speech_server.public_resolver import PublicResolver, refuse_local_literal
from tts_server.tls import TlsTrustStore

SPEEDS = (0.25, 4.0)
"""Range of `speed`."""
LARGEST_REFUSAL_BYTES = 16_384
OK = 200
KEEPALIVE_SECONDS = 5.0
"""How long a connection stays open unused: less than the servers' own limit, which closes it under a request."""
HEADERS = {
    "Content-Type": "application/json",
    "Accept": "audio/*",
    "Accept-Encoding": "identity",
    "User-Agent": "tts-server",
}


class OpenAIExchange:
    """`Exchange` over HTTP/1.1, without redirects, cookies and a proxy of the environment."""

    def __init__(self, connection: ServerConnection) -> None:
        self._url = URL(connection.url, encoded=True)
        self.key = APIKey(connection.api_key_file)
        self._trust = TlsTrustStore(connection.ca_file, needed=True) if self._url.scheme == "https" else None
        self._connect_timeout_seconds = connection.connect_timeout_seconds
        self._refuse_local = connection.refuse_local_addresses
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        context: ssl.SSLContext | bool = await asyncio.to_thread(self._trust.context) if self._trust else True
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=KEEPALIVE_SECONDS,
            ssl=context,
            resolver=PublicResolver() if self._refuse_local else aiohttp.ThreadedResolver(),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            # The client limits the waits for audio: those are no waits for one read.
            timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_timeout_seconds),
        )

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def call(self, call: SpeechCall) -> AsyncGenerator[AnswerPart]:
        session = self._session
        if session is None:
            raise ServerFault("cut", began=True)
        if self._refuse_local:
            refuse_local_literal(self._url.host or "")
        began = False
        try:
            async with session.post(
                self._url, data=body_of(call), headers=self._headers(), allow_redirects=False
            ) as response:
                began = True
                if response.status != OK:
                    raise fault_of_answer(response.status, response.headers, await _beginning(response))
                yield AnswerPart(b"", response.headers.get("Content-Type", ""))
                async for data in response.content.iter_any():
                    yield AnswerPart(data)
                if session.closed:  # an answer without a length seems to be complete
                    raise ServerFault("cut", began=True)
        except aiohttp.ClientError as error:
            raise ServerFault(word_of(error), began=began) from error
        except UnicodeError as error:  # a host with a label that is empty or too long
            raise ServerFault("unreachable") from error
        except RuntimeError as error:
            if not session.closed:
                raise
            raise ServerFault("cut", began=True) from error

    def _headers(self) -> Mapping[str, str]:
        key = self.key.read()
        return {"Authorization": f"Bearer {key}"} if key else {}


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


WORDS: tuple[tuple[type[aiohttp.ClientError], str], ...] = (
    (aiohttp.ServerTimeoutError, "connect_timeout"),
    (aiohttp.ClientSSLError, "tls_failed"),
    (aiohttp.ClientConnectorDNSError, "unknown_host"),
    (aiohttp.ClientConnectorError, "unreachable"),
    (aiohttp.ClientResponseError, "bad_http"),
)
"""The word by the error, the first that matches; any other is `cut`."""


def word_of(error: aiohttp.ClientError) -> str:
    """The word for a failed exchange."""
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, ConnectionRefusedError):
        return "connection_refused"
    return next((word for kind, word in WORDS if isinstance(error, kind)), "cut")


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """The body of a refusal, as far as it may matter."""
    body = b""
    async for data in response.content.iter_any():
        body += data
        if len(body) > LARGEST_REFUSAL_BYTES:
            break
    return body
