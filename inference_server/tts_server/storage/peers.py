"""The other replicas of this pool: whose files a link may lead to, wherever the link itself arrived.

A link names its replica by a digest of that replica's address. Only addresses that the pool's headless Service has now
are looked at: nothing in a link is ever connected to.
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
"""On a request from a replica: whoever gets it asks nobody else."""
PLACE_DIGITS = 16
RESOLVE_SECONDS = 2.0
FRESH_SECONDS = 1.0
"""Addresses are asked for again after that."""
CONNECT_SECONDS = 1.0
READ_SECONDS = 5.0
CONNECTIONS = 32
ANSWERS = frozenset({200, 206, 304, 416})
"""All of the audio, a part of it, none because the caller has it, none because there is no such part."""

Resolve = Callable[[str, int], Awaitable[Collection[str]]]


def place_of(address: str) -> str:
    """How links name the replica at this IP address, without showing it. Raises ValueError for anything else."""
    canonical = ipaddress.ip_address(address).compressed
    return hashlib.sha256(b"place" + canonical.encode()).hexdigest()[:PLACE_DIGITS]


class Peers:
    """Fetches what another replica keeps. `url` is the headless Service's: a scheme, a name, a port."""

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
            # None kept: one that its other side has closed meanwhile would look like a replica that breaks off.
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=0),
            trust_env=False,
        )

    async def fetch(self, key: str, permission: LinkGrant, conditions: Mapping[str, str]) -> httpx.Response:
        """The owner's answer, one of `ANSWERS`, its body still to be read; close it.

        `conditions` are headers of the request, which the owner has the audio to judge by.
        The owner checks the link: only it can. Raises what it answers: `PermissionDenied` or `AudioGone`, which is also
        what a replica that is no more has to say; `StorageUnavailable` for one that does not answer.
        """
        address = await self._address(permission.replica[:PLACE_DIGITS])
        if address is None or not KEY.fullmatch(key):
            raise AudioGone("This audio was a file of a replica that is gone.")
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
            raise AudioGone("This audio was a file of a replica that is gone.") from error
        except httpx.HTTPError as error:
            log.warning("replica does not answer", reason=type(error).__name__)
            raise StorageUnavailable("The replica that keeps this audio does not answer now.") from error
        if response.status_code in ANSWERS:
            return response
        await response.aclose()
        if response.status_code == httpx.codes.GONE:
            raise AudioGone("This audio is not kept any more.")
        if response.status_code == httpx.codes.FORBIDDEN:
            raise PermissionDenied("The link's signature does not fit.")
        log.warning("replica refused", status=response.status_code)
        raise StorageUnavailable("The replica that keeps this audio cannot hand it out now.")

    async def close(self) -> None:
        """Answers under way break off."""
        await self._client.aclose()

    async def _address(self, place: str) -> str | None:
        async with self._resolving:  # one question at a time, whoever waits for the answer
            if time.monotonic() >= self._known_until:
                try:
                    async with asyncio.timeout(RESOLVE_SECONDS):
                        self._known = await self._resolve(self._host, self._port)
                except OSError as error:  # a timeout is one
                    log.warning("replicas are not known", reason=type(error).__name__)
                    raise StorageUnavailable("The replica that keeps this audio cannot be found now.") from error
                self._known_until = time.monotonic() + FRESH_SECONDS
        return next((address for address in self._known if place_of(address) == place), None)


async def _resolve(host: str, port: int) -> Collection[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}:
            return ()  # a headless Service without a single replica has no address
        raise
    return {str(address[0]) for *_, address in found}
