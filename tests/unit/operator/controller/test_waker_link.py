"""Tenants and the waker: who gets a port, and what follows when its pods change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

from tests.support.operator_builders import SETTINGS, observe
from tests.support.resources import Object
from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import Forbidden
from tts_operator.controller.waker_link import WakerLink
from tts_operator.objects.kinds import Kind
from tts_operator.settings import WakerSettings
from tts_operator.snapshot.observed import Observed

WITH_WAKER = replace(SETTINGS, waker=WakerSettings(service="ttsfleet-waker", first_port=20_000, ports=2))
ZERO = {"default": {"minReplicas": 0}}


class Slices:
    """Lists the EndpointSlices of the waker."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked: list[tuple[str, str, str]] = []

    async def list(self, kind: Kind, namespace: str = "", labels: str = "") -> AsyncIterator[Object]:
        self.asked.append((kind.plural, namespace, labels))
        yield {"endpoints": [{"addresses": [each], "conditions": {"ready": True}} for each in self.addresses]}


class Forbids:
    def list(self, *_: object) -> AsyncIterator[Object]:
        raise Forbidden("Forbidden", "endpointslices")


def cluster(fake: object) -> Cluster:
    return cast("Cluster", fake)


def tenant(name: str = "acme", schedule: Any = ZERO, before: Object | None = None) -> Observed:
    found = observe(schedule=schedule, before=before)
    return replace(found, key=found.key._replace(name=name), body={**(found.body or {}), "metadata": {"uid": name}})


async def test_a_tenant_whose_schedule_has_a_zero_gets_a_port_and_the_addresses() -> None:
    link, slices = WakerLink(WITH_WAKER), Slices("10.0.0.7")
    await link.begin_term(cluster(slices))
    assert slices.asked == [("endpointslices", "ttsfleet-system", "kubernetes.io/service-name=ttsfleet-waker")]
    found = link.connect(tenant()).waker
    assert found is not None
    assert found.addresses == ("10.0.0.7",)
    assert link.connect(tenant()).waker == found
    assert link.connect(tenant("blue", {"default": {"minReplicas": 1}})).waker is None


async def test_ports_that_are_recorded_are_taken_over_before_any_other_is_given_away() -> None:
    link = WakerLink(WITH_WAKER)
    await link.begin_term(cluster(Slices()))
    for port in (20_000, 20_001):
        recorded = {
            "metadata": {"namespace": "team-acme", "name": f"t{port}", "uid": f"t{port}"},
            "status": {"waker": {"port": port}},
        }
        link.listed([recorded])
    assert [getattr(link.connect(tenant(f"t{port}")).waker, "port", None) for port in (20_001, 20_000)] == [
        20_001,
        20_000,
    ]
    assert link.connect(tenant("third")).waker is None, "no port is left"
    link.connect(tenant("t20000", {"default": {"minReplicas": 1}}))
    assert link.connect(tenant("third")).waker is None, "a port that was freed belongs to nobody else for a while"
    assert getattr(link.connect(tenant("t20000")).waker, "port", None) == 20_000


async def test_tenants_follow_when_the_waker_s_pods_change() -> None:
    link, slices = WakerLink(WITH_WAKER), Slices("10.0.0.7")
    await link.begin_term(cluster(slices))
    link.connect(tenant())
    assert not await link.refresh(cluster(slices))
    slices.addresses = ("10.0.0.8",)
    assert await link.refresh(cluster(slices))
    assert getattr(link.connect(tenant()).waker, "addresses", ()) == ("10.0.0.8",)


async def test_an_operator_that_may_not_read_the_addresses_starts_all_the_same() -> None:
    link = WakerLink(WITH_WAKER)
    await link.begin_term(cluster(Forbids()))
    assert getattr(link.connect(tenant()).waker, "addresses", None) == ()


async def test_without_a_waker_nothing_is_read_and_nobody_has_a_port() -> None:
    link, slices = WakerLink(SETTINGS), Slices("10.0.0.7")
    await link.begin_term(cluster(slices))
    await link.run(cluster(slices), lambda _: None)
    assert slices.asked == []
    assert link.connect(tenant()).waker is None
