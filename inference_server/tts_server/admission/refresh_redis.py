"""Refresh tokens that every replica knows: a hash for each family, which Redis forgets by itself."""

from collections.abc import Awaitable
from typing import Any

from redis.exceptions import RedisError

from tts_server.admission.refresh import (
    REFRESH_SECONDS,
    Renewal,
    digest,
    fresh_family,
    fresh_secret,
    parts,
    refused,
)
from tts_server.errors import RefreshUnavailable
from tts_server.redis_client import RedisClient

# One script, so that of two replicas given the same token at once only one can spend it. The other finds the new secret
# in its place, and ends the family: that is what a second use means.
RENEW = """
local known = redis.call('HMGET', KEYS[1], 'secret', 'holder')
if not known[1] then return false end
if known[1] ~= ARGV[1] then
  redis.call('DEL', KEYS[1])
  return false
end
redis.call('HSET', KEYS[1], 'secret', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return known[2]
"""
START = """
redis.call('HSET', KEYS[1], 'secret', ARGV[1], 'holder', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""


class RedisRefreshTokens:
    """Keys are `ttsfleet:<tenant's UID>:refresh:<SHA-256 of the family's name>`."""

    def __init__(self, client: RedisClient, tenant_uid: str) -> None:
        self._client = client
        self._prefix = f"ttsfleet:{{{tenant_uid}}}:refresh:"

    async def start(self, holder: str) -> str:
        name, secret = fresh_family(), fresh_secret()
        await self._run(START, digest(name), digest(secret), holder, REFRESH_SECONDS)
        return f"{name}.{secret}"

    async def renew(self, token: str) -> Renewal:
        given, secret = parts(token), fresh_secret()
        holder = await self._run(RENEW, given.family, given.secret, digest(secret), REFRESH_SECONDS)
        if not isinstance(holder, bytes):
            raise refused()
        return Renewal(holder.decode(), f"{token.partition('.')[0]}.{secret}")

    async def _run(self, script: str, family: str, *arguments: str | int) -> object:
        """EVAL, not EVALSHA: a script of ten lines travels in the packet that is sent anyway."""
        answer: Awaitable[Any] = self._client.eval(script, 1, self._prefix + family, *arguments)
        try:
            return await answer
        except (RedisError, OSError) as error:
            raise RefreshUnavailable(
                "Refresh tokens cannot be had or used now: use the API key.", retry_after_seconds=5
            ) from error
