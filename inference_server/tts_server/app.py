"""The composition root: from two files and some folders to an application that serves."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tts_server.admission.admission import Admission
from tts_server.admission.auth import Keyring, read_digests, read_token
from tts_server.admission.quota import MemoryQuota
from tts_server.catalogue import CatalogueError
from tts_server.config import LocalEngine, ModelConfig, QuotaConfig, ServerConfig
from tts_server.engines.pool import ProcessPool
from tts_server.engines.remote_pool import PoolSpeaker
from tts_server.engines.speaker import Speaker
from tts_server.errors import EngineError, TTSError
from tts_server.reload import BrokenFile, Watcher, read_model
from tts_server.routes import audio, catalogue, health, speech, synthesize
from tts_server.routes.conversation import HUNG_UP, Conversations, HungUp, conversation_of
from tts_server.routes.errors import HTTPError, describe, error_response
from tts_server.server import MakeSpeaker, Server
from tts_server.stores.filesystem import FilesystemStore, Limits
from tts_server.stores.links import Links, link_secret

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the configuration comes from; without a file, what is given stays as it is."""

    config: ServerConfig
    quota: QuotaConfig
    config_file: Path | None = None
    quota_file: Path | None = None


class Application:
    """A server, the application around it, and what keeps both current. `start` and `stop` it."""

    def __init__(self, sources: Sources, make_speaker: MakeSpeaker | None = None) -> None:
        config = sources.config
        self._sources = sources
        self._store = FilesystemStore(config.storage.directory, _store_limits(config))
        self.server = Server(
            make_speaker=make_speaker or self._speaker,
            quota=Admission(MemoryQuota(time.monotonic), sources.quota, config.max_replicas),
            store=self._store,
            links=Links(link_secret(config.storage.directory), config.tenant_uid),
        )
        self.asgi = asgi(self.server)
        self.watcher = Watcher()
        self._config = config
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Return once the engines are loaded and warm. Raises `EngineError` and `CatalogueError`."""
        sources = self._sources
        if sources.config_file is not None:
            self.watcher.watch(sources.config_file, self._take_config)
        if sources.quota_file is not None:
            self.watcher.watch(sources.quota_file, self._take_quota)
        self._watch_keys(self._config)
        await self._take_keys()
        await self.server.show(self._config)
        self._tasks = [asyncio.create_task(self.watcher.run()), asyncio.create_task(self._sweep())]

    async def stop(self) -> None:
        """Engines end last."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.server.stop()

    async def _take_config(self) -> None:
        assert self._sources.config_file is not None  # noqa: S101 - it is watched
        loads = self.server.metrics.config_loads
        try:
            config = read_model(self._sources.config_file, ServerConfig)
            await self.server.show(config)
        except (BrokenFile, CatalogueError, EngineError) as error:
            loads.labels("server", "refused").inc()
            raise error if isinstance(error, BrokenFile) else BrokenFile(str(error)) from None
        self._store.limits = _store_limits(config)
        self._watch_keys(config)
        self._config = config
        await self._take_keys()
        loads.labels("server", "taken").inc()
        log.info("configuration is taken", models=[model.name for model in config.models])

    async def _take_quota(self) -> None:
        assert self._sources.quota_file is not None  # noqa: S101 - it is watched
        loads = self.server.metrics.config_loads
        try:
            quota = read_model(self._sources.quota_file, QuotaConfig)
        except BrokenFile:
            loads.labels("quota", "refused").inc()
            raise
        self.server.limit(quota)
        loads.labels("quota", "taken").inc()
        log.info("quota is taken", **quota.model_dump())

    def _watch_keys(self, config: ServerConfig) -> None:
        wanted = {folder for folder in (config.auth.keys_directory, config.auth.internal_directory) if folder}
        for folder in {self._config.auth.keys_directory, self._config.auth.internal_directory} - wanted:
            if folder is not None:
                self.watcher.forget(folder)
        for folder in wanted:
            self.watcher.watch(folder, self._take_keys)

    async def _take_keys(self) -> None:
        auth = self._config.auth
        try:
            digests = read_digests(auth.keys_directory) if auth.keys_directory else {}
            token = read_token(auth.internal_directory) if auth.internal_directory else None
        except OSError as error:
            raise BrokenFile(error.strerror or "not readable") from None
        self.server.keyring = Keyring(digests, token)
        if auth.keys_directory:
            log.info("API keys are taken", keys=sorted(digests))

    async def _sweep(self) -> None:
        while True:
            with suppress(OSError):
                await self._store.sweep()
            await asyncio.sleep(SWEEP_SECONDS)

    def _speaker(self, model: ModelConfig) -> Speaker:
        engine = model.engine
        metrics = self.server.metrics
        restarts = metrics.engine_restarts
        if isinstance(engine, LocalEngine):
            return ProcessPool(
                engine.type.lower(),
                processes=engine.processes,
                threads=engine.threads,
                memory_limit_bytes=engine.memory_limit_bytes,
                first_audio_timeout_seconds=model.first_audio_timeout_seconds,
                on_restart=lambda reason: restarts.labels(model.name, reason).inc(),
                on_wait=lambda tenant, seconds: metrics.queue_wait.labels(tenant, model.name).observe(seconds),
                on_depth=lambda tenant, depth: metrics.queue_depth.labels(tenant, model.name).set(depth),
            )
        return PoolSpeaker(
            engine.url,
            model.name,
            token=self._token,
            first_audio_timeout_seconds=model.first_audio_timeout_seconds,
        )

    def _token(self) -> str | None:
        token = self.server.keyring.token
        return None if token is None else token.decode("ascii", "replace")


def asgi(server: Server) -> ASGIApp:
    """The application over a server: routes, and one answer to whatever they raise."""
    app = FastAPI(title="TTS Fleet", redirect_slashes=False, openapi_url=None)
    app.state.server = server
    for module in (speech, synthesize, audio, catalogue, health):
        app.include_router(module.router)
    for kind in (TTSError, HTTPError, HTTPException):
        app.add_exception_handler(kind, _refuse)
    app.add_exception_handler(Exception, _refuse)
    app.add_exception_handler(HungUp, _leave)
    return Conversations(app, server)


async def _refuse(request: Request, error: Exception) -> Response:
    talk = conversation_of(request.scope)
    talk.failure = talk.failure or describe(error)[2]
    return error_response(error, talk.request_id)


async def _leave(request: Request, error: Exception) -> Response:
    del error
    talk = conversation_of(request.scope)
    talk.status, talk.failure = HUNG_UP, "hung_up"
    return _Silence()


class _Silence(Response):
    """Nobody is there to be answered."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive, send


def _store_limits(config: ServerConfig) -> Limits:
    return Limits(config.storage.retention_seconds, config.storage.max_bytes)
