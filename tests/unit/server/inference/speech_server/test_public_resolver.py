"""Names of other speech servers lead to no local address."""

from __future__ import annotations

import socket

import pytest
from aiohttp import ThreadedResolver
from aiohttp.abc import ResolveResult

from tts_server.inference.speech_server.faults import ServerFault
from tts_server.inference.speech_server.public_resolver import PublicResolver, refuse_local_literal

LOCAL = ("127.0.0.1", "169.254.169.254", "::1", "fe80::1%eth0", "::ffff:127.0.0.1", "64:ff9b::7f00:1")
PUBLIC = ("93.184.216.34", "2606:2800:220:1::1")


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that the machine's resolver finds."""
    found: list[str] = []

    async def resolve(
        self: ThreadedResolver, host: str, port: int, family: socket.AddressFamily
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=each, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)
            for each in found
        ]

    monkeypatch.setattr(ThreadedResolver, "resolve", resolve)
    return found


async def found_by_name() -> list[str]:
    return [each["host"] for each in await PublicResolver().resolve("speech.example", 443, socket.AF_UNSPEC)]


@pytest.mark.parametrize("local", LOCAL)
async def test_a_name_of_local_addresses_alone_is_refused(addresses: list[str], local: str) -> None:
    addresses.append(local)
    with pytest.raises(ServerFault) as raised:
        await found_by_name()
    assert raised.value.word == "local_address"


async def test_local_addresses_are_left_out(addresses: list[str]) -> None:
    addresses += [LOCAL[0], PUBLIC[0], LOCAL[2], PUBLIC[1]]
    assert await found_by_name() == list(PUBLIC)


LITERALS = {
    "127.0.0.1": "local_address",
    "::ffff:127.0.0.1": "local_address",
    "169.254.169.254": "local_address",
    "127.1": "unreachable",
    "2130706433": "unreachable",
    "0x7f000001": "unreachable",
    "0177.0.0.1": "unreachable",
    "a..example": "unreachable",
    "": "unreachable",
}


@pytest.mark.parametrize(("host", "word"), LITERALS.items(), ids=ascii)
def test_a_local_address_is_refused_in_any_notation(host: str, word: str) -> None:
    with pytest.raises(ServerFault) as raised:
        refuse_local_literal(host)
    assert raised.value.word == word


@pytest.mark.parametrize("host", ["speech.example", "93.184.216.34", "2606:2800:220:1::1", "localhost"])
def test_names_and_other_addresses_are_left_to_the_connection(host: str) -> None:
    refuse_local_literal(host)
