"""Everything that one request is served with: immutable, swapped as a whole on reload."""

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
    """A configuration with its engines running: what one request sees from its beginning to its end."""

    config: ServerConfig
    catalogue: Catalogue
    engine_clients: Mapping[str, EngineClient]
    guards: Mapping[str, BreakerGuard]
    """Around the speakers."""
    requests: int = 0
    """Under way. Engines that a newer scene lacks stop when this is zero."""
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    coalescer: Coalescer = field(default_factory=Coalescer)
    """Of this scene's engines: nobody joins one whose engine is about to stop."""

    def enter(self) -> None:
        """A request begins here."""
        self.requests += 1
        self.idle.clear()

    def leave(self) -> None:
        """It has ended."""
        self.requests -= 1
        if self.requests == 0:
            self.idle.set()
