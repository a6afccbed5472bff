"""State of a running server: the current snapshot, counters, store. A request keeps the snapshot it began with."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

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
from tts_server.quota.limit_table import METERED
from tts_server.quota.limits import LimitStatus
from tts_server.routing.catalogue import catalogue, languages_of, missing_voices
from tts_server.routing.fallback import Chains, can_serve
from tts_server.routing.voice_selection import VoiceSelector, select_voice
from tts_server.scheduling.fair_queue import Priority
from tts_server.storage.peers import Peers
from tts_server.storage.protocol import Store
from tts_server.storage.signed_links import Links
from tts_server.synthesis.guard import BreakerGuard
from tts_server.telemetry.metrics import Metrics
from tts_server.telemetry.tracing import NoTracing, Tracing
from tts_server.text.language_detection import needs_statistics
from tts_server.text.statistical_model import StatisticalModel

log = structlog.get_logger(__name__)

MakeEngineClient = Callable[[ModelConfig], EngineClient]


class TenantIndex(Protocol):
    """The tenants of a shared pool, found by what a request brings."""

    def named(self, name: str) -> "ServerState | None":
        """Return the tenant `<namespace>.<name>`."""

    def with_key(self, key: bytes) -> "ServerState | None":
        """Return the tenant whose API key this is."""

    def with_credential(self, credential: bytes | None) -> "ServerState | None":
        """Return the tenant of an API key, or the one that an access token names: the token is not verified here."""

    def with_refresh_token(self, token: str | None) -> "ServerState | None":
        """Return the tenant that a refresh token names: the token is not checked here."""


def quota_key(config: ServerConfig) -> str:
    """Return the key of the tenant's counters: its UID, so that a later tenant of the same name starts at zero."""
    return config.tenant_uid or config.tenant


@dataclass(slots=True)
class ProcessState:
    """State that a process has once, however many tenants it serves."""

    metrics: Metrics = field(default_factory=Metrics)
    tracing: Tracing = field(default_factory=NoTracing)
    threads: EncodingThreads = field(default_factory=EncodingThreads)
    language_model: StatisticalModel = field(default_factory=StatisticalModel)
    draining: bool = False


