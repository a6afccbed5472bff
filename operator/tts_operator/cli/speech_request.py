"""One request to a tenant's endpoint, and what its refusals mean for whoever sent it."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from tts_operator.cli.command import CommandError, ExitStatus

ROUTE = "/v1/tts/synthesize"
PART_BYTES = 65_536
LATER = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


@dataclass(frozen=True)
class Speech:
    """Text to speak, and how. Without a voice or model, the tenant's own routing decides."""

    text: str
    format: str
    voice: str | None = None
    model: str | None = None
    language: str | None = None
    speed: float = 1.0

    @property
    def body(self) -> bytes:
        """Body of the request."""
        optional = {"voice": self.voice, "model": self.model, "language": self.language}
        given = {name: value for name, value in optional.items() if value is not None}
        content = {"text": self.text, "format": self.format, "speed": self.speed, **given}
        return json.dumps(content, ensure_ascii=False).encode()


@dataclass(frozen=True)
class Spoken:
    """Facts about a reply that has arrived."""

    size_bytes: int
    first_byte_seconds: float
    total_seconds: float
    request_id: str


class RefusedError(CommandError):
    """Reason why the endpoint refused, with the code of its reply."""

    def __init__(self, reply_status: int, headers: Mapping[str, str], body: bytes) -> None:
        said, self.code = error_of(body)
        status = ExitStatus.TRY_LATER if reply_status in LATER else ExitStatus.FAILED
        super().__init__(refusal(reply_status, self.code, said, headers), status=status)


def speak(
    url: str, speech: Speech, key: str | None, write: Callable[[bytes], object], timeout_seconds: float
) -> Spoken:
    """Send the request and write the audio as it comes. Raises RefusedError, and CommandError without a whole reply."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=timeout_seconds)
    headers = {"Content-Type": "application/json", "Accept": "audio/*"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    began = time.monotonic()
    try:
        connection.request("POST", f"{parts.path.rstrip('/')}{ROUTE}", speech.body, headers)
        response = connection.getresponse()
        if response.status != HTTPStatus.OK:
            raise RefusedError(response.status, dict(response.getheaders()), response.read())
        part = response.read1(PART_BYTES)
        first_byte, size = time.monotonic() - began, len(part)
        while part:
            write(part)
            part = response.read1(PART_BYTES)
            size += len(part)
        return Spoken(size, first_byte, time.monotonic() - began, response.getheader("X-Request-Id") or "")
    except TimeoutError:
        raise CommandError(
            f"the endpoint sent nothing for {timeout_seconds:g} seconds; --timeout waits longer"
        ) from None
    except http.client.IncompleteRead:
        raise CommandError("the reply was cut: the endpoint failed after its first sound; try again") from None
    except (OSError, http.client.HTTPException) as error:
        raise CommandError(f"the connection to {url} failed: {error or type(error).__name__}") from None
    finally:
        connection.close()


def error_of(body: bytes) -> tuple[str, str]:
    """Message and code of an error; of a body in another form, its beginning."""
    try:
        error = json.loads(body)["error"]
        return str(error["message"]), str(error.get("code") or "")
    except (ValueError, KeyError, TypeError):
        return " ".join(body[:200].decode(errors="replace").split()) or "no reason given", ""


def refusal(status: int, code: str, said: str, headers: Mapping[str, str]) -> str:
    """Sentence about a refused request: the endpoint's own, and when to try again."""
    wait = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    again = f" Try again in {wait} seconds." if wait.isdecimal() else ""
    return f"the endpoint answered {status}{f' ({code})' if code else ''}: {said.rstrip('.')}.{again}"
