"""The configuration and engines that serve a request from beginning to end: replaced as a whole on reload."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from tts_server.config.schema import ServerConfig
from tts_server.inference.client import EngineClient
from tts_server.routing.catalogue import Catalogue
from tts_server.synthesis.coalescing import Coalescer
from tts_server.synthesis.guard import BreakerGuard


@dataclass
class ServingSnapshot:
    """A configuration with its engines running."""

    config: ServerConfig
    catalogue: Catalogue
    engine_clients: Mapping[str, EngineClient]
    guards: Mapping[str, BreakerGuard]
    """Circuit breakers by model."""
    requests: int = 0
    """Requests in flight. Engines that a newer snapshot lacks stop when this is zero."""
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while no request is in flight, after the first."""
    coalescer: Coalescer = field(default_factory=Coalescer)
    """Streams of this snapshot's engines: a request never joins one whose engine is about to stop."""
    pool: "ServingSnapshot | None" = None
    """In a shared pool, the pool's snapshot, whose engines a tenant's snapshot uses: its requests hold both."""

    def enter(self) -> None:
        """Hold the snapshot for one request."""
        if self.pool is not None:
            self.pool.enter()
        self.requests += 1
        self.idle.clear()

    def leave(self) -> None:
        """Release one request's hold on the snapshot."""
        if self.pool is not None:
            self.pool.leave()
        self.requests -= 1
        if self.requests == 0:
            self.idle.set()
