"""An application behind a port, in the event loop of the test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn

from tests.support.server_app import until
from tts_server.app import serve as serving
from tts_server.app.build import Application


@asynccontextmanager
async def listening(application: Application) -> AsyncIterator[int]:
    """The application behind a port, as `tts-server` has it."""
    server = uvicorn.Server(serving._config(application))
    sock = serving._bound("127.0.0.1", 0)
    task = asyncio.create_task(server.serve([sock]))
    await until(lambda: server.started)
    try:
        yield sock.getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        await task
