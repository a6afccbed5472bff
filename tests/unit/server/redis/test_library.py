"""Undocumented behaviour of redis-py on which `tts_server.redis.connection` depends (decision 13)."""

import inspect

import hiredis
import pytest
from redis.asyncio import Connection, SSLConnection
from redis.asyncio.connection import RedisSSLContext
from redis.exceptions import DataError

from tts_server.config.redis_url import RedisURL
from tts_server.redis.connection import CurrentTrust, FollowingConnection


class NowhereAddress:
    name = "nowhere"

    def read(self) -> tuple[RedisURL, None]:
        return RedisURL("127.0.0.1", 1, 0, tls=False), None


def test_the_library_still_connects_by_the_method_that_reads_the_address() -> None:
    parameters = inspect.signature(SSLConnection.connect_check_health).parameters
    assert list(parameters) == ["self", "check_health", "retry_socket_connect"]
    for method in (Connection.connect, Connection.send_packed_command):
        assert "self.connect_check_health(" in inspect.getsource(method)


def test_the_library_still_takes_its_certificates_from_the_context_that_follows_the_address() -> None:
    connection = FollowingConnection(address=NowhereAddress())
    assert isinstance(connection.ssl_context, CurrentTrust)
    assert list(inspect.signature(RedisSSLContext.get).parameters) == ["self"]
    assert "self.ssl_context.get()" in inspect.getsource(SSLConnection)


def test_a_command_is_packed_as_the_library_packs_it() -> None:
    connection = FollowingConnection(address=NowhereAddress())
    plain = Connection()
    for command in (("GET", "a"), ("ACL SETUSER", "acme", b"\xff"), ("SET", "a", 1, "PX", 5), ("EVAL", "", 0, 1.5)):
        assert b"".join(connection.pack_command(*command)) == b"".join(plain.pack_command(*command))
    assert callable(hiredis.pack_command)


def test_a_value_that_has_no_form_in_redis_is_refused() -> None:
    with pytest.raises(DataError):
        FollowingConnection(address=NowhereAddress()).pack_command("SET", "a", None)


def test_the_library_still_sends_nothing_before_the_method_that_checks_the_other_end() -> None:
    """`_writer` is its one private name here (decision 31)."""
    connects = inspect.getsource(Connection.connect_check_health)
    assert connects.index("self._connect()") < connects.index("self.on_connect_check_health(")
    assert "send" not in inspect.getsource(Connection._connect)
    assert "self._writer = writer" in inspect.getsource(Connection._connect)