class ServerState:
    """Created once per process, and by a shared pool once more for each tenant.

    `snapshot` is None until the engines are loaded.
    """

    def __init__(
        self,
        *,
        make_engine_client: MakeEngineClient,
        quota: Admission,
        store: Store,
        links: Links,
        process: ProcessState | None = None,
    ) -> None:
        self.process = ProcessState() if process is None else process
        self.snapshot: ServingSnapshot | None = None
        self.on_snapshot: Callable[[], None] = lambda: None
        """Called when `snapshot` was replaced, before engines stop that it lacks."""
        self.keyring = Keyring()
        self.identity = Identity()
        self.admission = quota
        self.store = store
        self.links = links
        self.peers: Peers | None = None
        self.cache: Cache | None = None
        self.tenants: TenantIndex | None = None
        """In a shared pool, the tenants that it serves."""
        self.exports_limits = False
        """Whether metrics show the limits: from the first request on."""
        self.make_engine_client = make_engine_client
        self._changing = asyncio.Lock()
        self._retiring: asyncio.Task[None] | None = None
        """Stops the engines of replaced snapshots; each reload's task awaits the one before it."""

    @property
    def metrics(self) -> Metrics:
        """Metrics of the process."""
        return self.process.metrics

    @property
    def tracing(self) -> Tracing:
        """Tracing of the process."""
        return self.process.tracing

    @tracing.setter
    def tracing(self, tracing: Tracing) -> None:
        self.process.tracing = tracing

    @property
    def threads(self) -> EncodingThreads:
        """Threads that encode audio."""
        return self.process.threads

    @property
    def language_model(self) -> StatisticalModel:
        """Statistics that tell languages of one script apart."""
        return self.process.language_model

    @property
    def draining(self) -> bool:
        """Whether the process is shutting down."""
        return self.process.draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        self.process.draining = draining

    @property
    def ready(self) -> bool:
        """Whether every model, or one of its fallbacks, is loaded and warm, and the server is not draining."""
        snapshot = self.snapshot
        if self.draining or snapshot is None:
            return False
        fallbacks = snapshot.catalogue.fallbacks
        return all(
            can_serve(name, fallbacks, lambda model: snapshot.engine_clients[model].ready)
            for name in snapshot.engine_clients
        )

    def drain(self) -> None:
        """Refuse batch requests, queued ones included: other replicas have time for them."""
        self.draining = True
        for engine_client in self.snapshot.engine_clients.values() if self.snapshot is not None else ():
            engine_client.refuse_waiting(Draining("This replica is shutting down."), Priority.BATCH)

    def limit(self, config: QuotaConfig) -> None:
        """Replace the limits; the counts stay."""
        replicas = self.snapshot.config.max_replicas if self.snapshot is not None else self.admission.replicas
        self.admission = Admission(self.admission.quota, config, replicas)

    def set_remaining(self, tenant: str, status: LimitStatus) -> None:
        """Export each limit, and what remains of it, as metrics."""
        self.exports_limits = True
        for name, limit in status.items():
            if name in METERED:
                self.metrics.quota_remaining_of(tenant, name).set(limit.remaining)
                self.metrics.quota_limit_of(tenant, name).set(limit.limit)

    def forget_limits(self, tenant: str, status: LimitStatus) -> None:
        """Remove the metrics of limits that no longer exist."""
        for name in METERED - status.keys():
            self.metrics.quota_remaining_of.remove(tenant, name)
            self.metrics.quota_limit_of.remove(tenant, name)

    async def show(self, config: ServerConfig) -> None:
        """Serve `config`: start the engines that it adds, switch, then stop those that it lacks.

        Raises `EngineError` or `CatalogueError`; nothing has changed then.
        """
        async with self._changing:
            old = self.snapshot
            engine_clients, added = self._engine_clients(config, old)
            started: list[EngineClient] = []
            try:
                for name in added:
                    await engine_clients[name].start()
                    started.append(engine_clients[name])
                names = catalogue(
                    config,
                    {name: engine_client.voices for name, engine_client in engine_clients.items()},
                    {name: engine_client.voice_features for name, engine_client in engine_clients.items()},
                )
            except BaseException:
                for engine_client in started:
                    await engine_client.stop()
                raise
            self.snapshot = ServingSnapshot(
                config, names, engine_clients, self._guarded(engine_clients, names.fallbacks, old)
            )
            self.admission = Admission(self.admission.quota, self.admission.config, config.max_replicas)
            self.metrics.entry_pool.set(config.role != "Member")
            self.on_snapshot()
            _log_models(config, engine_clients, added)
            decision = select_voice(names, VoiceSelector(model=None, voice=None), names.default_model)
            if needs_statistics(decision.default_language, names.routed_languages):
                self.language_model.preload()
            if old is not None:
                unused = [
                    engine_client
                    for name, engine_client in old.engine_clients.items()
                    if engine_clients.get(name) is not engine_client
                ]
                self._retiring = asyncio.create_task(_retire(self._retiring, old, unused))

    async def stop(self) -> None:
        """End every engine. Requests in flight fail."""
        if self._retiring is not None:
            self._retiring.cancel()
            await asyncio.wait([self._retiring])
        if self.snapshot is not None:
            await asyncio.gather(*(engine_client.stop() for engine_client in self.snapshot.engine_clients.values()))
        self.threads.close()

    def _guarded(
        self, engine_clients: Mapping[str, EngineClient], fallbacks: Chains, old: ServingSnapshot | None
    ) -> dict[str, BreakerGuard]:
        """Return the guard of every model; an engine that keeps running keeps its breaker."""
        guards = {}
        for name, engine_client in engine_clients.items():
            guard = old.guards.get(name) if old is not None else None
            if guard is None or guard.engine_client is not engine_client:
                guard = BreakerGuard(name, engine_client)
                self._export_breaker(name, guard.breaker)
            guard.has_fallback = bool(fallbacks[name])
            guards[name] = guard
        for name in old.guards.keys() - guards.keys() if old is not None else ():
            self.metrics.breaker_state.remove(name)
        return guards

    def _export_breaker(self, model: str, breaker: Breaker) -> None:
        """Export the state at each scrape: no event marks the moment when an open breaker becomes half-open."""
        self.metrics.breaker_state.labels(model).set_function(lambda: breaker.state.value)

    def _engine_clients(
        self, config: ServerConfig, old: ServingSnapshot | None
    ) -> tuple[dict[str, EngineClient], list[str]]:
        """Return every model's client, reusing those whose engine is the same, and the names of the new ones."""
        before = {model.name: model for model in old.config.models} if old is not None else {}
        engine_clients: dict[str, EngineClient] = {}
        added = []
        for model in config.models:
            previous = before.get(model.name)
            if old is not None and previous is not None and _same_engine(previous, model):
                engine_clients[model.name] = old.engine_clients[model.name]
            else:
                engine_clients[model.name] = self.make_engine_client(model)
                added.append(model.name)
        return engine_clients, added


def _same_engine(one: ModelConfig, other: ModelConfig) -> bool:
    def identity(model: ModelConfig) -> object:
        return model.engine, model.first_audio_timeout_seconds, model.batching

    return identity(one) == identity(other)


def _log_models(config: ServerConfig, engine_clients: Mapping[str, EngineClient], added: list[str]) -> None:
    for model in config.models:
        engine_client = engine_clients[model.name]
        missing = missing_voices(model, engine_client.voices)
        if missing:
            log.error("configured voices missing in the engine", model=model.name, voices=missing)
        if model.name not in added:
            continue
        languages = sorted(model.languages or languages_of(engine_client.voices.values()))
        log.info("engine loaded", model=model.name, engine=model.engine.type, languages=languages)
        if model.sample_rate_hz not in {None, engine_client.sample_rate_hz}:
            log.warning(
                "sample rate differs from configuration",
                model=model.name, configured_hz=model.sample_rate_hz, sample_rate_hz=engine_client.sample_rate_hz,
            )  # fmt: skip


async def _retire(
    before: asyncio.Task[None] | None, snapshot: ServingSnapshot, engine_clients: list[EngineClient]
) -> None:
    """Stop engines that only replaced snapshots use, once the last of their requests has ended."""
    try:
        if before is not None:
            await before
        if snapshot.requests:
            await snapshot.idle.wait()
    finally:  # also when the server ends: no newer snapshot refers to them
        await asyncio.gather(*(engine_client.stop() for engine_client in engine_clients))
