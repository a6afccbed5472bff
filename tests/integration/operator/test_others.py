"""Other managers' changes: what is theirs stays, what is ours returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.api_server import DAY, ApiServer, converge, eventually, specs
from tests.support.resources import tenant_body
from tts_operator.controller.reconcile_tenant import ReconcileFailed, reconcile
from tts_operator.objects.kinds import EVENT
from tts_operator.objects.manifest import Ref

pytestmark = pytest.mark.parametrize("api", ["live", "cached"], indirect=True)

Change = Callable[[ApiServer, str], Awaitable[object]]


async def a_tenant(api: ApiServer, **spec: Any) -> str:
    """One that has converged; returns its model's name."""
    name = await api.publish_model()
    await api.user.create(tenant_body(name, key=api.key(), **spec))
    await converge(api)
    return name


async def test_what_another_manager_added_survives(api: ApiServer) -> None:
    name = await a_tenant(api)
    deployment, service = api.ref("Deployment", f"acme-{name}"), api.ref("Service", "acme")
    await api.user.patch(deployment, {"metadata": {"annotations": {"example.com/owner": "platform"}}})
    await api.user.patch(deployment, {"spec": {"template": {"metadata": {"annotations": {"restarted": "noon"}}}}})
    await api.user.patch(service, {"metadata": {"labels": {"mesh": "on"}}, "spec": {"internalTrafficPolicy": "Local"}})
    await api.user.patch(api.ref("TTSTenant", "acme"), {"spec": {"tier": "VIP"}})
    before = len(api.writes)
    await converge(api)
    assert len(api.writes) > before, "the tier did change something"
    live = await api.get("Deployment", f"acme-{name}")
    assert live["metadata"]["annotations"]["example.com/owner"] == "platform"
    assert live["spec"]["template"]["metadata"]["annotations"]["restarted"] == "noon"
    live = await api.get("Service", "acme")
    assert live["metadata"]["labels"]["mesh"] == "on"
    assert live["spec"]["internalTrafficPolicy"] == "Local"
    managers = {entry["manager"] for entry in live["metadata"]["managedFields"]}
    assert {api.user.name, "tts-operator"} <= managers


async def test_pull_secrets_that_somebody_adds_to_a_tenants_account_survive(api: ApiServer) -> None:
    """`docs/how-to/private-registries.md` offers this way."""
    await a_tenant(api)
    account = api.ref("ServiceAccount", "acme-tts")
    await api.user.patch(account, {"imagePullSecrets": [{"name": "registry"}]})
    await api.user.patch(account, {"metadata": {"labels": {"ttsfleet.io/tenant": None}}})  # something to repair
    before = len(api.writes)
    await converge(api)
    assert len(api.writes) > before
    assert (await api.get("ServiceAccount", "acme-tts"))["imagePullSecrets"] == [{"name": "registry"}]


async def test_a_change_of_replicas_by_another_survives_twenty_reconciles(api: ApiServer) -> None:
    name = await a_tenant(api, schedule=DAY)
    await api.user.scale(api.ref("Deployment", f"acme-{name}"), 3)
    for turn in range(20):
        if turn % 5 == 0:  # some of them have something else to write
            await api.user.patch(api.ref("TTSTenant", "acme"), {"spec": {"quota": {"requestsPerMinute": turn + 1}}})
        await reconcile(api.key(), await api.context(api.key()))
    assert (await api.get("Deployment", f"acme-{name}"))["spec"]["replicas"] == 3


EDITS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "an image": (
        "Deployment",
        "acme-{model}",
        {"spec": {"template": {"spec": {"containers": [{"name": "tts-server", "image": "evil:1"}]}}}},
    ),
    "the Service's selector": ("Service", "acme", {"spec": {"selector": {"ttsfleet.io/pool": "other"}}}),
    "the HPA's bounds": ("HorizontalPodAutoscaler", "acme-{model}", {"spec": {"minReplicas": 1, "maxReplicas": 9}}),
    "a ConfigMap's content": ("ConfigMap", "acme-quota", {"data": {"quota.json": "{}"}}),
    "a label": ("ServiceAccount", "acme-tts", {"metadata": {"labels": {"ttsfleet.io/tenant": None}}}),
    "an owner": ("ConfigMap", "acme-quota", {"metadata": {"labels": {"app.kubernetes.io/managed-by": "me"}}}),
    "the budget": ("PodDisruptionBudget", "acme-{model}", {"spec": {"maxUnavailable": "100%"}}),
    "the policy": ("NetworkPolicy", "acme-{model}", {"spec": {"ingress": None}}),
}


@pytest.mark.parametrize(("kind", "name", "edit"), EDITS.values(), ids=EDITS)
async def test_a_child_edited_by_hand_returns(api: ApiServer, kind: str, name: str, edit: dict[str, Any]) -> None:
    model = await a_tenant(api, schedule=DAY)
    before = specs(await api.children())
    await api.user.patch(api.ref(kind, name.format(model=model)), edit)
    await converge(api)
    after = specs(await api.children())
    if kind == "Deployment":  # a merge patch replaces the list: what it left out comes back with the container
        assert (
            after["deploy/" + name.format(model=model)]["spec"]["template"]["spec"]["containers"][0]["image"]
            != "evil:1"
        )
    assert after == before


