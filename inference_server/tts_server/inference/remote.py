"""A model that another pool of the tenant serves, as a Speaker: speech over HTTP, with the tenant's own credential."""

import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import httpx
import numpy as np
import structlog

from tts_server.errors import EngineCrashed, EngineError, EngineTimeout, Overloaded, TTSError
from tts_server.inference.client import Samples, Utterance, Voices
from tts_server.inference.output_check import OutputCheck
from tts_server.scheduling.fair_queue import SchedulingParams
from tts_server.telemetry.tracing import trace_headers

log = structlog.get_logger(__name__)

SAMPLE_RATE_HZ = 24_000
"""Of `response_format=pcm`."""
MARGIN_SECONDS = 1.0
"""The other pool answers its own timeout with an error; this waits for that, and a moment longer."""
CONNECT_SECONDS = 2.0
AT_ONCE = SchedulingParams()


class RemoteEngineClient:
    """`EngineClient` over `POST {url}/v1/audio/speech`, streamed.

    `token` is called for every request, because the credential changes while the server runs. The pool's readiness is
    not this one's: a tenant goes on with its other models when one pool is away, and requests for that one fail.
    """

    sample_rate_hz = SAMPLE_RATE_HZ
    voices: Voices = {}
    passage_characters = 0

    def __init__(
        self,
        url: str,
        model: str,
        *,
        token: Callable[[], str | None] = lambda: None,
        first_audio_timeout_seconds: float = 3.0,
    ) -> None:
        self._url = url.rstrip("/") + "/v1/audio/speech"
        self._model = model
        self._token = token
        read_seconds = first_audio_timeout_seconds + MARGIN_SECONDS
        # No limit on connections: the other pool says how much it takes. No proxy either: it is in this cluster.
        self._timeout = httpx.Timeout(read_seconds, connect=min(CONNECT_SECONDS, read_seconds), pool=None)
        self._limits = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=5)
        self._client: httpx.AsyncClient | None = None

    @property
    def ready(self) -> bool:
        """True from start to stop."""
        return self._client is not None

    async def start(self) -> None:
        """Open no connection yet: the other pool may start later than this one."""
        self._client = httpx.AsyncClient(timeout=self._timeout, limits=self._limits, trust_env=False)

    async def speak(self, utterance: Utterance, turn: SchedulingParams = AT_ONCE) -> AsyncGenerator[Samples]:
        """See `EngineClient.speak`. Raises `Overloaded` too, when the other pool takes no more.

        A connection that the other side closed while it was idle shows only when it is used: that is tried once more.
        """
        for attempt in (1, 2):
            heard = False
            check = OutputCheck(utterance, self.sample_rate_hz)
            try:
                async with aclosing(self._attempt(utterance, turn)) as parts:
                    async for part in parts:
                        heard = True
                        if (passed := check.passed(part)) is not None:
                            yield passed
                if (silence := check.held()).size:  # the other pool has heard its engine, and found nothing wrong
                    yield silence
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
                if heard or attempt == 2:
                    raise EngineCrashed(f"The pool of model {self._model} broke off.") from error
            except httpx.TimeoutException as error:
                raise EngineTimeout(f"The pool of model {self._model} gave no audio in time.") from error
            except httpx.HTTPError as error:
                raise EngineCrashed(f"The pool of model {self._model} is not reachable.") from error
            else:
                return

    async def stop(self) -> None:
        """Close its connections: utterances under way raise `EngineCrashed`."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _attempt(self, utterance: Utterance, turn: SchedulingParams) -> AsyncGenerator[Samples]:
        if self._client is None:
            raise EngineCrashed(f"The pool of model {self._model} is not in use any more.")
        token = self._token()
        request = {
            "model": self._model,
            "input": utterance.text,
            "voice": utterance.voice,
            "language": utterance.language,
            "precision": utterance.precision,
            "speed": utterance.speed,
            "response_format": "pcm",
            "due_in_seconds": None if turn.due is None else turn.due - time.monotonic(),
        }
        headers = {"Content-Type": "application/json", "X-TTS-Priority": turn.priority.value} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        headers |= trace_headers()
        # Not httpx's own JSON: that fails on a lone surrogate, which a caller's JSON may hold.
        content = json.dumps(request).encode("ascii")
        async with self._client.stream("POST", self._url, content=content, headers=headers) as response:
            if response.status_code != httpx.codes.OK:
                raise self._refusal(response)
            odd = b""
            async for received in response.aiter_raw():
                data = odd + received
                whole = len(data) & ~1
                odd = data[whole:]
                if whole:
                    yield np.frombuffer(data[:whole], "<i2")

    def _refusal(self, response: httpx.Response) -> TTSError:
        """What the other pool's status means here. Its body is not read: it may quote the caller's text."""
        status = response.status_code
        log.warning("pool refused", model=self._model, status=status)
        if status in {httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE}:
            after = response.headers.get("Retry-After", "")
            seconds = float(after) if after.isascii() and after.isdigit() else 1.0
            return Overloaded(f"The pool of model {self._model} takes no more now.", retry_after_seconds=seconds)
        if status == httpx.codes.GATEWAY_TIMEOUT:
            return EngineTimeout(f"The pool of model {self._model} gave no audio in time.")
        return EngineError(f"The pool of model {self._model} answered {status}.")
