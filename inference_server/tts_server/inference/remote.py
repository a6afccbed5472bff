"""Engine client of a model that another pool of the tenant serves: HTTP, with the tenant's own credential."""

import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

import httpx
import numpy as np
import structlog

from tts_server.engines.protocol import Voices
from tts_server.errors import EngineCrashed, EngineError, EngineNotReady, EngineTimeout, Overloaded, TTSError
from tts_server.inference import pause_scales
from tts_server.inference.client import Utterance, VoiceFeatures
from tts_server.inference.output_check import OutputCheck
from tts_server.samples import Samples
from tts_server.scheduling.fair_queue import Priority, SchedulingParams
from tts_server.telemetry.tracing import trace_headers

log = structlog.get_logger(__name__)

SAMPLE_RATE_HZ = 24_000
"""Rate of `response_format=pcm`."""
MARGIN_SECONDS = 1.0
"""Added to the first-audio timeout: the other pool reports its own timeout first."""
CONNECT_SECONDS = 2.0
LARGEST_REFUSAL_BYTES = 65_536
DEFAULT_PARAMS = SchedulingParams()


class RemoteEngineClient:
    """`EngineClient` over `POST {url}/v1/audio/speech`, streamed.

    `token` is called for every request, because the credential changes while the server runs. The other pool's
    readiness does not count here: while it is unreachable, the tenant's other models serve, and requests for this one
    fail.
    """

    sample_rate_hz = SAMPLE_RATE_HZ
    voices: Voices = {}
    voice_features = VoiceFeatures()
    passage_characters = 0
    real_time_factor = 0.0

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
        self.pause_scales: Mapping[float, float] = {}
        """Those of the other pool's engine, from its latest reply: known before the first pause is needed."""
        read_seconds = first_audio_timeout_seconds + MARGIN_SECONDS
        # No limit on connections: the other pool says how much it takes. No proxy either: it is in this cluster.
        self._timeout = httpx.Timeout(read_seconds, connect=min(CONNECT_SECONDS, read_seconds), pool=None)
        self._limits = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=5)
        self._client: httpx.AsyncClient | None = None

    @property
    def ready(self) -> bool:
        return self._client is not None

    async def start(self) -> None:
        # No connection yet: the other pool may start later than this one.
        self._client = httpx.AsyncClient(timeout=self._timeout, limits=self._limits, trust_env=False)

    async def speak(self, utterance: Utterance, params: SchedulingParams = DEFAULT_PARAMS) -> AsyncGenerator[Samples]:
        # A connection that the other side closed while it was idle fails only when it is used: one more attempt then.
        for attempt in (1, 2):
            received = False
            check = OutputCheck(utterance, self.sample_rate_hz)
            try:
                async with aclosing(self._attempt(utterance, params)) as parts:
                    async for part in parts:
                        received = True
                        if (passed := check.passed(part)) is not None:
                            yield passed
                if (silence := check.held()).size:  # the other pool has checked its engine, and found it working
                    yield silence
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
                if received or attempt == 2:
                    raise EngineCrashed(f"The pool of model {self._model} closed the connection.") from error
            except httpx.TimeoutException as error:
                raise EngineTimeout(f"The pool of model {self._model} returned no audio in time.") from error
            except httpx.HTTPError as error:
                raise EngineCrashed(f"The pool of model {self._model} is not reachable.") from error
            else:
                return

    def promote(self, reply: object) -> None:
        pass  # what was sent keeps its place in the other pool's queue

    def refuse_waiting(self, error: TTSError, priority: Priority | None = None) -> None:
        pass  # no utterance is queued here

    async def stop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _attempt(self, utterance: Utterance, params: SchedulingParams) -> AsyncGenerator[Samples]:
        if self._client is None:
            raise EngineCrashed(f"The pool of model {self._model} is no longer in use.")
        token = self._token()
        request = {
            "model": self._model,
            "input": utterance.text,
            "voice": utterance.voice,
            "language": utterance.language,
            "precision": utterance.precision,
            "speed": utterance.speed,
            "response_format": "pcm",
            "due_in_seconds": None if params.due is None else params.due - time.monotonic(),
        }
        headers = {"Content-Type": "application/json", "X-TTS-Priority": params.priority.value} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        headers |= trace_headers()
        # Not httpx's own JSON: that fails on a lone surrogate, which a client's JSON may hold.
        content = json.dumps(request).encode("ascii")
        async with self._client.stream("POST", self._url, content=content, headers=headers) as response:
            if response.status_code != httpx.codes.OK:
                raise self._refusal(response, await _code(response))
            self.pause_scales = pause_scales.decode(response.headers.get(pause_scales.NAME, ""))
            odd = b""
            async for received in response.aiter_raw():
                data = odd + received
                even_bytes = len(data) & ~1
                odd = data[even_bytes:]
                if even_bytes:
                    yield np.frombuffer(data[:even_bytes], "<i2")

    def _refusal(self, response: httpx.Response, code: str) -> TTSError:
        """Map the other pool's status and code to an error. No more of its body: that may quote the request's text."""
        status = response.status_code
        log.warning("pool refused the request", model=self._model, status=status)
        if status in {httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE}:
            after = response.headers.get("Retry-After", "")
            seconds = float(after) if after.isascii() and after.isdigit() else 1.0
            if code == EngineNotReady.code:  # an engine's failure, for which a fallback may speak
                message = f"The pool of model {self._model} has no engine that is loaded."
                return EngineNotReady(message, retry_after_seconds=seconds)
            return Overloaded(f"The pool of model {self._model} is overloaded.", retry_after_seconds=seconds)
        if status == httpx.codes.GATEWAY_TIMEOUT:
            return EngineTimeout(f"The pool of model {self._model} returned no audio in time.")
        return EngineError(f"The pool of model {self._model} answered {status}.")


async def _code(response: httpx.Response) -> str:
    """Return the `code` of an error's body; empty if it has none."""
    body = b""
    async for received in response.aiter_bytes():
        body += received
        if len(body) > LARGEST_REFUSAL_BYTES:
            return ""
    try:
        code = json.loads(body)["error"]["code"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return code if isinstance(code, str) else ""
