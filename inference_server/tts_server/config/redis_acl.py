"""What a server asks of Redis, and so all that its ACL user may do: its own tenant's keys, by these commands."""

COMMANDS = (
    "del", "eval", "evalsha", "expire", "get", "hdel", "hexists", "hget", "hgetall", "hincrby", "hmget", "hset",
    "select", "set", "time", "zadd", "zcard", "zrange", "zrangebyscore", "zrem", "zremrangebyscore",
)  # fmt: skip
"""Commands inside a script are checked like any other."""


def key_patterns(tenant_uid: str) -> tuple[str, ...]:
    """Of counters and small audio, and of refresh tokens."""
    return (f"tts:{{{tenant_uid}}}:*", f"ttsfleet:{{{tenant_uid}}}:*")


def rules(tenant_uid: str) -> tuple[str, ...]:
    """Arguments of `ACL SETUSER`, without the password."""
    patterns = (f"~{pattern}" for pattern in key_patterns(tenant_uid))
    return (*patterns, "resetchannels", "-@all", *(f"+{command}" for command in COMMANDS))
