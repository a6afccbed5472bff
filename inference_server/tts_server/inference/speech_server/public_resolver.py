"""Resolves a host's name to addresses that are not local, so that a connection to any other one never begins."""

import ipaddress
import socket

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from tts_server.config.hosts import BadHost, is_local, is_local_text, parse_host
from tts_server.inference.speech_server.faults import ServerFault


def refuse_local_literal(host: str) -> None:
    """Raise `ServerFault` if the host is a local address, which asks no resolver, or has an ambiguous notation."""
    try:
        parsed = parse_host(host)
    except BadHost:
        raise ServerFault("unreachable") from None
    if isinstance(parsed, ipaddress.IPv4Address | ipaddress.IPv6Address) and is_local(parsed):
        raise ServerFault("local_address")


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
