"""A small speech server over real sockets that behaves, or misbehaves, as a test names it; and clients of it."""

import asyncio
import json
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.timeouts import HANG_SECONDS
from tts_server.config.schema import SpeechServerEngine
from tts_server.inference.speech_server.client import ServerHooks, SpeechServerClient
from tts_server.inference.speech_server.factory import speech_server_client

RATE_HZ = 24_000
PIECE_BYTES = 4001
"""Odd, so that samples are cut in two on their way."""


@dataclass
class Asked:
    """One request, as the server got it."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when its connection is lost."""


@dataclass
class ScriptedServer:
    """The running server. `behave` answers each request; it may be replaced at any time."""

    behave: "Behaviour"
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    at_once: int = 0
    most_at_once: int = 0
    sent_bytes: int = 0
    """Bytes of audio that the sockets took."""


Behaviour = Callable[[ScriptedServer, Asked, asyncio.StreamWriter], Awaitable[None]]


def tone(text: str, speed: float, rate_hz: int = RATE_HZ) -> np.ndarray[Any, np.dtype[np.int16]]:
    """50 ms of a tone for each letter."""
    count = int(0.05 / speed * rate_hz)
    parts = [8000 * np.sin(2 * np.pi * (200 + ord(each) % 50 * 10) * np.arange(count) / rate_hz) for each in text]
    return np.concatenate([np.zeros(0), *parts]).astype(np.int16)


def wav(samples: np.ndarray[Any, Any], rate_hz: int = RATE_HZ, *, size: int | None = None, channels: int = 1) -> bytes:
    """A WAV of these interleaved samples: int16, int32 or float32. `size` is written instead of the true one."""
    data = samples.tobytes()
    kind, width = (3 if samples.dtype.kind == "f" else 1), samples.dtype.itemsize
    head = struct.pack("<HHIIHH", kind, channels, rate_hz, rate_hz * width * channels, width * channels, width * 8)
    announced = len(data) if size is None else size
    riff = min(announced + 36, 0xFFFFFFFF)
    return b"RIFF" + struct.pack("<I", riff) + b"WAVEfmt " + struct.pack("<I", 16) + head + b"data" + struct.pack(
        "<I", announced
    ) + data  # fmt: skip


async def send_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send one HTTP chunk."""
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    await writer.drain()


async def begin(writer: asyncio.StreamWriter, content_type: str = "audio/wav") -> None:
    """Send the head of a streamed answer."""
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    await writer.drain()


async def stream(server: ScriptedServer, writer: asyncio.StreamWriter, audio: bytes, content_type: str) -> None:
    """Send audio in pieces, and end the answer."""
    await begin(writer, content_type)
    for start in range(0, len(audio), PIECE_BYTES):
        await send_chunk(writer, audio[start : start + PIECE_BYTES])
        server.sent_bytes += PIECE_BYTES
    await send_chunk(writer, b"")


async def speaks(server: ScriptedServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Answer as OpenAI does, in `pcm` and `wav`."""
    samples = tone(str(asked.body["input"]), float(asked.body.get("speed", 1.0)))
    if asked.body["response_format"] == "pcm":
        await stream(server, writer, samples.tobytes(), "audio/pcm")
    else:
        await stream(server, writer, wav(samples, size=0xFFFFFFFF), "audio/wav")


