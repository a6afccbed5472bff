"""The response to a speech request once its audio has begun; settles quota and statistics by what was sent."""

import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tts_server.audio import media_type
from tts_server.config.schema import ServerConfig
from tts_server.pipeline.request import HIT, RequestStats, SpeechRequest
from tts_server.pipeline.server import ServerState
from tts_server.pipeline.snapshot import ServingSnapshot
from tts_server.quota.admission import AdmittedRequest
from tts_server.quota.ledger import Entry
from tts_server.routing.fallback import FallbackModel
from tts_server.routing.voice_selection import RoutedUtterance, reroute
from tts_server.synthesis.audio_stream import AudioStream
from tts_server.telemetry.tracing import span

SETTLE_SECONDS = 0.1
"""How long a reply of one segment may take after its first audio to be sent whole, with its length."""
WAV_SECONDS = 2.0
"""How long a WAV may take after its first audio: its header has a length, which many readers need."""
WAV_BYTES = 4 * 1024 * 1024
"""Largest WAV that is kept for its length: a minute and a half of an engine at 22,050 Hz."""


class VoiceUsed(NamedTuple):
    """A voice of a reply and its model."""

    model: str
    voice: str


@dataclass(slots=True)
class SpeechResponse:
    """A response with audio. Call `whole` or `parts` once, then `close` in any case."""

    server: ServerState
    snapshot: ServingSnapshot
    request: SpeechRequest
    stats: RequestStats
    admitted: AdmittedRequest | None
    """Quota reserved for it; None for a prepared request, which the entry pool has counted."""
    stream: AudioStream
    utterances: Sequence[RoutedUtterance]
    """The utterances as they were routed: one alone may be short enough to be sent whole."""

    @property
    def model(self) -> str:
        """The model that synthesizes: the requested one, or its fallback."""
        return self.stream.fallback_model or self.stats.model

    @property
    def status(self) -> str:
        """`degraded` if a fallback synthesizes, else `ok`."""
        return "degraded" if self.stream.fallback_model else "ok"

    @property
    def fallback_reason(self) -> str:
        """Code of the error because of which a fallback synthesizes; empty if none does."""
        return self.stream.fallback_reason

    @property
    def voices_used(self) -> list[VoiceUsed]:
        """The models and voices of the reply in the order in which they begin, those of a fallback if one speaks."""
        spoken, names = self.utterances, self.snapshot.catalogue
        if fallback_model := self.stream.fallback_model:
            replaced = {routed.model for routed in spoken}
            chains = [entry for model in replaced for entry in names.fallbacks[model]]
            fallback = next((entry for entry in chains if entry.model == fallback_model), FallbackModel(fallback_model))
            spoken = reroute(names, fallback, spoken)
        return list(dict.fromkeys(VoiceUsed(routed.model, routed.utterance.voice) for routed in spoken))

    @property
    def config(self) -> ServerConfig:
        """The configuration that serves this request."""
        return self.snapshot.config

    @property
    def media_type(self) -> str:
        """`Content-Type` of `whole` and `parts`."""
        return media_type(self.request.format)

    @property
    def cached(self) -> bool:
        """Whether the reply came from the cache."""
        return self.stats.cache == HIT

    def delivered(self) -> None:
        """Record that the first byte, or the link, is being sent: from now on the request counts."""
        self.stats.first_byte = time.monotonic()

    async def is_short(self) -> bool:
        """Whether all of it is synthesized, or will be in a moment: then it is better sent with its length."""
        if self.request.format == "wav":
            return await self.stream.wait_whole(WAV_SECONDS, WAV_BYTES)
        if len(self.utterances) == 1 and not self.stream.complete:
            await self.stream.wait_complete(SETTLE_SECONDS)
        return self.stream.complete

    async def whole(self) -> bytes:
        """Return all of the audio as a file. Raises `EngineError`."""
        file, self.stats.audio_seconds = await self.stream.whole()
        return file

    async def parts(self) -> AsyncGenerator[bytes]:
        """Yield encoded audio as it comes; no part is empty. Raises `EngineError` if synthesis fails before the end.

        A part counts as sent when the next one is asked for.
        """
        while (part := await self.stream.part()) is not None:
            data, seconds = part
            yield data
            self.stats.audio_seconds = seconds

    async def close(self) -> None:
        """Stop the synthesis unless others read it, and settle the quota: charge what was sent, or refund it all."""
        self.stats.spoken_by = self.stream.fallback_model
        try:
            await self.stream.close()
        finally:
            try:
                await self._settle_quota()
            finally:
                self.snapshot.leave()

    async def _settle_quota(self) -> None:
        if self.admitted is None:
            return
        with span("settle"):
            if self.stats.first_byte is None:
                await self.admitted.give_back()
            else:
                await self.admitted.settle(_ledger_entry(self.request, self.stats))


def _ledger_entry(request: SpeechRequest, stats: RequestStats) -> Entry:
    cached, degraded = stats.cache == HIT, bool(stats.spoken_by)
    return Entry(stats.model, stats.precision, len(request.text), stats.spoken_seconds, cached, degraded)
