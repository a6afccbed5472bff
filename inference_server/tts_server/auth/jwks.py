"""Public keys of an external issuer: fetched rarely, by one request at a time, and kept during an outage.

A known key is returned without waiting, even while the set is being fetched again. Only an unknown kid makes a caller
wait for a fetch, at most one in RETRY_SECONDS for all callers: tokens with invented kids cause no further requests.
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import httpx
import structlog

from tts_server.config.hosts import is_local_text
from tts_server.errors import TokensUnavailable

log = structlog.get_logger(__name__)

RETRY_SECONDS = 60.0
REFRESH_SECONDS = 600.0
"""Age after which a set is fetched again in the background, so that withdrawn keys are dropped."""
OUTAGE_SECONDS = 3600.0
"""Maximum age of keys while the issuer does not respond."""
FETCH_SECONDS = 5.0
LARGEST_BYTES = 65_536

Key = TypeVar("Key")
Fetch = Callable[[], Awaitable[Mapping[str, Key]]]


class FetchFailed(Exception):  # noqa: N818 - it says what happened
    """The key set could not be fetched. The message contains nothing of the response."""


class KeySet(Generic[Key]):
    """Keys by kid. `fetch` raises `FetchFailed`."""

    def __init__(self, fetch: Fetch[Key], clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: Mapping[str, Key] = {}
        self._fetched: float | None = None
        """Time of the last successful fetch."""
        self._tried: float | None = None
        """Time of the last fetch."""
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> Key | None:
        """The key, or None if the set lacks the kid. Raises `TokensUnavailable` without a set that is fresh enough."""
        age = self._age()
        if age is not None and kid in self._keys:
            if age > REFRESH_SECONDS:
                self.refresh()
            return self._keys[kid]
        if (fetching := self.refresh()) is not None:
            await asyncio.shield(fetching)
        if self._age() is None:
            raise TokensUnavailable("The keys of the token's issuer cannot be fetched.", retry_after_seconds=30)
        return self._keys.get(kid)

    def refresh(self) -> "asyncio.Task[None] | None":
        """The running fetch, a new one, or None if the last one was less than RETRY_SECONDS ago."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        now = self._clock()
        if self._tried is not None and now - self._tried < RETRY_SECONDS:
            return None
        self._tried = now
        self._fetching = asyncio.create_task(self._fetch_keys())
        return self._fetching

    async def close(self) -> None:
        """Cancel a running fetch."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _age(self) -> float | None:
        """Age of the keys in seconds; None without keys that are fresh enough."""
        age = None if self._fetched is None else self._clock() - self._fetched
        return None if age is None or age > OUTAGE_SECONDS else age

    async def _fetch_keys(self) -> None:
        try:
            self._keys = await self._fetch()
        except FetchFailed as error:
            log.warning("issuer keys not fetched", reason=str(error))
        else:
            self._fetched = self._clock()
            log.info("issuer keys reloaded", keys=len(self._keys))


async def fetch_document(url: str, trust: Path | None, *, refuse_local: bool = False) -> object:
    """The JSON document at `url`, within limits of time and size. Raises `FetchFailed`.

    Uses no proxy of the environment and follows no redirect: `url` is the only address that is contacted.
    `refuse_local`: send nothing if that is a loopback, link-local or metadata address.
    """
    extensions = {"trace": _refuse_local} if refuse_local else {}
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    try:
        context = await asyncio.to_thread(ssl.create_default_context, cafile=None if trust is None else str(trust))
        async with (
            asyncio.timeout(FETCH_SECONDS),
            httpx.AsyncClient(verify=context, follow_redirects=False, trust_env=False, timeout=FETCH_SECONDS) as client,
            client.stream("GET", url, headers=headers, extensions=extensions) as reply,
        ):
            if reply.status_code != 200:
                raise FetchFailed(f"status {reply.status_code}")
            if reply.headers.get("content-encoding", "identity").lower() != "identity":
                raise FetchFailed("the response is compressed")
            body = bytearray()
            async for chunk in reply.aiter_raw():
                body += chunk
                if len(body) > LARGEST_BYTES:
                    raise FetchFailed(f"the response is larger than {LARGEST_BYTES} bytes")
        return httpx.Response(200, content=bytes(body)).json()
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
        raise FetchFailed(type(error).__name__) from None
    except (ValueError, RecursionError):
        raise FetchFailed("the response is not JSON") from None


async def _refuse_local(event: str, details: dict[str, Any]) -> None:
    """Check the connection in httpx's trace: before TLS begins, its other end is known."""
    if event == "connection.connect_tcp.complete":
        stream = details["return_value"]
        if is_local_text(str(stream.get_extra_info("server_addr")[0])):
            await stream.aclose()
            raise FetchFailed("the host has a loopback, link-local or metadata address")
