"""DashScope's service for Sambert, as far as it is published: the messages of one task, over a real WebSocket.

Recorded from Alibaba Cloud's pages "Sambert client events" and "Sambert server events" (Model Studio, November 2026),
and from the constants of its Python SDK (dashscope 2.0.2, protocol/websocket.py). No account was used.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.support.speech_servers import tone, wav

PATH = "/api-ws/v1/inference"
KEY = "sk-recorded"
RUN_TASK: dict[str, Any] = {
    "header": {"action": "run-task", "streaming": "out"},
    "payload": {
        "task_group": "audio",
        "task": "tts",
        "function": "SpeechSynthesizer",
        "model": "sambert-zhichu-v1",
        "parameters": {"text_type": "PlainText", "format": "wav", "sample_rate": 24_000, "rate": 1.0},
        "input": {"text": "待合成文本"},
    },
}
"""The message of a client as published, without its `task_id`, and with the optional parameters that are used."""


def event(task_id: str, name: str, **header: str) -> str:
    """An event of the server."""
    return json.dumps(
        {"header": {"task_id": task_id, "event": name, "attributes": {}, **header}, "payload": {}}, ensure_ascii=False
    )


@dataclass
class Service:
    """The running service."""

    url: str = ""
    tasks: list[dict[str, Any]] = field(default_factory=list)
    authorization: list[str] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client has left before its task ended."""


Task = Callable[[ServerConnection, dict[str, Any]], Awaitable[None]]


async def speaks(connection: ServerConnection, task: dict[str, Any]) -> None:
    """Audio in three messages between the events, as documented."""
    task_id, parameters = task["header"]["task_id"], task["payload"]["parameters"]
    audio = wav(tone(task["payload"]["input"]["text"], parameters["rate"]))
    await connection.send(event(task_id, "task-started"))
    third = len(audio) // 3 + 1
    for start in range(0, len(audio), third):
        await connection.send(event(task_id, "result-generated"))
        await connection.send(audio[start : start + third])
    await connection.send(event(task_id, "task-finished"))


def fails(code: str, *, begins: bool = False) -> Task:
    """A task that fails with this code, perhaps after some audio."""

    async def task_of(connection: ServerConnection, task: dict[str, Any]) -> None:
        task_id = task["header"]["task_id"]
        if begins:
            await connection.send(event(task_id, "task-started"))
            await connection.send(wav(tone("a" * 20, 1.0), size=0xFFFFFFFF))
        message = "It says: secret words"
        await connection.send(event(task_id, "task-failed", error_code=code, error_message=message))

    return task_of


async def stalls(connection: ServerConnection, task: dict[str, Any]) -> None:
    """Some audio, and no end."""
    await connection.send(event(task["header"]["task_id"], "task-started"))
    await connection.send(wav(tone("a" * 20, 1.0), size=0xFFFFFFFF))
    await connection.wait_closed()


async def breaks_off(connection: ServerConnection, task: dict[str, Any]) -> None:
    """Some audio, then the connection is lost."""
    await connection.send(wav(tone("a" * 20, 1.0), size=0xFFFFFFFF))
    connection.transport.abort()


@asynccontextmanager
async def dashscope_service(task: Task = speaks) -> AsyncIterator[Service]:
    """The service on a free port of this machine until the block ends."""
    service = Service()

    async def accept(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            message = json.loads(await connection.recv())
            service.tasks.append(message)
            await task(connection, message)
            await connection.wait_closed()
        service.gone.set()

    def check(connection: ServerConnection, request: Request) -> Response | None:
        authorization = request.headers.get("Authorization", "")
        service.authorization.append(authorization)
        if request.path != PATH:
            return Response(404, "Not Found", Headers({"Content-Length": "0"}), b"")
        if authorization != f"bearer {KEY}":
            return Response(401, "Unauthorized", Headers({"Content-Length": "0"}), b"")
        return None

    server: Server = await serve(accept, "127.0.0.1", 0, process_request=check, close_timeout=0.1)
    service.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
    try:
        yield service
    finally:
        server.close()
        await server.wait_closed()
