"""A request for speech, its answer once that sounds, and what both came to."""

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from tts_server.audio import media_type
from tts_server.config.schema import ServerConfig
from tts_server.pipeline.request import HIT, RequestStats, SpeechRequest
from tts_server.pipeline.server import ServerState
from tts_server.pipeline.snapshot import ServingSnapshot
from tts_server.quota.admission import AdmittedRequest
from tts_server.quota.ledger import Entry
from tts_server.synthesis.audio_stream import AudioStream
from tts_server.telemetry.tracing import span

SETTLE_SECONDS = 0.1
"""What a reply of one segment may take, after its first sound, to be sent whole, with its length."""


@dataclass(slots=True)
class SpeechResponse:
    """An answer that has begun to sound: `whole()` or `parts()` once, then `close()`, always."""

    server: ServerState
    snapshot: ServingSnapshot
    request: SpeechRequest
    account: RequestStats
    admitted: AdmittedRequest | None
    sound: AudioStream
    single: bool
    """One segment: it is short enough to be sent whole."""

    @property
    def model(self) -> str:
        """Who speaks: the model that was asked for, unless the reply is degraded."""
        return self.sound.spoken_by or self.account.model

    @property
    def status(self) -> str:
        """`degraded` where another model speaks than the one that was asked for, else `ok`."""
        return "degraded" if self.sound.spoken_by else "ok"

    @property
    def config(self) -> ServerConfig:
        """What the request was served by."""
        return self.snapshot.config

    @property
    def media_type(self) -> str:
        """Of what `whole` and `parts` give."""
        return media_type(self.request.format)

    @property
    def cached(self) -> bool:
        """Whether no engine spoke for it, now or a moment ago."""
        return self.account.cache == HIT

    def delivered(self) -> None:
        """The first byte leaves, or the link: the request counts from here on."""
        self.account.first_byte = time.monotonic()

    async def is_short(self) -> bool:
        """Whether all of it is spoken already, or will be in a moment: then it is better sent with its length."""
        if self.single and not self.sound.finished:
            await self.sound.settle(SETTLE_SECONDS)
        return self.sound.finished

    async def whole(self) -> bytes:
        """All of it, as a file. Raises `EngineError`."""
        file, self.account.audio_seconds = await self.sound.whole()
        return file

    async def parts(self) -> AsyncGenerator[bytes]:
        """Encoded audio as it comes; no part is empty. Raises `EngineError` where it broke off.

        Whoever asks for the next part has sent the one before it: only then is its sound on the account.
        """
        while (part := await self.sound.part()) is not None:
            data, seconds = part
            yield data
            self.account.audio_seconds = seconds

    async def close(self) -> None:
        """Stop what still speaks; the ticket is settled by what was sent, or given back if nothing was."""
        self.account.spoken_by = self.sound.spoken_by
        try:
            await self.sound.leave()
        finally:
            try:
                await self._end_ticket()
            finally:
                self.snapshot.leave()

    async def _end_ticket(self) -> None:
        if self.admitted is None:
            return
        with span("settle"):
            if self.account.first_byte is None:
                await self.admitted.give_back()
            else:
                await self.admitted.settle(_entry(self.request, self.account))


def _entry(request: SpeechRequest, account: RequestStats) -> Entry:
    """What the ledger says about a request that was served."""
    cached, degraded = account.cache == HIT, bool(account.spoken_by)
    return Entry(account.model, account.precision, len(request.text), account.spoken_seconds, cached, degraded)
