"""How bad credentials are counted, and whose address a request has."""

import asyncio
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_server.auth import failure_throttle as module
from tts_server.auth.failure_throttle import FailureThrottle
from tts_server.auth.network import network_of
from tts_server.http.client_address import client_address

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def counted(failures: FailureThrottle, times: int, address: str = "192.0.2.1") -> list[float | None]:
    return [failures.count(address) for _ in range(times)]


def test_five_are_free_then_the_wait_doubles_up_to_five_minutes() -> None:
    waits = counted(FailureThrottle(Clock()), 20)
    assert waits[:5] == [None] * 5
    assert waits[5:14] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert set(waits[14:]) == {300}


def test_a_quiet_minute_forgets() -> None:
    clock = Clock()
    failures = FailureThrottle(clock)
    counted(failures, 5)
    clock.now += 61
    assert counted(failures, 6) == [None] * 5 + [1]
    clock.now += 60.5
    assert failures.count("192.0.2.1") == 2
    clock.now += 63
    assert failures.count("192.0.2.1") is None


def test_addresses_count_alone_but_an_ipv6_network_as_one() -> None:
    failures = FailureThrottle(Clock())
    counted(failures, 9)
    assert failures.count("192.0.2.2") is None
    for number in range(5):
        assert failures.count(f"2001:db8:0:1::{number}") is None
    assert failures.count("2001:db8:0:1:ffff::1") == 1
    assert failures.count("2001:db8:0:2::1") is None
    assert failures.count("::ffff:192.0.2.1") is not None


def test_memory_is_bounded_and_the_latest_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ADDRESSES", 100)
    failures = FailureThrottle(Clock())
    for number in range(1000):
        counted(failures, 6, f"192.0.{number // 256}.{number % 256}")
    assert len(failures) == 100
    assert failures.count("192.0.3.231") is not None
    assert failures.count("192.0.0.0") is None


async def test_a_flood_holds_no_more_than_some_connections() -> None:
    gate = asyncio.Event()
    held = 0

    async def sleep(seconds: float) -> None:
        nonlocal held
        held += 1
        await gate.wait()

    failures = FailureThrottle(Clock(), sleep)
    pauses = [asyncio.create_task(failures.pause()) for _ in range(1000)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (held, sum(task.done() for task in pauses)) == (64, 936)
    gate.set()
    await asyncio.gather(*pauses)
    await failures.pause()
    assert held == 65


ADDRESSES: dict[str, tuple[str, list[str], str]] = {
    # the story                             peer           X-Forwarded-For                    the caller
    "no proxy":                            ("192.0.2.1",  [],                                "192.0.2.1"),
    "a stranger that says it is a proxy":  ("192.0.2.1",  ["198.51.100.7"],                  "192.0.2.1"),
    "one proxy":                           ("10.0.0.1",   ["192.0.2.1"],                     "192.0.2.1"),
    "two proxies":                         ("10.0.0.1",   ["192.0.2.1, 10.0.0.2"],           "192.0.2.1"),
    "what the caller wrote before it":     ("10.0.0.1",   ["198.51.100.7, 192.0.2.1"],       "192.0.2.1"),
    "in two headers":                      ("10.0.0.1",   ["198.51.100.7", "192.0.2.1"],     "192.0.2.1"),
    "a proxy that says nothing":           ("10.0.0.1",   [],                                "10.0.0.1"),
    "only proxies":                        ("10.0.0.1",   ["10.0.0.3, 10.0.0.2"],            "10.0.0.3"),
    "garbage":                             ("10.0.0.1",   ["unknown"],                       "10.0.0.1"),
    "garbage before a proxy":              ("10.0.0.1",   ["<script>, 10.0.0.2"],            "10.0.0.2"),
    "IPv6":                                ("fd00::1",    ["2001:db8::1"],                   "2001:db8::1"),
    "IPv4 in IPv6":                        ("::ffff:10.0.0.1", ["192.0.2.1"],                "192.0.2.1"),
    "a socket without an address":         ("",           ["192.0.2.1"],                     ""),
}  # fmt: skip


@pytest.mark.parametrize(("peer", "forwarded", "expected"), ADDRESSES.values(), ids=ADDRESSES)
def test_client_address(peer: str, forwarded: list[str], expected: str) -> None:
    assert client_address(peer, forwarded, TRUSTED) == expected


def test_nobody_is_believed_by_default() -> None:
    assert client_address("10.0.0.1", ["192.0.2.1"], ()) == "10.0.0.1"


@given(st.text(max_size=100))
def test_no_header_errs(header: str) -> None:
    assert network_of(client_address("10.0.0.1", [header], TRUSTED))
