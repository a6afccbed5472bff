"""What a running server holds: its configuration of the moment, engines, counters, store. Requests see one moment."""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from tts_server.audio import EncodingThreads
from tts_server.auth.authenticate import Keyring
from tts_server.auth.identity import Identity
from tts_server.cache import Cache
from tts_server.circuit_breaker import Breaker
from tts_server.config.schema import ModelConfig, QuotaConfig, ServerConfig
from tts_server.errors import Draining
from tts_server.inference.client import Speaker
from tts_server.pipeline.snapshot import Scene
from tts_server.quota.admission import Admission
from tts_server.quota.limits import CLIENT_REQUESTS_PER_MINUTE, UNITS, Standing
from tts_server.routing.catalogue import catalogue, missing_voices
from tts_server.routing.fallback import Chains, can_speak
from tts_server.scheduling.fair_queue import Priority
from tts_server.storage.peers import Peers
from tts_server.storage.protocol import Store
from tts_server.storage.signed_links import Links
from tts_server.synthesis.guard import Guard
from tts_server.telemetry.metrics import Metrics
from tts_server.telemetry.tracing import NoTracer, Tracer

log = structlog.get_logger(__name__)

MakeSpeaker = Callable[[ModelConfig], Speaker]


def quota_key(config: ServerConfig) -> str:
    """What a tenant is counted by: its UID, so that a namesake inherits nothing."""
    return config.tenant_uid or config.tenant


class Server:
    """Made once per process; `scene` is None until the engines are loaded."""

    def __init__(self, *, make_speaker: MakeSpeaker, quota: Admission, store: Store, links: Links) -> None:
        self.scene: Scene | None = None
        self.keyring = Keyring()
        self.identity = Identity()
        self.admission = quota
        self.store = store
        self.links = links
        self.peers: Peers | None = None
        self.cache: Cache | None = None
        self.metrics = Metrics()
        self.tracer: Tracer = NoTracer()
        self.threads = EncodingThreads()
        self.draining = False
        self._make_speaker = make_speaker
        self._changing = asyncio.Lock()
        self._retiring: asyncio.Task[None] | None = None
        """The last change's; each one awaits the one before it."""

    @property
    def ready(self) -> bool:
        """Engines loaded and warm, and not about to end. A model that another one stands in for is as good as ready."""
        scene = self.scene
        if self.draining or scene is None:
            return False
        standbys = scene.catalogue.standbys
        return all(can_speak(name, standbys, lambda model: scene.speakers[model].ready) for name in scene.speakers)

    def drain(self) -> None:
        """Take no more batch work, and refuse what waits: other replicas have time for it, this one has not."""
        self.draining = True
        for guard in self.scene.guards.values() if self.scene is not None else ():
            guard.refuse_waiting(Draining("This replica is about to end."), Priority.BATCH)

    def limit(self, config: QuotaConfig) -> None:
        """New limits, over the counts there are."""
        replicas = self.scene.config.max_replicas if self.scene is not None else self.admission.replicas
        self.admission = Admission(self.admission.quota, config, replicas)

    def note_left(self, tenant: str, left: Standing) -> None:
        """For whoever watches the limits from outside."""
        for name, one in left.items():
            if name != CLIENT_REQUESTS_PER_MINUTE:  # one number cannot speak for all clients
                self.metrics.quota_remaining.labels(tenant, name).set(one.remaining)

    def forget_limits(self, tenant: str, left: Standing) -> None:
        """Of limits that are no more, nothing is left to show."""
        for name in UNITS.keys() - left.keys():
            self.metrics.quota_remaining.remove(tenant, name)

    async def show(self, config: ServerConfig) -> None:
        """Serve `config`: engines that it adds are started first, those that it lacks are stopped afterwards.

        Raises `EngineError` or `CatalogueError`, and nothing has changed then.
        """
        async with self._changing:
            old = self.scene
            speakers, fresh = self._cast(config, old)
            started: list[Speaker] = []
            try:
                for name in fresh:
                    await speakers[name].start()
                    started.append(speakers[name])
                names = catalogue(config, {name: speaker.voices for name, speaker in speakers.items()})
            except BaseException:
                for speaker in started:
                    await speaker.stop()
                raise
            self.scene = Scene(config, names, speakers, self._guarded(speakers, names.standbys, old))
            self.admission = Admission(self.admission.quota, self.admission.config, config.max_replicas)
            _report(config, speakers, fresh)
            if old is not None:
                unused = [speaker for name, speaker in old.speakers.items() if speakers.get(name) is not speaker]
                self._retiring = asyncio.create_task(_retire(self._retiring, old, unused))

    async def stop(self) -> None:
        """End every engine. Requests under way fail."""
        if self._retiring is not None:
            self._retiring.cancel()
            await asyncio.wait([self._retiring])
        if self.scene is not None:
            await asyncio.gather(*(speaker.stop() for speaker in self.scene.speakers.values()))
        self.threads.close()

    def _guarded(self, speakers: Mapping[str, Speaker], standbys: Chains, old: Scene | None) -> dict[str, Guard]:
        """Everybody's guard: one that goes on with its speaker remembers its failures."""
        guards = {}
        for name, speaker in speakers.items():
            known = old.guards.get(name) if old is not None else None
            if known is None or known.speaker is not speaker:
                known = Guard(name, speaker)
                self._show_breaker(name, known.breaker)
            known.has_standby = bool(standbys[name])
            guards[name] = known
        for name in old.guards.keys() - guards.keys() if old is not None else ():
            self.metrics.breaker_state.remove(name)
        return guards

    def _show_breaker(self, model: str, breaker: Breaker) -> None:
        """As it is whenever somebody reads it: that its time is over, nothing would tell."""
        self.metrics.breaker_state.labels(model).set_function(lambda: breaker.state.value)

    def _cast(self, config: ServerConfig, old: Scene | None) -> tuple[dict[str, Speaker], list[str]]:
        """Every model's speaker, those that go on as they are, and the names of the new ones."""
        before = {model.name: model for model in old.config.models} if old is not None else {}
        speakers: dict[str, Speaker] = {}
        fresh = []
        for model in config.models:
            known = before.get(model.name)
            if old is not None and known is not None and _same_engine(known, model):
                speakers[model.name] = old.speakers[model.name]
            else:
                speakers[model.name] = self._make_speaker(model)
                fresh.append(model.name)
        return speakers, fresh


