"""Limits for each client count by its identity."""

from tts_server.auth.authenticate import Caller


def test_a_client_is_its_key_else_its_subject_else_its_address() -> None:
    assert Caller(key="app", address="192.0.2.1").client == "key:app"
    assert Caller(subject="ada", address="192.0.2.1").client == "subject:ada"
    assert Caller(address="192.0.2.1").client == "address:192.0.2.1"


def test_all_addresses_that_one_caller_has_are_one_client() -> None:
    """Whoever has an IPv6 address has 2^64 of them, and a socket for both families shows IPv4 in IPv6."""
    one, *others = (Caller(address=f"2001:db8:0:1::{number}").client for number in (1, 2, "ffff"))
    assert others == [one, one]
    assert Caller(address="2001:db8:0:2::1").client != one
    assert Caller(address="::ffff:192.0.2.1").client == Caller(address="192.0.2.1").client


def test_one_kind_of_client_cannot_pass_for_another() -> None:
    assert Caller(subject="app").client != Caller(key="app").client
    assert Caller(subject="192.0.2.1").client != Caller(address="192.0.2.1").client
