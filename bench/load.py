"""Callers with little overhead: the part of HTTP/1.1 that these servers use, over asyncio streams."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.figures import percentile

PATIENCE_SECONDS = 60.0
BY_DESIGN = frozenset({200, 429, 503})
"""Statuses that a server under load may answer: speech, or a refusal by a limit."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Result of one request, measured by its caller."""

    status: int
    """Status of the response; 0 without a complete response."""
    first_seconds: float
    """Seconds from sending the request to the first byte of the body."""
    seconds: float
    size: int


@dataclass(slots=True)
class Heard:
    """Answers of one run."""

    answers: list[Answer] = field(default_factory=list)
    seconds: float = 0.0
    """Duration of the run."""

    @property
    def statuses(self) -> Counter[int]:
        return Counter(answer.status for answer in self.answers)

    @property
    def failed(self) -> int:
        """Number of answers that are neither speech nor a refusal by design."""
        return sum(answer.status not in BY_DESIGN for answer in self.answers)

    @property
    def spoken(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status == 200]

    @property
    def per_second(self) -> float:
        return len(self.spoken) / self.seconds

    def percentile(self, percent: int) -> float:
        """Seconds to the last byte of each answer with speech."""
        return percentile([answer.seconds for answer in self.spoken], percent)

    def first_percentile(self, percent: int) -> float:
        """Seconds to the first byte of each answer with speech."""
        return percentile([answer.first_seconds for answer in self.spoken], percent)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Endpoint of requests, with its credential."""

    port: int
    path: str = "/v1/audio/speech"
    headers: tuple[tuple[str, str], ...] = ()

    def request(self, body: dict[str, Any]) -> bytes:
        """Encode one request."""
        content = json.dumps(body).encode()
        lines = [
            f"POST {self.path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


class Connection:
    """Connection that is reused while the server keeps it open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> Answer:
        """Send a request. Returns an answer, whatever happens."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                status, first, size, stays = await self._exchange(request)
        except (OSError, EOFError, ValueError, TimeoutError):
            self.close()
            return Answer(0, 0.0, time.perf_counter() - started, 0)
        if not stays:
            self.close()
        return Answer(status, first - started, time.perf_counter() - started, size)

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _exchange(self, request: bytes) -> tuple[int, float, int, bool]:
        """Status, time of the body's first byte, size, and whether the connection may be reused."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head.split(b" ", 2)[1])
        stays = b"\r\nconnection: close" not in head
        if b"\r\ntransfer-encoding: chunked" in head:
            first, size = await self._chunks(reader)
        else:
            length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(min(length, 1))
            first = time.perf_counter()
            await reader.readexactly(max(length - 1, 0))
            size = length
        return status, first, size, stays

    async def _chunks(self, reader: asyncio.StreamReader) -> tuple[float, int]:
        first, size = 0.0, 0
        while length := int(await reader.readline(), 16):
            first = first or time.perf_counter()
            await reader.readexactly(length + 2)
            size += length
        await reader.readline()
        return first, size


async def keep_asking(endpoint: Endpoint, bodies: Iterator[dict[str, Any]], *, callers: int, seconds: float) -> Heard:
    """Let each caller send its next request on each answer, on its own connection."""
    heard = Heard()
    started = time.perf_counter()

    async def caller() -> None:
        connection = Connection(endpoint.port)
        while time.perf_counter() < started + seconds:
            heard.answers.append(await connection.ask(endpoint.request(next(bodies))))
        connection.close()

    await asyncio.gather(*(caller() for _ in range(callers)))
    heard.seconds = time.perf_counter() - started
    return heard


async def ask_at_rate(
    endpoint: Endpoint, bodies: Iterator[dict[str, Any]], *, per_second: float, seconds: float
) -> Heard:
    """Send requests at this rate, whether or not those before are answered."""
    heard = Heard()
    idle: list[Connection] = []
    started = time.perf_counter()

    async def one() -> None:
        connection = idle.pop() if idle else Connection(endpoint.port)
        heard.answers.append(await connection.ask(endpoint.request(next(bodies))))
        idle.append(connection)

    async with asyncio.TaskGroup() as group:
        for number in range(round(per_second * seconds)):
            await asyncio.sleep(max(0.0, started + number / per_second - time.perf_counter()))
            group.create_task(one())
    heard.seconds = time.perf_counter() - started
    for connection in idle:
        connection.close()
    return heard


def speech(texts: Sequence[str] | Callable[[int], str], response_format: str = "wav") -> Iterator[dict[str, Any]]:
    """Endless request bodies: these texts in a cycle, or a text made from each number."""
    for number in itertools.count():
        text = texts(number) if callable(texts) else texts[number % len(texts)]
        yield {"model": "tts-1", "voice": "alloy", "input": text, "response_format": response_format}
