"""Faults of another speech server: a word for each, its error, and one sentence for the caller.

The word is the `outcome` of `tts_remote_requests` and the `reason` in logs. The error decides the rest: an
`EngineError` that counts may open the circuit breaker, and for every `EngineError` a fallback speaks. What the caller
must change is a `RequestError`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tts_server.errors import (
    EngineCrashed,
    EngineError,
    EngineTimeout,
    InvalidAudio,
    RemoteBusy,
    RemoteRejected,
    RemoteUnreachable,
    TextRejected,
    TTSError,
)

MOST_RETRY_AFTER_SECONDS = 60.0
"""Longest wait that is believed: a server that asks for more is asked again after this time."""
TEXT_FIELDS = frozenset({"input", "text"})
OTHER_FIELDS = frozenset({"model", "voice", "response_format", "speed", "stream", "language", "sample_rate", "format"})
CODES_OF_TEXT = frozenset({"text_rejected", "string_above_max_length", "content_policy_violation", "content_filter"})
CODES_OF_THE_MODEL = frozenset({"voice_not_found", "model_not_found", "invalid_voice", "invalid_model"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of failure. The sentence begins after "The speech server of model <name> "."""

    error: type[TTSError]
    sentence: str


FAULTS: Mapping[str, Fault] = {
    "text_refused": Fault(TextRejected, "refuses this text: shorten or change it."),
    "key_refused": Fault(RemoteRejected, "refuses its API key; the platform team must correct it."),
    "key_missing": Fault(
        RemoteRejected, "needs an API key, whose file cannot be read; the platform team must correct it."
    ),
    "not_found": Fault(RemoteRejected, "has no such model or path; the platform team must correct the TTSModel."),
    "request_refused": Fault(
        RemoteRejected,
        "refuses the voice or another setting of the model; the platform team must correct the TTSModel.",
    ),
    "redirected": Fault(RemoteRejected, "redirects requests; the platform team must write its final URL."),
    "too_many_requests": Fault(RemoteBusy, "takes no more requests for now."),
    "unavailable": Fault(RemoteBusy, "is not available for now."),
    "server_error": Fault(EngineError, "failed."),
    "connection_refused": Fault(RemoteUnreachable, "does not accept connections."),
    "unknown_host": Fault(RemoteUnreachable, "has a host name that does not resolve."),
    "tls_failed": Fault(RemoteUnreachable, "has no trusted certificate, or speaks no TLS."),
    "local_address": Fault(
        RemoteUnreachable, "has a host name that means a loopback, link-local or metadata address, which is refused."
    ),
    "connect_timeout": Fault(RemoteUnreachable, "did not accept the connection in time."),
    "unreachable": Fault(RemoteUnreachable, "cannot be reached."),
    "first_audio_timeout": Fault(EngineTimeout, "returned no audio in time."),
    "stalled": Fault(EngineTimeout, "stopped sending audio, and kept the connection open."),
    "cut": Fault(EngineCrashed, "closed the connection before the end of the audio."),
    "bad_http": Fault(EngineCrashed, "does not answer in HTTP."),
    "empty": Fault(InvalidAudio, "returned no audio."),
    "not_audio": Fault(InvalidAudio, "returned a page or a document instead of audio."),
    "wrong_format": Fault(InvalidAudio, "returned audio of another format than was asked for."),
    "bad_audio": Fault(InvalidAudio, "returned audio with a header that cannot be read."),
    "too_long": Fault(InvalidAudio, "returned far more audio than the text can be."),
}
"""By word."""

OK = "ok"
CANCELLED = "cancelled"


class ServerFault(Exception):  # noqa: N818 - it says what happened
    """An exchange failed. `word` is a key of FAULTS; nothing of the server's own words is in it."""

    def __init__(self, word: str, *, status: int = 0, retry_after_seconds: float = 1.0, began: bool = False) -> None:
        super().__init__(word)
        self.word = word
        self.status = status
        self.retry_after_seconds = retry_after_seconds
        self.began = began
        """Whether the answer had begun: then the exchange is not repeated."""

    def error(self, model: str) -> TTSError:
        """The error to raise for an utterance of this model."""
        fault = FAULTS[self.word]
        message = f"The speech server of model {model} {fault.sentence}"
        if issubclass(fault.error, TextRejected):
            return fault.error(message, param="input")
        if issubclass(fault.error, RemoteBusy):
            return fault.error(message, retry_after_seconds=self.retry_after_seconds)
        return fault.error(message)


def fault_of_answer(status: int, headers: Mapping[str, str], body: bytes) -> ServerFault:
    """The fault that an answer other than 200 reports."""
    if status in {401, 403}:
        word = "key_refused"
    elif status in {404, 405}:
        word = "not_found"
    elif status == 429:
        word = "too_many_requests"
    elif status == 503:
        word = "unavailable"
    elif 300 <= status < 400:
        word = "redirected"
    elif 400 <= status < 500:
        word = "text_refused" if blames_the_text(body) else "request_refused"
    elif status == 504:
        word = "first_audio_timeout"
    else:
        word = "server_error"
    return ServerFault(word, status=status, retry_after_seconds=retry_after(headers.get("retry-after", "")))


def retry_after(value: str) -> float:
    """Seconds of a Retry-After header, at most a minute; 1 for none, and for a date."""
    seconds = float(value) if value.isascii() and value.isdigit() and len(value) < 10 else 1.0
    return min(max(seconds, 1.0), MOST_RETRY_AFTER_SECONDS)


def blames_the_text(body: bytes) -> bool:
    """Whether a refusal (400, 413, 422 and others) may be for the text.

    It is not if the body names only other fields: those come from the model's configuration, which no caller can
    change. Knows OpenAI's `error.param` and `error.code`, and FastAPI's `detail[].loc`.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return True
    if not isinstance(document, dict):
        return True
    error = document.get("error")
    named = set(_named_fields(error if isinstance(error, dict) else document))
    codes = {str(part.get("code")) for part in (document, error) if isinstance(part, dict)}
    if named & TEXT_FIELDS or codes & CODES_OF_TEXT:
        return True
    if codes & CODES_OF_THE_MODEL:
        return False
    return not named & OTHER_FIELDS


def _named_fields(error: Mapping[str, object]) -> Iterable[str]:
    param = error.get("param")
    if isinstance(param, str):
        yield param
    details = error.get("detail")
    for detail in details if isinstance(details, list) else ():
        location = detail.get("loc") if isinstance(detail, dict) else None
        yield from (step for step in location if isinstance(step, str)) if isinstance(location, list) else ()
