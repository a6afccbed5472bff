"""A host has one notation, and no notation hides an address of the node, of its link or of its cloud."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_server.config.hosts import LOCAL, BadHost, is_local, is_local_text, parse_host

METADATA = int(IPv4Address("169.254.169.254"))
IPV4_LOCAL = [network for network in LOCAL if network.version == 4]
NOTATIONS = (lambda number: f"{number}", lambda number: f"0x{number:x}", lambda number: f"0{number:o}")
EMBEDDING = (
    lambda number: f"::ffff:{IPv4Address(number)}",
    lambda number: f"::ffff:{number >> 16:x}:{number & 0xFFFF:x}",
    lambda number: f"0:0:0:0:0:FFFF:{number >> 16:04X}:{number & 0xFFFF:04X}",
    lambda number: f"::{IPv4Address(number)}",
    lambda number: f"64:ff9b::{IPv4Address(number)}",
    lambda number: f"64:ff9b:1::{number >> 16:x}:{number & 0xFFFF:x}",
    lambda number: f"2002:{number >> 16:x}:{number & 0xFFFF:x}::1",
    lambda number: f"2001:db8::5efe:{IPv4Address(number)}",
    lambda number: f"2001:0:808:808:0:0:{~number >> 16 & 0xFFFF:x}:{~number & 0xFFFF:x}",
)


def local_numbers() -> st.SearchStrategy[int]:
    """IPv4 addresses that are local, as numbers."""
    return st.sampled_from(IPV4_LOCAL).flatmap(
        lambda network: st.integers(int(network.network_address), int(network.broadcast_address))
    )


def is_refused(host: str) -> bool:
    """Whether the host is no host, or a local address."""
    try:
        parsed = parse_host(host)
    except BadHost:
        return True
    return not isinstance(parsed, str) and is_local(parsed)


@given(
    number=local_numbers(),
    notations=st.lists(st.sampled_from(NOTATIONS), min_size=4, max_size=4),
    parts=st.integers(1, 4),
    end=st.sampled_from(["", "."]),
    capital=st.booleans(),
)
def test_a_local_address_is_found_in_every_notation_of_inet_aton(
    number: int, notations: list[object], parts: int, end: str, *, capital: bool
) -> None:
    values = [number >> 8 * (3 - index) & 0xFF for index in range(parts - 1)]
    values.append(number & (1 << 8 * (5 - parts)) - 1)
    host = ".".join(write(value) for write, value in zip(notations, values, strict=False))  # type: ignore[operator]  # they are functions
    assert int.from_bytes(socket.inet_aton(host)) == number, "the C library means this address"
    assert is_refused((host.upper() if capital else host) + end)


@given(number=local_numbers(), embed=st.sampled_from(EMBEDDING), brackets=st.booleans())
def test_a_local_address_is_found_within_ipv6(number: int, embed: object, *, brackets: bool) -> None:
    address = embed(number)  # type: ignore[operator]  # a function
    assert is_refused(f"[{address}]" if brackets else address)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_itself(address: IPv4Address) -> None:
    assert parse_host(str(address)) == address
    assert parse_host(f"::ffff:{address}") == address, "a socket connects to the same"


@given(st.ip_addresses(v=6))
def test_an_ipv6_address_is_itself_in_every_notation(address: IPv6Address) -> None:
    expected = address.ipv4_mapped or address
    assert {parse_host(text) for text in (str(address), address.exploded, f"[{address}]".upper())} == {expected}


@given(st.text(max_size=40))
def test_whatever_is_written_there_is_a_plain_name_an_address_or_refused(text: str) -> None:
    try:
        parsed = parse_host(text)
    except BadHost:
        return
    if isinstance(parsed, str):
        assert parse_host(parsed) == parsed
        assert parsed.isascii()
        with pytest.raises(OSError, match="illegal IP address"):
            socket.inet_aton(parsed)


LOCAL_ADDRESSES = ["127.0.0.1", "0.0.0.0", "169.254.169.254", "::", "::1", "fe80::1", "febf::1", "fd00:ec2::254"]
OTHER_ADDRESSES = [
    "10.0.0.1",
    "192.168.0.1",
    "8.8.8.8",
    "fd00::1",
    "fec0::1",
    "2001:db8::1",
    "2002:a00:1::1",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("address", LOCAL_ADDRESSES)
def test_it_is_local(address: str) -> None:
    assert is_refused(address)
    assert is_local_text(address)


@pytest.mark.parametrize("address", OTHER_ADDRESSES)
def test_it_is_somewhere_else(address: str) -> None:
    assert not is_refused(address)
    assert not is_local_text(address)


def test_the_address_of_a_socket_may_have_a_zone_and_may_be_a_path() -> None:
    assert is_local_text("fe80::1%eth0")
    assert not is_local_text("/run/redis.sock")


@pytest.mark.parametrize(
    "host",
    ["", ".", "a..b", "-a.example", "a b", "169.254.169%2e254", "①②.example", "ﬁ.example", "fe80::1%1", "a" * 254],
)
def test_no_host_is_written_like_that(host: str) -> None:
    with pytest.raises(BadHost):
        parse_host(host)


def test_a_name_is_the_same_in_capitals_and_with_a_dot_at_its_end() -> None:
    assert parse_host("Minio.Store.SVC.") == "minio.store.svc"
