"""Refresh tokens in Redis, shared by all replicas: a hash for each family, which expires.

A sorted set records when each family was used last, to limit their number: a client that requests a token for each
request must not fill a store that other tenants share.
"""

from collections.abc import Awaitable
from typing import Any

from redis.exceptions import RedisError

from tts_server.auth.refresh_tokens import (
    MOST_FAMILIES,
    REFRESH_SECONDS,
    Renewal,
    digest,
    fresh_family,
    fresh_secret,
    parts,
    refused,
)
from tts_server.errors import RefreshUnavailable
from tts_server.redis.client import RedisClient

# Every script: KEYS 1 the family, 2 the set of all; ARGV 1 the family's name in it, 2 lifetime of an unused family in
# seconds.
_USED = """
local time = redis.call('TIME')
local function microseconds(second) return string.format('%.0f', second * 1000000 + time[2]) end
local function used()
  redis.call('EXPIRE', KEYS[1], ARGV[2])
  redis.call('ZADD', KEYS[2], microseconds(time[1]), ARGV[1])
  redis.call('EXPIRE', KEYS[2], ARGV[2])
end
"""
# One script, so that of two replicas that receive the same token only one can spend it. The other finds the new secret
# and deletes the family, as for every second use. ARGV 3 the secret, 4 the next one.
_RENEW = """
local known = redis.call('HMGET', KEYS[1], 'secret', 'holder')
if not known[1] then return false end
if known[1] ~= ARGV[3] then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
  return false
end
redis.call('HSET', KEYS[1], 'secret', ARGV[4])
used()
return known[2]
"""
# ARGV 3 the secret, 4 the holder, 5 how many families there may be, 6 the prefix of their keys.
_START = """
redis.call('HSET', KEYS[1], 'secret', ARGV[3], 'holder', ARGV[4])
used()
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', microseconds(time[1] - ARGV[2]))
local over = math.min(redis.call('ZCARD', KEYS[2]) - ARGV[5], 1000)
if over > 0 then
  for _, family in ipairs(redis.call('ZRANGE', KEYS[2], 0, over - 1)) do
    redis.call('DEL', ARGV[6] .. family)
    redis.call('ZREM', KEYS[2], family)
  end
end
return 1
"""
RENEW = _USED + _RENEW
START = _USED + _START


class RedisRefreshTokens:
    """Keys are `ttsfleet:{<tenant's UID>}:refresh:<SHA-256 of the family's name>`, and `all` in place of the last."""

    def __init__(self, client: RedisClient, tenant_uid: str, most_families: int = MOST_FAMILIES) -> None:
        self._client = client
        self._most_families = most_families
        self._prefix = f"ttsfleet:{{{tenant_uid}}}:refresh:"

    async def start(self, holder: str) -> str:
        name, secret = fresh_family(), fresh_secret()
        await self._run(START, digest(name), digest(secret), holder, self._most_families, self._prefix)
        return f"{name}.{secret}"

    async def renew(self, token: str) -> Renewal:
        given, secret = parts(token), fresh_secret()
        holder = await self._run(RENEW, given.family, given.secret, digest(secret))
        if not isinstance(holder, bytes):
            raise refused()
        return Renewal(holder.decode(), f"{token.partition('.')[0]}.{secret}")

    async def _run(self, script: str, family: str, *arguments: str | int) -> object:
        """Uses EVAL, not EVALSHA: a script this short fits into the packet that is sent anyway."""
        keys = self._prefix + family, self._prefix + "all"
        answer: Awaitable[Any] = self._client.eval(script, len(keys), *keys, family, REFRESH_SECONDS, *arguments)
        try:
            return await answer
        except (RedisError, OSError) as error:
            raise RefreshUnavailable(
                "Refresh tokens are unavailable: use the API key.", retry_after_seconds=5
            ) from error
