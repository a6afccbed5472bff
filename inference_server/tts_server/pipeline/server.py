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
from tts_server.inference.client import EngineClient
from tts_server.pipeline.snapshot import ServingSnapshot
from tts_server.quota.admission import Admission
from tts_server.quota.limits import CLIENT_REQUESTS_PER_MINUTE, UNITS, LimitStatus
from tts_server.routing.catalogue import catalogue, missing_voices
from tts_server.routing.fallback import Chains, can_speak
from tts_server.scheduling.fair_queue import Priority
from tts_server.storage.peers import Peers
from tts_server.storage.protocol import Store
from tts_server.storage.signed_links import Links
from tts_server.synthesis.guard import BreakerGuard
from tts_server.telemetry.metrics import Metrics
from tts_server.telemetry.tracing import NoTracing, Tracing

log = structlog.get_logger(__name__)

MakeSpeaker = Callable[[ModelConfig], EngineClient]


def quota_key(config: ServerConfig) -> str:
    """What a tenant is counted by: its UID, so that a namesake inherits nothing."""
    return config.tenant_uid or config.tenant


class ServerState:
    """Made once per process; `scene` is None until the engines are loaded."""

    def __init__(self, *, make_speaker: MakeSpeaker, quota: Admission, store: Store, links: Links) -> None:
        self.snapshot: ServingSnapshot | None = None
        self.keyring = Keyring()
        self.identity = Identity()
        self.admission = quota
        self.store = store
        self.links = links
        self.peers: Peers | None = None
        self.cache: Cache | None = None
        self.metrics = Metrics()
        self.tracing: Tracing = NoTracing()
        self.threads = EncodingThreads()
        self.draining = False
        self._make_speaker = make_speaker
        self._changing = asyncio.Lock()
        self._retiring: asyncio.Task[None] | None = None
        """The last change's; each one awaits the one before it."""

    @property
    def ready(self) -> bool:
        """Engines loaded and warm, and not about to end. A model that another one stands in for is as good as ready."""
        snapshot = self.snapshot
        if self.draining or snapshot is None:
            return False
        fallbacks = snapshot.catalogue.fallbacks
        return all(
            can_speak(name, fallbacks, lambda model: snapshot.engine_clients[model].ready)
            for name in snapshot.engine_clients
        )

    def drain(self) -> None:
        """Take no more batch work, and refuse what waits: other replicas have time for it, this one has not."""
        self.draining = True
        for guard in self.snapshot.guards.values() if self.snapshot is not None else ():
            guard.refuse_waiting(Draining("This replica is about to end."), Priority.BATCH)

    def limit(self, config: QuotaConfig) -> None:
        """New limits, over the counts there are."""
        replicas = self.snapshot.config.max_replicas if self.snapshot is not None else self.admission.replicas
        self.admission = Admission(self.admission.quota, config, replicas)

    def set_remaining(self, tenant: str, left: LimitStatus) -> None:
        """For whoever watches the limits from outside."""
        for name, one in left.items():
            if name != CLIENT_REQUESTS_PER_MINUTE:  # one number cannot speak for all clients
                self.metrics.quota_remaining.labels(tenant, name).set(one.remaining)

    def forget_limits(self, tenant: str, left: LimitStatus) -> None:
        """Of limits that are no more, nothing is left to show."""
        for name in UNITS.keys() - left.keys():
            self.metrics.quota_remaining.remove(tenant, name)

    async def show(self, config: ServerConfig) -> None:
        """Serve `config`: engines that it adds are started first, those that it lacks are stopped afterwards.

        Raises `EngineError` or `CatalogueError`, and nothing has changed then.
        """
        async with self._changing:
            old = self.snapshot
            engine_clients, fresh = self._cast(config, old)
            started: list[EngineClient] = []
            try:
                for name in fresh:
                    await engine_clients[name].start()
                    started.append(engine_clients[name])
                names = catalogue(
                    config, {name: engine_client.voices for name, engine_client in engine_clients.items()}
                )
            except BaseException:
                for engine_client in started:
                    await engine_client.stop()
                raise
            self.snapshot = ServingSnapshot(
                config, names, engine_clients, self._guarded(engine_clients, names.fallbacks, old)
            )
            self.admission = Admission(self.admission.quota, self.admission.config, config.max_replicas)
            _report(config, engine_clients, fresh)
            if old is not None:
                unused = [
                    engine_client
                    for name, engine_client in old.engine_clients.items()
                    if engine_clients.get(name) is not engine_client
                ]
                self._retiring = asyncio.create_task(_retire(self._retiring, old, unused))

    async def stop(self) -> None:
        """End every engine. Requests under way fail."""
        if self._retiring is not None:
            self._retiring.cancel()
            await asyncio.wait([self._retiring])
        if self.snapshot is not None:
            await asyncio.gather(*(engine_client.stop() for engine_client in self.snapshot.engine_clients.values()))
        self.threads.close()

    def _guarded(
        self, engine_clients: Mapping[str, EngineClient], fallbacks: Chains, old: ServingSnapshot | None
    ) -> dict[str, BreakerGuard]:
        """Everybody's guard: one that goes on with its speaker remembers its failures."""
        guards = {}
        for name, engine_client in engine_clients.items():
            known = old.guards.get(name) if old is not None else None
            if known is None or known.engine_client is not engine_client:
                known = BreakerGuard(name, engine_client)
                self._show_breaker(name, known.breaker)
            known.has_standby = bool(fallbacks[name])
            guards[name] = known
        for name in old.guards.keys() - guards.keys() if old is not None else ():
            self.metrics.breaker_state.remove(name)
        return guards

    def _show_breaker(self, model: str, breaker: Breaker) -> None:
        """As it is whenever somebody reads it: that its time is over, nothing would tell."""
        self.metrics.breaker_state.labels(model).set_function(lambda: breaker.state.value)

    def _cast(self, config: ServerConfig, old: ServingSnapshot | None) -> tuple[dict[str, EngineClient], list[str]]:
        """Every model's speaker, those that go on as they are, and the names of the new ones."""
        before = {model.name: model for model in old.config.models} if old is not None else {}
        engine_clients: dict[str, EngineClient] = {}
        fresh = []
        for model in config.models:
            known = before.get(model.name)
            if old is not None and known is not None and _same_engine(known, model):
                engine_clients[model.name] = old.engine_clients[model.name]
            else:
                engine_clients[model.name] = self._make_speaker(model)
                fresh.append(model.name)
        return engine_clients, fresh


