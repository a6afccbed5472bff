"""Addresses of Redis as people write them, and mistakes in them."""

import pytest

from tts_server.config.redis_url import BadRedisURL, RedisURL, parse_redis_url

GOOD: dict[str, RedisURL] = {
    "redis://host": RedisURL("host", 6379, 0, tls=False),
    "rediss://redis.cache.svc:6380/3\n": RedisURL("redis.cache.svc", 6380, 3, tls=True),
    "redis://acme:pa%2Fss@10.0.0.1:7000": RedisURL("10.0.0.1", 7000, 0, tls=False, username="acme", password="pa/ss"),
    "redis://:secret@host/0": RedisURL("host", 6379, 0, tls=False, password="secret"),
    "redis://[fd00::1]:6379/": RedisURL("fd00::1", 6379, 0, tls=False),
}
BAD: dict[str, str] = {
    " ": "is empty",
    "redis://a b": "is not one line without spaces",
    "redis://host\nredis://other": "is not one line without spaces",
    "host:6379": "does not begin with redis:// or rediss://",
    "http://host": "does not begin with redis:// or rediss://",
    "redis://host:s3cret": "has an invalid port or host",
    "redis://host:99999": "has an invalid port or host",
    "redis://[host": "has an invalid port or host",
    "redis://": "has no valid host",
    "redis://acme:pa@ss:6379@": "has no valid host",
    "redis://acme:s3cret@host?db=1": "has a `[?]` or a `#`",
    "redis://acme:s3c#ret@host": "has a `[?]` or a `#`",
    "redis://host/s3cret": "has a path that is not the number",
    "redis://s3cret@host": "names a user without a password",
}


@pytest.mark.parametrize(("text", "expected"), GOOD.items(), ids=repr)
def test_an_address_is_read(text: str, expected: RedisURL) -> None:
    assert parse_redis_url(text) == expected


@pytest.mark.parametrize(("text", "message"), BAD.items(), ids=repr)
def test_a_mistake_is_named_without_what_was_written(text: str, message: str) -> None:
    with pytest.raises(BadRedisURL, match=message) as caught:
        parse_redis_url(text)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_password_is_not_shown() -> None:
    assert "s3cret" not in repr(parse_redis_url("redis://acme:s3cret@host"))
