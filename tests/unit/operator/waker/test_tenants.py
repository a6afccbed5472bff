"""The waker's view of tenants and pods."""

from __future__ import annotations

from typing import Any

from tests.support.resources import Object
from tts_operator.objects.keys import Key
from tts_operator.waker.tenants import Pod, Tenants

ACME = Key("team-acme", "acme")


def tenant(name: str = "acme", port: int | None = 20_001, **told: Any) -> Object:
    status = {} if port is None else {"waker": {"port": port, "atZero": True, **told}}
    return {"metadata": {"namespace": "team-acme", "name": name, "uid": f"uid-{name}"}, "status": status}


def endpoints(name: str = "acme-x", service: str = "acme", *ready: str, waiting: tuple[str, ...] = ()) -> Object:
    return {
        "metadata": {
            "namespace": "team-acme",
            "name": name,
            "labels": {"kubernetes.io/service-name": service},
        },
        "endpoints": [
            *({"addresses": [address], "conditions": {"ready": True}} for address in ready),
            *({"addresses": [address], "conditions": {"ready": False}} for address in waiting),
        ],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


def test_a_port_leads_to_its_tenant_until_it_is_gone() -> None:
    tenants = Tenants()
    tenants.tenant_changed(tenant())
    found = tenants.at(20_001)
    assert found is not None
    assert found.key == ACME
    tenants.tenant_changed(tenant(port=20_002))
    assert tenants.at(20_001) is None
    assert tenants.at(20_002) is not None
    tenants.tenant_gone(tenant())
    assert tenants.at(20_002) is None
    assert len(tenants) == 0


def test_a_port_that_two_tenants_claim_leads_to_neither() -> None:
    tenants = Tenants()
    tenants.tenant_changed(tenant())
    tenants.tenant_changed(tenant("blue"))
    assert tenants.at(20_001) is None
    tenants.tenant_gone(tenant("blue"))
    assert tenants.at(20_001) is not None


def test_a_tenant_without_a_port_or_that_is_being_deleted_has_none() -> None:
    tenants = Tenants()
    tenants.tenant_changed(tenant(port=None))
    deleted = tenant("blue")
    deleted["metadata"]["deletionTimestamp"] = "2026-11-05T00:00:00Z"
    tenants.tenant_changed(deleted)
    assert len(tenants) == 0


def test_tenants_of_another_release_are_the_matter_of_its_own_waker() -> None:
    """Both give ports away by themselves."""
    tenants = Tenants("system/tts-operator")
    for name, release in (("acme", "system/tts-operator"), ("blue", "other/tts-operator")):
        body = tenant(name)
        body["status"]["release"] = release
        tenants.tenant_changed(body)
    found = tenants.at(20_001)
    assert found is not None
    assert found.key == ACME


def test_pods_are_the_ready_endpoints_of_every_slice_of_the_service() -> None:
    tenants = Tenants()
    tenants.slice_changed(endpoints("acme-1", "acme", "10.0.0.1", waiting=("10.0.0.2",)))
    tenants.slice_changed(endpoints("acme-2", "acme", "fd00::1"))
    tenants.slice_changed(endpoints("other", "blue", "10.0.0.9"))
    assert tenants.pods(ACME) == (Pod("10.0.0.1", 8080), Pod("fd00::1", 8080))
    assert [pod.authority for pod in tenants.pods(ACME)] == ["10.0.0.1:8080", "[fd00::1]:8080"]
    tenants.slice_changed(endpoints("acme-1", "acme", waiting=("10.0.0.1",)))
    tenants.slice_gone(endpoints("acme-2"))
    assert tenants.pods(ACME) == ()


def test_a_list_replaces_what_its_namespace_had_and_nothing_else() -> None:
    tenants = Tenants()
    tenants.tenant_changed(tenant())
    tenants.slice_changed(endpoints("acme-1", "acme", "10.0.0.1"))
    tenants.tenants_listed("team-blue", [])
    tenants.slices_listed("team-blue", [])
    assert len(tenants) == 1
    assert tenants.pods(ACME)
    tenants.tenants_listed("", [tenant("blue")])
    tenants.slices_listed("", [])
    assert tenants.at(20_001) == tenants.at(20_001)
    found = tenants.at(20_001)
    assert found is not None
    assert found.key.name == "blue"
    assert tenants.pods(ACME) == ()
