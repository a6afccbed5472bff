"""Hosts in URLs: their one accepted notation, and addresses to which no caller may lead a server."""

import ipaddress
import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address

NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?)*")
NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
"""A last label of this form makes resolvers read the whole host as a number, in one of many notations."""
LOCAL = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "224.0.0.0/4",
            "240.0.0.0/4",
            "::/128",
            "::1/128",
            "fe80::/10",
            "ff00::/8",
            # Metadata services of clouds at other addresses: Alibaba, Azure, Oracle, AWS, Google.
            "100.100.100.200/32",
            "168.63.129.16/32",
            "192.0.0.192/32",
            "fd00:ec2::254/128",
            "fd20:ce::254/128",
        ),
    )
)
TRANSLATED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")))
"""Networks whose last 32 bits are an IPv4 address: NAT64, and the former IPv4-compatible addresses."""
ISATAP = (0x00005EFE, 0x02005EFE)
"""Third 32 bits of addresses whose last 32 bits are an IPv4 address (RFC 5214)."""


class BadHost(ValueError):  # noqa: N818 - it says what happened
    """The host has an ambiguous notation; the message completes "host <host> ..."."""


def parse_host(text: str) -> Address | str:
    """The address, or the name in lower case without a dot at its end. Raises BadHost.

    Programs disagree on 127.1, 0x7f.1, 2130706433, 0177.0.0.1 and characters beyond ASCII, so none of these is a host.
    """
    if not text.isascii():
        raise BadHost("has characters beyond ASCII: write it as xn--...")
    host = text.lower()
    if ":" in host:
        try:
            address = IPv6Address(host.removeprefix("[").removesuffix("]"))
        except ValueError:
            raise BadHost("is not an IPv6 address") from None
        if address.scope_id is not None:
            raise BadHost("is an IPv6 address with a zone")
        return address.ipv4_mapped or address
    host = host.removesuffix(".")
    if NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            return IPv4Address(host)
        except ValueError:
            raise BadHost("must be written as four decimal numbers to be an IPv4 address") from None
    if not NAME.fullmatch(host):
        raise BadHost("is neither a name of letters, digits, dashes and dots nor an IP address")
    return host


def is_local(address: Address) -> bool:
    """Whether requests to the address end at this machine, its link, or the metadata service of its cloud.

    Addresses that contain such an address, for a translator or a tunnel, count too.
    """
    return any(each in network for each in (address, *embedded(address)) for network in LOCAL)


def embedded(address: Address) -> Iterator[Address]:
    """IPv4 addresses that an IPv6 address contains."""
    if isinstance(address, IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    number = int(address)
    if any(address in network for network in TRANSLATED) or (number >> 32) & 0xFFFFFFFF in ISATAP:
        yield IPv4Address(number & 0xFFFFFFFF)


def is_local_text(address: str) -> bool:
    """Whether the address of a socket's other end is local; False for what is not an IP address, such as a path."""
    try:
        return is_local(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return False
