"""Other managers' changes: what is theirs stays, what is ours returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.integration.operator.test_lifecycle import CLOCK, DAY, converge
from tests.support.operator_world import SETTINGS, World, eventually, specs, tenant
from tts_operator.controller.reconcile_tenant import ReconcileContext, ReconcileFailed, reconcile
from tts_operator.objects.manifest import Ref

Change = Callable[[World, str], Awaitable[object]]


async def a_tenant(world: World, **spec: Any) -> str:
    """One that has converged; returns its model's name."""
    name = await world.publishes_model()
    await world.person.create(tenant(world.key(), name, **spec))
    await converge(world)
    return name


async def test_what_another_manager_added_survives(world: World) -> None:
    name = await a_tenant(world)
    deployment, service = world.ref("Deployment", f"acme-{name}"), world.ref("Service", "acme")
    await world.person.patch(deployment, {"metadata": {"annotations": {"example.com/owner": "platform"}}})
    await world.person.patch(deployment, {"spec": {"template": {"metadata": {"annotations": {"restarted": "noon"}}}}})
    await world.person.patch(
        service, {"metadata": {"labels": {"mesh": "on"}}, "spec": {"internalTrafficPolicy": "Local"}}
    )
    await world.person.patch(world.ref("TTSTenant", "acme"), {"spec": {"tier": "VIP"}})
    before = len(world.writes)
    await converge(world)
    assert len(world.writes) > before, "the tier did change something"
    live = await world.get("Deployment", f"acme-{name}")
    assert live["metadata"]["annotations"]["example.com/owner"] == "platform"
    assert live["spec"]["template"]["metadata"]["annotations"]["restarted"] == "noon"
    live = await world.get("Service", "acme")
    assert live["metadata"]["labels"]["mesh"] == "on"
    assert live["spec"]["internalTrafficPolicy"] == "Local"
    managers = {entry["manager"] for entry in live["metadata"]["managedFields"]}
    assert {world.person.name, "tts-operator"} <= managers


async def test_a_change_of_replicas_by_another_survives_twenty_reconciles(world: World) -> None:
    name = await a_tenant(world, schedule=DAY)
    await world.person.scale(world.ref("Deployment", f"acme-{name}"), 3)
    for turn in range(20):
        if turn % 5 == 0:  # some of them have something else to write
            await world.person.patch(
                world.ref("TTSTenant", "acme"), {"spec": {"quota": {"requestsPerMinute": turn + 1}}}
            )
        await reconcile(world.key(), ReconcileContext(world.cluster, SETTINGS, CLOCK))
    assert (await world.get("Deployment", f"acme-{name}"))["spec"]["replicas"] == 3


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
async def test_a_child_edited_by_hand_returns(world: World, kind: str, name: str, edit: dict[str, Any]) -> None:
    model = await a_tenant(world, schedule=DAY)
    before = specs(await world.children())
    await world.person.patch(world.ref(kind, name.format(model=model)), edit)
    await converge(world)
    after = specs(await world.children())
    if kind == "Deployment":  # a merge patch replaces the list: what it left out comes back with the container
        assert (
            after["deploy/" + name.format(model=model)]["spec"]["template"]["spec"]["containers"][0]["image"]
            != "evil:1"
        )
    assert after == before


async def test_every_child_deleted_by_hand_returns(world: World) -> None:
    name = await world.publishes_model()
    await world.person.create(tenant(world.key(), name, await world.publishes_model(), schedule=DAY))
    await converge(world)
    before = await world.children()
    for ref in before:
        await world.person.delete(ref)
    for ref in before:
        await eventually(lambda ref=ref: gone_or_going(world, ref), f"{ref} goes")  # type: ignore[misc]
    await eventually(lambda: restored(world, set(before)), "every child is back")
    await converge(world)  # the last of them may have lost its first /scale to its own controller
    assert specs(await world.children()) == specs(before)


async def gone_or_going(world: World, ref: Ref) -> bool:
    live = await world.cluster.get(ref)
    return live is None or "deletionTimestamp" in live["metadata"]


async def restored(world: World, wanted: set[Ref]) -> bool:
    await reconcile(world.key(), ReconcileContext(world.cluster, SETTINGS, CLOCK))
    live = await world.children()
    return set(live) == wanted and not any("deletionTimestamp" in child["metadata"] for child in live.values())


async def test_a_name_that_is_taken_is_not_adopted(world: World) -> None:
    foreign = world.ref("Service", "acme")
    body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "acme", "namespace": world.namespace},
        "spec": {"ports": [{"port": 81}]},
    }
    await world.person.create(body)
    name = await world.publishes_model()
    await world.person.create(tenant(world.key(), name))
    with pytest.raises(ReconcileFailed, match="NameTaken"):
        await reconcile(world.key(), ReconcileContext(world.cluster, SETTINGS, CLOCK))
    condition = await world.condition("Programmed")
    assert (condition["status"], condition["reason"]) == ("False", "NameTaken")
    live = await world.cluster.get(foreign)
    assert live is not None
    assert "ownerReferences" not in live["metadata"]
    assert world.ref("Deployment", f"acme-{name}") in await world.children(), "the rest is made all the same"
    await world.person.delete(foreign)
    await converge(world)
    assert (await world.condition("Programmed"))["status"] == "True"


async def test_the_child_of_a_namesake_that_is_gone_is_not_adopted(world: World) -> None:
    """An object that carries our labels but another owner's UID belongs to the garbage collector."""
    name = await world.publishes_model()
    await world.person.create(tenant(world.key(), name))
    await converge(world)
    before = set(await world.children())
    await world.person.delete(world.ref("TTSTenant", "acme"))
    await world.person.create(tenant(world.key(), name))

    async def settled() -> bool:
        try:
            await reconcile(world.key(), ReconcileContext(world.cluster, SETTINGS, CLOCK))
        except ReconcileFailed:
            return False
        uid = (await world.get("TTSTenant", "acme"))["metadata"]["uid"]
        live = await world.children()
        owners = {child["metadata"]["ownerReferences"][0]["uid"] for child in live.values()}
        return set(live) == before and owners == {uid}

    await eventually(settled, "the new tenant has children of its own")
