"""How a local node cuts its block of addresses."""

from __future__ import annotations

import ipaddress

import pytest

from hack.cluster.sandbox import CANDIDATES, Network


@pytest.mark.parametrize("block", CANDIDATES, ids=str)
def test_the_parts_of_a_block_do_not_overlap(block: ipaddress.IPv4Network) -> None:
    network = Network(block)
    link = ipaddress.IPv4Network(f"{network.host_address}/30", strict=False)
    parts = [link, ipaddress.IPv4Network(network.pods), ipaddress.IPv4Network(network.services)]
    assert all(part.subnet_of(block) for part in parts)
    assert not any(one.overlaps(other) for one in parts for other in parts if one is not other)


@pytest.mark.parametrize("block", CANDIDATES, ids=str)
def test_an_interface_name_fits_the_kernel(block: ipaddress.IPv4Network) -> None:
    assert len(Network(block).interface) <= 15


def test_the_api_server_has_the_first_service_address() -> None:
    network = Network(CANDIDATES[0])
    assert ipaddress.ip_address(network.first_service) == next(ipaddress.ip_network(network.services).hosts())
