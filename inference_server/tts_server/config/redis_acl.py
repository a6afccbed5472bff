"""The permissions of a server's ACL user in Redis: the commands that the server sends, on keys of its tenant."""

COMMANDS = (
    "del", "eval", "evalsha", "expire", "get", "hdel", "hexists", "hget", "hgetall", "hincrby", "hmget", "hset",
    "select", "set", "time", "zadd", "zcard", "zrange", "zrangebyscore", "zrem", "zremrangebyscore",
)  # fmt: skip
"""Includes the commands of scripts: Redis checks them, too."""


def key_patterns(tenant_uid: str) -> tuple[str, ...]:
    """Patterns of the keys of counters and cached audio, and of refresh tokens."""
    return (f"tts:{{{tenant_uid}}}:*", f"ttsfleet:{{{tenant_uid}}}:*")


def rules(tenant_uid: str) -> tuple[str, ...]:
    """Arguments of `ACL SETUSER`, without the password."""
    patterns = (f"~{pattern}" for pattern in key_patterns(tenant_uid))
    return (*patterns, "resetchannels", "-@all", *(f"+{command}" for command in COMMANDS))
