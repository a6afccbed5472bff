"""Measures what waves of slow readers leave behind: 120 at a time read a long WAV at 4 kB/s for 20 s and close their
connections. Memory of the server is read every second. It is at rest half a minute after 120 readers who have read only
the first bytes: by then everything is loaded.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import suppress

from bench.figures import Figure, Result
from bench.load import PATIENCE_SECONDS, Endpoint
from bench.servers import SENTENCE, Running, running

WAVES = 5
READERS = 120
BYTES_PER_SECOND = 4_000
READ_SECONDS = 20.0
REST_SECONDS = 30.0
"""Time for which memory may take to come back after a wave."""
LOOK_SECONDS = 1.0
TICK_SECONDS = 0.25
SENTENCES = 60
MEBIBYTE = 2**20


def measure() -> Result:
    with running(os.sched_getaffinity(0), {"maxWaitSeconds": 600}) as server:
        return asyncio.run(waves(server))


async def waves(server: Running) -> Result:
    samples: list[tuple[float, int]] = []
    started = time.perf_counter()

    async def look() -> None:
        while True:
            samples.append((time.perf_counter() - started, server.resident_bytes()[0]))
            await asyncio.sleep(LOOK_SECONDS)

    start = server.resident_bytes()[0]
    looking = asyncio.create_task(look())
    await wave(server.port, -1, seconds=0.0)
    await asyncio.sleep(REST_SECONDS)
    rest = server.resident_bytes()[0]
    figures = [Figure("at the start", start / MEBIBYTE, "MiB"), Figure("at rest", rest / MEBIBYTE, "MiB")]
    for number in range(WAVES):
        begun = len(samples)
        read = await wave(server.port, number, seconds=READ_SECONDS)
        peak = max(resident for _, resident in samples[begun:])
        await asyncio.sleep(REST_SECONDS)
        above = server.resident_bytes()[0] - rest
        figures.append(
            Figure(
                f"wave {number + 1}: above rest after {REST_SECONDS:.0f} s",
                above / MEBIBYTE,
                "MiB",
                f"{read} readers; {(peak - rest) / MEBIBYTE:.0f} MiB above rest at its peak",
            )
        )
    looking.cancel()
    return Result(figures, {"server": [(at / 60, resident / MEBIBYTE) for at, resident in samples]})


async def wave(port: int, number: int, *, seconds: float) -> int:
    """Readers of one wave, each with a text of its own. Returns how many got audio."""
    endpoint = Endpoint(port)
    tasks = [
        asyncio.create_task(slow_reader(endpoint, f"{number} {reader}. {' '.join([SENTENCE] * SENTENCES)}", seconds))
        for reader in range(READERS)
    ]
    return sum(await asyncio.gather(*tasks))


async def slow_reader(endpoint: Endpoint, text: str, seconds: float) -> bool:
    """Read at a fixed rate for so long after the first bytes, and hang up. Returns whether there were any."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)  # or the kernel would read far ahead
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    received = b""
    with sock, suppress(OSError, TimeoutError):
        await loop.sock_connect(sock, ("127.0.0.1", endpoint.port))
        body = {"model": "tts-1", "voice": "alloy", "input": text, "response_format": "wav"}
        await loop.sock_sendall(sock, endpoint.request(body))
        async with asyncio.timeout(PATIENCE_SECONDS):
            received = await loop.sock_recv(sock, 1024)
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            await asyncio.sleep(TICK_SECONDS)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await loop.sock_recv(sock, int(BYTES_PER_SECOND * TICK_SECONDS))
    return received.startswith(b"HTTP/1.1 200")
