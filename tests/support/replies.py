"""Requests that tests send to the server, and readers of its replies."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx

from tests.support.server_app import RATE_HZ, SENTENCES, Call, RunningApp, until
from tts_server.errors import EngineCrashed

LONG = {"model": "tts-1", "voice": "alloy", "input": SENTENCES, "response_format": "pcm"}
UTTERANCE_BYTES = RATE_HZ // 10 * 2
PCM_BYTES_A_SECOND = 48_000
UID = "0b7c2a52-9f4e-4a47-8f0e-6a3d5f1c9e11"


def refusal(reply: httpx.Response) -> tuple[int, str | None, str]:
    """Status, param and code, once the shape is right."""
    assert reply.headers["content-type"] == "application/json"
    body = reply.json()
    assert list(body) == ["error"]
    error = body["error"]
    of_limits = ["limit", "resets_at"] if reply.status_code == 429 else []
    assert list(error) == ["message", "type", "param", "code", "request_id", *of_limits]
    assert error["request_id"] == reply.headers["x-request-id"]
    assert isinstance(error["message"], str)
    assert error["message"]
    return reply.status_code, error["param"], error["code"]


def events(reply: httpx.Response) -> list[dict[str, Any]]:
    assert reply.headers["content-type"] == "text/event-stream"
    blocks = reply.text.strip().split("\n\n")
    return [json.loads(block.partition("data: ")[2]) for block in blocks]


def wav_samples(data: bytes) -> int:
    assert data[:4] == b"RIFF"
    assert data[8:16] == b"WAVEfmt "
    return int.from_bytes(data[40:44], "little") // 2


async def usage(acme: RunningApp, **parameters: str) -> dict[str, Any]:
    reply = await acme.client.get("/v1/usage", params=parameters)
    assert reply.status_code == 200, reply.text
    content: dict[str, Any] = reply.json()
    return content


def fails(number: int, part: int, times: int = 1) -> Callable[[int, int], None]:
    """The engine crashes when it comes to this part of this utterance, so many times in a row."""

    def fail(utterance: int, at: int) -> None:
        if number <= utterance < number + times and at == part:
            raise EngineCrashed("Engine tone ended with SIGSEGV.")

    return fail


async def cut_in_the_middle(acme: RunningApp, body: dict[str, Any]) -> Call:
    """Send the request, and cut its reply after its first sound: the engine fails twice. Returns the ended call."""
    tone = acme.engine_clients["tone"]
    tone.fail = fails(1, part=0, times=2)
    tone.gated_from = 1
    tone.gate.clear()
    call = Call(acme, body)
    running = asyncio.create_task(call.run())
    await until(lambda: call.parts)  # what fails before that is an error of its own
    tone.gate.set()
    await running
    assert not call.has_ended()
    return call


def dies(utterance: int) -> Callable[[int, int], None]:
    def fail(number: int, part: int) -> None:
        if number >= utterance:
            raise EngineCrashed("It died.")

    return fail
