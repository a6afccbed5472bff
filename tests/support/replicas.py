"""Two applications of one tenant, one of them behind a real port."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from tests.support.server_app import RunningApp, config, running_app, until
from tts_server.config.schema import StorageConfig

OWNER, OTHER = "127.0.0.1", "127.0.0.2"


@dataclass
class Replicas:
    """`owner` is behind a port, `other` asks it. `asked` is how many requests the owner got."""

    owner: RunningApp
    other: RunningApp
    port: int
    asked: Callable[[], int]
    stop_owner: Callable[[], Awaitable[None]]
    headers: list[Any]
    """Headers of each request that the owner got, as they came."""

    async def link(self) -> str:
        """Link to audio that the owner keeps, without its host."""
        url = urlsplit((await self.owner.synthesize(format="wav")).json()["audio_url"])
        return f"{url.path}?{url.query}"


@asynccontextmanager
async def replicas(folder: Path) -> AsyncIterator[Replicas]:
    asked = 0
    headers: list[Any] = []
    async with running_app(config(folder / "owner"), replica=OWNER) as owner:

        async def app(scope: dict[str, object], receive: object, send: object) -> None:
            nonlocal asked
            asked += 1
            headers.append(scope["headers"])
            await owner.application.asgi(scope, receive, send)  # type: ignore[arg-type]  # uvicorn's own

        server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None))
        serving = asyncio.create_task(server.serve())
        await until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        storage = StorageConfig(directory=folder / "other" / "audio", peers_url=f"http://localhost:{port}")
        async with running_app(config(folder / "other", storage=storage), replica=OTHER) as other:

            async def stop_owner() -> None:
                server.should_exit = True
                await serving

            yield Replicas(owner, other, port, lambda: asked, stop_owner, headers)
        server.should_exit = True
        await serving