def serves(
    *,
    formats: Sequence[str] = ("wav", "pcm"),
    rate_hz: int = RATE_HZ,
    voices: Sequence[str] = ("ann", "bob"),
    key: str = "",
    ignores_speed: bool = False,
) -> Behaviour:
    """Answer as a whole speech server: its lists, its formats, and refusals of names that it does not have."""

    async def behave(server: ScriptedServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
        body = asked.body
        if key and asked.headers.get("authorization") != f"Bearer {key}":
            answer = refuses(401, {"error": {"message": "No."}})
        elif asked.path.endswith("/models"):
            answer = answers({"data": [{"id": "kokoro"}]})
        elif asked.path.endswith("/voices"):
            answer = answers({"voices": list(voices)})
        elif body["model"] != "kokoro":
            answer = refuses(404, {"error": {"message": "No.", "code": "model_not_found"}})
        elif body["voice"] not in voices:
            answer = refuses(422, {"detail": [{"loc": ["body", "voice"]}]})
        elif body["response_format"] not in formats or not body["input"].strip():
            answer = refuses(400, {"error": {"message": "No.", "param": "response_format"}})
        else:
            samples = tone(str(body["input"]), 1.0 if ignores_speed else float(body["speed"]), rate_hz)
            raw = body["response_format"] == "pcm"
            answer = sends(samples.tobytes() if raw else wav(samples, rate_hz), "audio/pcm" if raw else "audio/wav")
        await answer(server, asked, writer)

    return behave


def answers(document: object) -> Behaviour:
    """Answer 200 with a JSON document."""

    async def behave(server: ScriptedServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
        body = json.dumps(document).encode()
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    return behave


def sends(audio: bytes, content_type: str = "audio/wav") -> Behaviour:
    """Answer 200 with these bytes."""

    async def behave(server: ScriptedServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
        await stream(server, writer, audio, content_type)

    return behave


def refuses(status: int, document: object = None, *, headers: str = "") -> Behaviour:
    """Answer with a status and a JSON document."""
    body = b"" if document is None else json.dumps(document).encode()

    async def behave(server: ScriptedServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status} Refused\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    return behave


async def hangs_up(server: ScriptedServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Close the connection without an answer."""
    writer.close()


async def says_nothing(server: ScriptedServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Keep the connection open without an answer."""
    await asked.gone.wait()


async def stalls(server: ScriptedServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Send a second of audio, then nothing more."""
    await begin(writer)
    await send_chunk(writer, wav(tone("a" * 20, 1.0), size=0xFFFFFFFF))
    await asked.gone.wait()


async def sends_only_a_head(server: ScriptedServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Send the header of a WAV at once, and samples never."""
    await begin(writer)
    await send_chunk(writer, wav(np.zeros(0, np.int16), size=0xFFFFFFFF))
    await asked.gone.wait()


async def breaks_off(server: ScriptedServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Close the connection in the middle of the audio."""
    await begin(writer)
    await send_chunk(writer, wav(tone("a" * 20, 1.0), size=0xFFFFFFFF))
    writer.close()


async def never_ends(server: ScriptedServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Send audio as fast as the reader takes it, for ever."""
    await begin(writer)
    await send_chunk(writer, wav(np.zeros(0, np.int16), size=0xFFFFFFFF))
    second = tone("a" * 20, 1.0).tobytes()
    while not asked.gone.is_set():
        await send_chunk(writer, second)
        server.sent_bytes += len(second)


async def speaks_slowly(server: ScriptedServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Send a tenth of a second of audio ten times a second, until the reader is gone."""
    await begin(writer)
    await send_chunk(writer, wav(tone("a" * 20, 1.0), size=0xFFFFFFFF))
    part = tone("a" * 2, 1.0).tobytes()
    while not asked.gone.is_set():
        await send_chunk(writer, part)
        with suppress(TimeoutError):
            await asyncio.wait_for(asked.gone.wait(), 0.1)


async def speaks_no_http(server: ScriptedServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Answer in another protocol."""
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    await writer.drain()


@asynccontextmanager
async def scripted_server(
    behave: Behaviour = speaks, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[ScriptedServer]:
    """A server on a free port of this machine until the block ends."""
    server = ScriptedServer(behave)
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                asked = await _request(reader, writer)
                server.asked.append(asked)
                server.at_once += 1
                server.most_at_once = max(server.most_at_once, server.at_once)
                watcher = asyncio.create_task(_watch(reader, asked))
                try:
                    await server.behave(server, asked, writer)
                except ConnectionError:
                    asked.gone.set()
                    raise
                finally:
                    server.at_once -= 1
                    watcher.cancel()
                    await asyncio.wait([watcher])
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    scheme = "https" if tls else "http"
    server.url = f"{scheme}://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        for writer in writers:
            writer.close()
        await asyncio.sleep(0)


async def _request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Asked:
    first = await reader.readexactly(1)
    if first == b"\x16":  # a TLS handshake, which servers of plain HTTP answer so
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        raise ConnectionError
    head = (first + await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(head[0].split(" ")[1], headers, json.loads(body) if body else {})


async def _watch(reader: asyncio.StreamReader, asked: Asked) -> None:
    """Notice that the client has closed the connection: no client sends anything before its answer has ended."""
    while not reader.at_eof() and reader.exception() is None:  # noqa: ASYNC110 - the stream tells nobody
        await asyncio.sleep(0.005)
    asked.gone.set()


@dataclass
class Outcomes:
    """Outcomes that a client reported for its requests."""

    words: list[str] = field(default_factory=list)


@asynccontextmanager
async def client_of(
    url: str, *, outcomes: Outcomes | None = None, first_audio_timeout_seconds: float = HANG_SECONDS, **options: Any
) -> AsyncIterator[SpeechServerClient]:
    """A started client. `options` are fields of the engine in server.json."""
    engine = SpeechServerEngine(type="Remote", url=url, **options)
    hooks = ServerHooks(on_outcome=outcomes.words.append) if outcomes is not None else None
    client = speech_server_client(
        engine, "acme-voice", first_audio_timeout_seconds=first_audio_timeout_seconds, hooks=hooks
    )
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


def key_file(folder: Path, key: str) -> Path:
    """A file with a key, as a mounted Secret has it."""
    file = folder / "apiKey"
    file.write_text(key + "\n")
    return file
