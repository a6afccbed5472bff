"""Waves of slow readers leave no memory behind once they have hung up: a real process, real sockets."""

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.support.server_process import Running, running

READERS = 80
WAVES = 2
SETTLED_SECONDS = 1.0
"""A wave holds what it will hold once memory has not grown for so long."""
PATIENCE_SECONDS = 30.0
KEPT_BYTES = 10_000_000
"""Most memory that may stay above the level of the start."""
TEXT = "One sentence comes after the other, and nobody is in a hurry to hear them. " * 40


def resident_bytes(server: Running) -> int:
    pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def slow_reader(server: Running, number: int) -> AsyncIterator[None]:
    """A reader of a long WAV who has read its first bytes, and reads no more."""
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", server.port))
        speech = {"model": "tts-1", "voice": "alloy", "input": f"{number}. {TEXT}", "response_format": "wav"}
        body = json.dumps(speech).encode()
        head = "POST /v1/audio/speech HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: "
        await loop.sock_sendall(sock, f"{head}{len(body)}\r\n\r\n".encode() + body)
        assert (await loop.sock_recv(sock, 256)).startswith(b"HTTP/1.1 200")
        yield


async def wave(server: Running, number: int) -> int:
    """Let readers of different texts come, stall and hang up. Returns the most memory that the server had meanwhile."""
    async with AsyncExitStack() as stack:
        readers = [slow_reader(server, number * READERS + reader) for reader in range(READERS)]
        await asyncio.gather(*map(stack.enter_async_context, readers))
        most, grew = resident_bytes(server), time.monotonic()
        while time.monotonic() < grew + SETTLED_SECONDS:
            await asyncio.sleep(0.05)
            if resident_bytes(server) > most:
                most, grew = resident_bytes(server), time.monotonic()
    assert await within(lambda: 'tts_inflight_requests{tenant="local"} 0.0' in server.metrics())
    return most


async def within(condition: Callable[[], bool]) -> bool:
    """Whether the condition holds before long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.1)
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_waves_of_slow_readers_leave_no_memory_behind(tmp_path: Path) -> None:
    """The memory of a wave is free again after half a minute, but for the little that the first requests load."""
    config = tmp_path / "server.json"
    settings = {"models": [{"name": "espeak"}], "modelAliases": {"tts-1": "espeak"}, "voiceAliases": {"alloy": "en-us"}}
    config.write_text(json.dumps(settings | {"maxWaitSeconds": 600, "storage": {"directory": f"{tmp_path}/audio"}}))
    with running(tmp_path, f"--config={config}") as server:
        rest = resident_bytes(server)
        held = [await wave(server, number) - rest for number in range(WAVES)][-1]
        assert held > max(READERS * 300_000, 2 * KEPT_BYTES), "or the readers were not slow"
        assert await within(lambda: resident_bytes(server) - rest < KEPT_BYTES), (
            f"{(resident_bytes(server) - rest) / 2**20:.0f} MiB stay, of {held / 2**20:.0f} MiB that a wave held"
        )
