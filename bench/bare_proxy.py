"""Copies bytes between callers and another port, and does nothing else.

`python -m bench.bare_proxy PORT TARGET_PORT`
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import closing

PART_BYTES = 65_536


async def serve(port: int, target_port: int) -> None:
    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            answers, requests = await asyncio.open_connection("127.0.0.1", target_port)
            with closing(requests):
                await asyncio.gather(copy(reader, requests), copy(answers, writer), return_exceptions=True)

    server = await asyncio.start_server(forward, "127.0.0.1", port)
    await server.serve_forever()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until one of the two ends."""
    with closing(writer):
        while part := await reader.read(PART_BYTES):
            writer.write(part)
            await writer.drain()


if __name__ == "__main__":
    asyncio.run(serve(*map(int, sys.argv[1:])))
