"""Public keys that somebody else publishes: fetched seldom, by one request at a time, and kept through an outage.

A known key is found without waiting, even while its set is being fetched again. Only a kid that is not known makes a
caller wait for a fetch, at most once in RETRY_SECONDS for everybody together: tokens with invented kids cost the issuer
nothing more.
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

import httpx
import structlog

from tts_server.errors import TokensUnavailable

log = structlog.get_logger(__name__)

RETRY_SECONDS = 60.0
REFRESH_SECONDS = 600.0
"""After it a set is fetched again in passing, so that keys which were withdrawn are forgotten."""
OUTAGE_SECONDS = 3600.0
"""For so long the last keys serve an issuer that does not answer."""
FETCH_SECONDS = 5.0
LARGEST_BYTES = 65_536

Key = TypeVar("Key")
Fetch = Callable[[], Awaitable[Mapping[str, Key]]]


class FetchFailed(Exception):  # noqa: N818 - it says what happened
    """No keys came; the message says why, in the server's own words."""


class KeySet(Generic[Key]):
    """Keys by kid. `fetch` raises `FetchFailed`."""

    def __init__(self, fetch: Fetch[Key], clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: Mapping[str, Key] = {}
        self._fetched: float | None = None
        """When the keys came."""
        self._tried: float | None = None
        """When they were last asked for."""
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> Key | None:
        """The key of that name. Raises `TokensUnavailable` where there are no keys that may still be used."""
        age = self._age()
        if age is not None and kid in self._keys:
            if age > REFRESH_SECONDS:
                self.refresh()
            return self._keys[kid]
        if (fetching := self.refresh()) is not None:
            await asyncio.shield(fetching)
        if self._age() is None:
            raise TokensUnavailable("The keys of this token's issuer cannot be fetched now.", retry_after_seconds=30)
        return self._keys.get(kid)

    def refresh(self) -> "asyncio.Task[None] | None":
        """The fetch that is under way, a new one, or none because the last one was a moment ago."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        now = self._clock()
        if self._tried is not None and now - self._tried < RETRY_SECONDS:
            return None
        self._tried = now
        self._fetching = asyncio.create_task(self._take())
        return self._fetching

    async def close(self) -> None:
        """End a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _age(self) -> float | None:
        """Seconds since the keys came; None without keys that may be used."""
        age = None if self._fetched is None else self._clock() - self._fetched
        return None if age is None or age > OUTAGE_SECONDS else age

    async def _take(self) -> None:
        try:
            self._keys = await self._fetch()
        except FetchFailed as error:
            log.warning("the external issuer's keys were not fetched", reason=str(error))
        else:
            self._fetched = self._clock()
            log.info("the external issuer's keys are taken", keys=len(self._keys))


async def fetch_document(url: str, trust: Path | None) -> object:
    """The JSON at `url`, exactly there, within limits. Raises `FetchFailed`.

    No proxy of the environment, no redirect, no cookie: what `url` names is all that is asked.
    """
    try:
        context = await asyncio.to_thread(ssl.create_default_context, cafile=None if trust is None else str(trust))
        async with (
            asyncio.timeout(FETCH_SECONDS),
            httpx.AsyncClient(verify=context, follow_redirects=False, trust_env=False, timeout=FETCH_SECONDS) as client,
            client.stream("GET", url, headers={"Accept": "application/json", "Accept-Encoding": "identity"}) as reply,
        ):
            if reply.status_code != 200:
                raise FetchFailed(f"it answered {reply.status_code}")
            if reply.headers.get("content-encoding", "identity").lower() != "identity":
                raise FetchFailed("its answer is compressed")
            body = bytearray()
            async for chunk in reply.aiter_raw():
                body += chunk
                if len(body) > LARGEST_BYTES:
                    raise FetchFailed(f"its answer is larger than {LARGEST_BYTES} bytes")
        return httpx.Response(200, content=bytes(body)).json()
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
        raise FetchFailed(type(error).__name__) from None
    except (ValueError, RecursionError):
        raise FetchFailed("its answer is no JSON") from None
