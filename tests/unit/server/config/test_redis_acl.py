"""An ACL user may do what the server does, and no more."""

import re

from tts_server.auth import redis_refresh_tokens as refresh_redis
from tts_server.config.redis_acl import COMMANDS, rules
from tts_server.quota import redis_scripts as quota_scripts

BY_THE_CLIENT = {"eval", "evalsha", "select", "hgetall", "get", "set", "del"}
"""Commands that the server sends itself: scripts, the database's number, the ledger's hash, and cached audio."""


def test_every_command_of_a_script_is_granted_and_nothing_that_none_uses() -> None:
    scripts = [value for module in (quota_scripts, refresh_redis) for value in vars(module).values()]
    text = "\n".join(script for script in scripts if isinstance(script, str))
    called = {name.lower() for name in re.findall(r"redis\.call\('(\w+)'", text)}
    assert set(COMMANDS) == called | BY_THE_CLIENT


def test_the_rules_reach_the_tenants_keys_only() -> None:
    given = rules("uid-1")
    assert [rule for rule in given if rule[0] in "~&%"] == ["~tts:{uid-1}:*", "~ttsfleet:{uid-1}:*"]
    assert not [rule for rule in given if rule.startswith("+@") or rule in {"allkeys", "allchannels", "nopass"}]
