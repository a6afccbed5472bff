"""Finds the caller's address behind trusted proxies."""

import ipaddress
from collections.abc import Sequence

from tts_server.auth.network import Network


def client_address(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the caller's address: the last one that is not a trusted proxy's.

    `forwarded`: the values of `X-Forwarded-For` in their order. A caller can make up everything left of the first
    untrusted hop.
    """
    hops = [hop.strip() for value in forwarded for hop in value.split(",")]
    address = peer
    while hops and is_trusted(address, trusted):
        hop = hops.pop()
        try:
            address = str(ipaddress.ip_address(hop))
        except ValueError:
            break
    return address


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """Whether the address is a trusted proxy's."""
    if not trusted:
        return False
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in trusted)
