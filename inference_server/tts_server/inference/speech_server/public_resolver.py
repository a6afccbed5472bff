"""Resolves a host's name to addresses that are not local, so that a connection to any other one never begins."""

import socket

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from tts_server.config.hosts import is_local_text
from tts_server.inference.speech_server.faults import ServerFault


class PublicResolver(AbstractResolver):
    """Leaves local addresses out. Raises `ServerFault` if no other is left; connections go to what it returns."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        public = [each for each in found if not is_local_text(each["host"])]
        if found and not public:
            raise ServerFault("local_address")
        return public

    async def close(self) -> None:
        await self._resolver.close()
