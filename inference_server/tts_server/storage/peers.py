"""The other replicas of this pool, which hold the files of links that arrive here.

A link names its replica by a digest of that replica's address. Requests go only to addresses that the pool's headless
Service has now, never to one that a link contains.
"""

import asyncio
import hashlib
import ipaddress
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from urllib.parse import quote, urlsplit

import httpx
import structlog

from tts_server.errors import AudioGone, PermissionDenied, StorageUnavailable
from tts_server.storage.protocol import KEY
from tts_server.storage.signed_links import LinkGrant

log = structlog.get_logger(__name__)

HOP = "X-TTS-Hop"
"""Header of a request from a replica: the receiver forwards it to no other replica."""
PLACE_DIGITS = 16
RESOLVE_SECONDS = 2.0
FRESH_SECONDS = 1.0
"""Time for which resolved addresses are reused."""
CONNECT_SECONDS = 1.0
READ_SECONDS = 5.0
CONNECTIONS = 32
ANSWERS = frozenset({200, 206, 304, 416})
"""Statuses that are passed on: the whole audio, a part of it, not modified, no such part."""

Resolve = Callable[[str, int], Awaitable[Collection[str]]]


def place_of(address: str) -> str:
    """Name of the replica at this IP address in links: a digest. Raises ValueError for anything but an address."""
    canonical = ipaddress.ip_address(address).compressed
    return hashlib.sha256(b"place" + canonical.encode()).hexdigest()[:PLACE_DIGITS]


class Peers:
    """Fetches audio from another replica. `url` is that of the headless Service: scheme, name and port."""

    def __init__(self, url: str, resolve: Resolve | None = None) -> None:
        address = urlsplit(url)
        self._host = address.hostname or ""
        self._port = address.port or 80
        self._resolve = resolve or _resolve
        self._known: Collection[str] = ()
        self._known_until = 0.0
        self._resolving = asyncio.Lock()
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            # No connection is reused: one that the peer has closed would look like a replica that fails.
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=0),
            trust_env=False,
        )

    async def fetch(self, key: str, permission: LinkGrant, conditions: Mapping[str, str]) -> httpx.Response:
        """The owner's response, with a status of `ANSWERS` and an unread body. The caller must close it.

        `conditions` are the request's conditional headers, which the owner evaluates. Only the owner can check the
        link. Raises `PermissionDenied` and `AudioGone` as the owner responds, `AudioGone` also if the owner is gone,
        and `StorageUnavailable` if it does not respond.
        """
        address = await self._address(permission.replica[:PLACE_DIGITS])
        if address is None or not KEY.fullmatch(key):
            raise AudioGone("The replica that stored this audio is gone.")
        host = f"[{address}]" if ":" in address else address
        request = self._client.build_request(
            "GET",
            f"http://{host}:{self._port}/v1/tts/audio/{quote(key)}",
            params={"expires": permission.expires, "replica": permission.replica, "signature": permission.signature},
            headers={HOP: "1", **conditions},
        )
        try:
            response = await self._client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise AudioGone("The replica that stored this audio is gone.") from error
        except httpx.HTTPError as error:
            log.warning("replica does not respond", reason=type(error).__name__)
            raise StorageUnavailable("The replica that stores this audio does not respond.") from error
        if response.status_code in ANSWERS:
            return response
        await response.aclose()
        if response.status_code == httpx.codes.GONE:
            raise AudioGone("This audio is no longer stored.")
        if response.status_code == httpx.codes.FORBIDDEN:
            raise PermissionDenied("The link's signature is invalid.")
        log.warning("replica refused a request for audio", status=response.status_code)
        raise StorageUnavailable("The replica that stores this audio cannot deliver it.")

    async def close(self) -> None:
        """Close all connections; responses that are being read end."""
        await self._client.aclose()

    async def _address(self, place: str) -> str | None:
        async with self._resolving:  # concurrent callers share one look-up
            if time.monotonic() >= self._known_until:
                try:
                    async with asyncio.timeout(RESOLVE_SECONDS):
                        self._known = await self._resolve(self._host, self._port)
                except OSError as error:  # a timeout is one
                    log.warning("replicas not resolved", reason=type(error).__name__)
                    raise StorageUnavailable("The replica that stores this audio cannot be found.") from error
                self._known_until = time.monotonic() + FRESH_SECONDS
        return next((address for address in self._known if place_of(address) == place), None)


async def _resolve(host: str, port: int) -> Collection[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}:
            return ()  # a headless Service without replicas has no address
        raise
    return {str(address[0]) for *_, address in found}