def _same_engine(one: ModelConfig, other: ModelConfig) -> bool:
    def what_it_is(model: ModelConfig) -> object:
        return model.engine, model.first_audio_timeout_seconds, model.batching

    return what_it_is(one) == what_it_is(other)


def _report(config: ServerConfig, speakers: Mapping[str, Speaker], fresh: list[str]) -> None:
    for model in config.models:
        speaker = speakers[model.name]
        missing = missing_voices(model, speaker.voices)
        if missing:
            log.error("voices are not served: the engine lacks them", model=model.name, voices=missing)
        if model.name not in fresh:
            continue
        spoken = {language for languages in speaker.voices.values() for language in languages[:1]}
        languages = sorted(model.languages or spoken)
        log.info("engine is loaded", model=model.name, engine=model.engine.type, languages=languages)
        if model.sample_rate_hz not in {None, speaker.sample_rate_hz}:
            log.warning(
                "engine has another sample rate than its configuration says",
                model=model.name, configured_hz=model.sample_rate_hz, sample_rate_hz=speaker.sample_rate_hz,
            )  # fmt: skip


async def _retire(before: asyncio.Task[None] | None, scene: Scene, speakers: list[Speaker]) -> None:
    """Stop what only this scene and older ones used, once the last of their requests has ended."""
    try:
        if before is not None:
            await before
        if scene.requests:
            await scene.idle.wait()
    finally:  # when the server ends too: nobody else knows them any more
        await asyncio.gather(*(speaker.stop() for speaker in speakers))