def _same_engine(one: ModelConfig, other: ModelConfig) -> bool:
    def what_it_is(model: ModelConfig) -> object:
        return model.engine, model.first_audio_timeout_seconds, model.batching

    return what_it_is(one) == what_it_is(other)


def _report(config: ServerConfig, engine_clients: Mapping[str, EngineClient], fresh: list[str]) -> None:
    for model in config.models:
        engine_client = engine_clients[model.name]
        missing = missing_voices(model, engine_client.voices)
        if missing:
            log.error("voices are not served: the engine lacks them", model=model.name, voices=missing)
        if model.name not in fresh:
            continue
        spoken = {language for languages in engine_client.voices.values() for language in languages[:1]}
        languages = sorted(model.languages or spoken)
        log.info("engine is loaded", model=model.name, engine=model.engine.type, languages=languages)
        if model.sample_rate_hz not in {None, engine_client.sample_rate_hz}:
            log.warning(
                "engine has another sample rate than its configuration says",
                model=model.name, configured_hz=model.sample_rate_hz, sample_rate_hz=engine_client.sample_rate_hz,
            )  # fmt: skip


async def _retire(
    before: asyncio.Task[None] | None, snapshot: ServingSnapshot, engine_clients: list[EngineClient]
) -> None:
    """Stop what only this scene and older ones used, once the last of their requests has ended."""
    try:
        if before is not None:
            await before
        if snapshot.requests:
            await snapshot.idle.wait()
    finally:  # when the server ends too: nobody else knows them any more
        await asyncio.gather(*(engine_client.stop() for engine_client in engine_clients))
