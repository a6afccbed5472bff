"""DashScope's WebSocket API for Sambert, as Alibaba Cloud publishes it and its Python SDK (dashscope) speaks it.

    client: run-task (model, format, sample rate, text)      server: task-started
                                                                     result-generated, and audio as binary messages
                                                                     task-finished, or task-failed with a code

A connection serves one task here: closing it is the only way to cancel one. A voice is a model there, so the name of
the voice is sent as the model.
"""

import asyncio
import json
import socket
import ssl
import uuid
from collections.abc import AsyncGenerator, Mapping
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus

from tts_server.config.hosts import is_local_text
from tts_server.inference.speech_server.api_key import APIKey
from tts_server.inference.speech_server.exchange import AnswerPart, ServerConnection, SpeechCall
from tts_server.inference.speech_server.faults import ServerFault, fault_of_answer
from tts_server.tls import TlsTrustStore

PATH = "/api-ws/v1/inference"
SPEEDS = (0.5, 2.0)
"""Range of `rate`."""
LARGEST_MESSAGE_BYTES = 4 * 1024 * 1024
FAULTS_BY_CODE: Mapping[str, str] = {
    "InvalidApiKey": "key_refused",
    "AccessDenied": "key_refused",
    "Arrearage": "key_refused",
    "ModelNotFound": "not_found",
    "Model.NotFound": "not_found",
    "InvalidParameter": "request_refused",
    "DataInspectionFailed": "text_refused",
    "Throttling": "too_many_requests",
}
"""Words by the part of `error_code` before its last dot, such as `Throttling.RateQuota`, or by all of it."""


class DashScopeExchange:
    """`Exchange` over one WebSocket for each call, without a proxy of the environment."""

    def __init__(self, connection: ServerConnection) -> None:
        parts = urlsplit(connection.url)
        self._host = parts.hostname or ""
        self._encrypted = parts.scheme == "https"
        self._port = parts.port or (443 if self._encrypted else 80)
        self._url = f"{'wss' if self._encrypted else 'ws'}://{parts.netloc}{parts.path.rstrip('/')}{PATH}"
        self._key = APIKey(connection.api_key_file)
        self._trust = TlsTrustStore(connection.ca_file, needed=True)
        self._connect_timeout_seconds = connection.connect_timeout_seconds
        self._refuse_local = connection.refuse_local_addresses
        self._context: ssl.SSLContext | None = None
        self._open = False
        self._connections: set[ClientConnection] = set()

    async def open(self) -> None:
        if self._encrypted:
            self._context = await asyncio.to_thread(self._trust.context)
        self._open = True

    async def close(self) -> None:
        self._open = False
        for connection in self._connections:
            connection.transport.abort()

    async def call(self, call: SpeechCall) -> AsyncGenerator[AnswerPart]:
        if not self._open:
            raise ServerFault("cut", began=True)
        connection = await self._connected()
        self._connections.add(connection)
        try:
            await connection.send(run_task(call))
            yield AnswerPart(b"", "audio/pcm" if call.response_format == "pcm" else "audio/wav")
            while (message := await connection.recv()) is not None:
                if isinstance(message, bytes):
                    yield AnswerPart(message)
                elif has_finished(message):
                    return
        except ConnectionClosed as error:
            raise ServerFault("cut", began=True) from error
        finally:
            self._connections.discard(connection)
            connection.transport.abort()  # at once: a closing handshake would wait for the server

    async def _connected(self) -> ClientConnection:
        key = self._key.read()
        headers = {"Authorization": f"bearer {key}"} if key else {}
        try:
            async with asyncio.timeout(self._connect_timeout_seconds):
                sock = await self._socket()
                return await connect(
                    self._url,
                    sock=sock,
                    ssl=self._context,
                    additional_headers=headers,
                    proxy=None,
                    compression=None,
                    max_size=LARGEST_MESSAGE_BYTES,
                )
        except TimeoutError as error:
            raise ServerFault("connect_timeout") from error
        except InvalidStatus as error:
            answer = error.response
            raise fault_of_answer(answer.status_code, answer.headers, bytes(answer.body or b"")) from error
        except InvalidMessage as error:
            raise ServerFault("bad_http", began=True) from error
        except InvalidHandshake as error:
            raise ServerFault("not_found", began=True) from error
        except ssl.SSLError as error:
            raise ServerFault("tls_failed") from error
        except socket.gaierror as error:
            raise ServerFault("unknown_host") from error
        except ConnectionRefusedError as error:
            raise ServerFault("connection_refused") from error
        except OSError as error:
            raise ServerFault("unreachable") from error

    async def _socket(self) -> socket.socket:
        """A connection to the first address that accepts one. Where local ones are refused, nothing is sent there."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        failure: OSError = OSError("the host has no address")
        for family, kind, protocol, _, address in found:
            if self._refuse_local and is_local_text(str(address[0])):
                raise ServerFault("local_address")
            sock = socket.socket(family, kind, protocol)
            sock.setblocking(False)
            try:
                await loop.sock_connect(sock, address)
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failure


def run_task(call: SpeechCall) -> str:
    """The message that begins a task."""
    parameters = {
        "text_type": "PlainText",
        "format": call.response_format,
        "sample_rate": call.sample_rate_hz,
        "rate": call.speed,
        **call.fields,
    }
    return json.dumps(
        {
            "header": {"action": "run-task", "task_id": uuid.uuid4().hex, "streaming": "out"},
            "payload": {
                "task_group": "audio",
                "task": "tts",
                "function": "SpeechSynthesizer",
                "model": call.voice,
                "parameters": parameters,
                "input": {"text": call.text},
            },
        }
    )


def has_finished(message: str) -> bool:
    """Whether this event ends the task well. Raises `ServerFault` for one that ends it otherwise."""
    try:
        header = json.loads(message)["header"]
        event = header["event"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ServerFault("bad_http", began=True) from error
    if event == "task-failed":
        code = str(header.get("error_code", ""))
        word = FAULTS_BY_CODE.get(code) or FAULTS_BY_CODE.get(code.rpartition(".")[0], "server_error")
        raise ServerFault(word, began=True)
    return bool(event == "task-finished")