async def test_every_child_deleted_by_hand_returns(api: ApiServer) -> None:
    name = await api.publish_model()
    await api.user.create(tenant_body(name, await api.publish_model(), schedule=DAY, key=api.key()))
    await converge(api)
    before = await api.children()
    for ref in before:
        await api.user.delete(ref)
    for ref in before:
        await eventually(lambda ref=ref: gone_or_going(api, ref), f"{ref} goes")  # type: ignore[misc]
    await eventually(lambda: restored(api, set(before)), "every child is back")
    await converge(api)  # the last of them may have lost its first /scale to its own controller
    assert specs(await api.children()) == specs(before)


async def gone_or_going(api: ApiServer, ref: Ref) -> bool:
    live = await api.cluster.get(ref)
    return live is None or "deletionTimestamp" in live["metadata"]


async def restored(api: ApiServer, wanted: set[Ref]) -> bool:
    await reconcile(api.key(), await api.context(api.key()))
    live = await api.children()
    return set(live) == wanted and not any("deletionTimestamp" in child["metadata"] for child in live.values())


async def test_a_name_that_is_taken_is_not_adopted(api: ApiServer) -> None:
    foreign = api.ref("Service", "acme")
    body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "acme", "namespace": api.namespace},
        "spec": {"ports": [{"port": 81}]},
    }
    await api.user.create(body)
    name = await api.publish_model()
    await api.user.create(tenant_body(name, key=api.key()))
    with pytest.raises(ReconcileFailed, match="NameTaken"):
        await reconcile(api.key(), await api.context(api.key()))
    condition = await api.condition("Programmed")
    assert (condition["status"], condition["reason"]) == ("False", "NameTaken")
    live = await api.cluster.get(foreign)
    assert live is not None
    assert "ownerReferences" not in live["metadata"]
    assert api.ref("Deployment", f"acme-{name}") in await api.children(), "the rest is made all the same"
    await api.user.delete(foreign)
    await converge(api)
    assert (await api.condition("Programmed"))["status"] == "True"


async def test_the_child_of_a_namesake_that_is_gone_is_not_adopted(api: ApiServer) -> None:
    """An object that carries our labels but another owner's UID belongs to the garbage collector."""
    name = await api.publish_model()
    await api.user.create(tenant_body(name, key=api.key()))
    await converge(api)
    before = set(await api.children())
    await api.user.delete(api.ref("TTSTenant", "acme"))
    await api.user.create(tenant_body(name, key=api.key()))

    async def settled() -> bool:
        try:
            await reconcile(api.key(), await api.context(api.key()))
        except ReconcileFailed:
            return False
        uid = (await api.get("TTSTenant", "acme"))["metadata"]["uid"]
        live = await api.children()
        owners = {child["metadata"]["ownerReferences"][0]["uid"] for child in live.values()}
        return set(live) == before and owners == {uid}

    await eventually(settled, "the new tenant has children of its own")


async def test_an_immutable_config_map_of_ours_is_replaced(api: ApiServer) -> None:
    await a_tenant(api)
    quota = api.ref("ConfigMap", "acme-quota")
    before = await api.get("ConfigMap", "acme-quota")
    edit = {"immutable": True, "data": {"quota.json": '{"requestsPerMinute":100000}'}}
    await api.user.patch(quota, edit)
    await converge(api)
    after = await api.get("ConfigMap", "acme-quota")
    assert after["data"] == before["data"]
    assert "immutable" not in after
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert (await api.condition("Programmed"))["status"] == "True"


async def test_orphans_of_a_deleted_tenant_are_named(api: ApiServer) -> None:
    name = await api.publish_model()
    await api.user.create(tenant_body(name, key=api.key()))
    await converge(api)
    for ref in await api.children():  # as the garbage collector does for --cascade=orphan
        await api.user.patch(ref, {"metadata": {"ownerReferences": None}})
    with pytest.raises(ReconcileFailed, match="Orphaned"):
        await reconcile(api.key(), await api.context(api.key()))
    condition = await api.condition("Programmed")
    assert (condition["status"], condition["reason"]) == ("False", "Orphaned")
    assert f"deploy/acme-{name}" in condition["message"]
    assert f"kubectl -n {api.namespace} delete" in condition["message"]


async def test_an_event_that_repeats_is_counted(api: ApiServer) -> None:
    await a_tenant(api)
    context = await api.context(api.key())
    for suspend in (True, False, True):
        await api.user.patch(api.ref("TTSTenant", "acme"), {"spec": {"suspend": suspend}})
        await api.heard(api.key())
        await reconcile(api.key(), context)
    found = [event async for event in api.cluster.list(EVENT, api.namespace)]
    counted = [event.get("series", {}).get("count", 1) for event in found if event["reason"] == "Suspended"]
    assert counted == [2]
