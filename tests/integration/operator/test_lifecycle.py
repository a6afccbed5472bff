"""A tenant's life, reconcile by reconcile: created, changed, suspended, woken, deleted."""

from __future__ import annotations

import base64

import pytest

from tests.support.operator_builders import built
from tests.support.operator_world import SETTINGS, World, eventually, specs, tenant
from tts_operator.clock import SystemClock
from tts_operator.controller.reconcile_tenant import ReconcileContext, reconcile
from tts_operator.objects.keys import Key
from tts_operator.objects.names import MANAGER, SCALE_MANAGER
from tts_operator.observe.credential_files import StoreFiles
from tts_operator.observe.reader import observe
from tts_operator.observe.sources import Sources
from tts_operator.plan.plan import plan
from tts_operator.resolve.resolve import resolve

CLOCK = SystemClock()
DAY = {"default": {"minReplicas": 2, "maxReplicas": 4}}


async def converge(world: World, key: Key | None = None, within: int = 10) -> None:
    """Reconcile as the controller does, again at once as long as it asks for it, until nothing is left to write."""
    key = key or world.key()
    for _ in range(within):
        before = len(world.writes)
        await reconcile(key, ReconcileContext(world.cluster, SETTINGS, CLOCK))
        if len(world.writes) == before:
            return
    raise AssertionError(f"still writing after {within} reconciles: {world.writes[-5:]}")


async def planned(world: World, key: Key | None = None) -> list[str]:
    """What the next reconcile would write."""
    sources = Sources(world.cluster, SETTINGS, StoreFiles(SETTINGS))
    observed = await observe(sources, key or world.key(), CLOCK.now())
    return [str(action) for action in plan(built(resolve(observed, SETTINGS, CLOCK.now())), observed)]


async def test_creating_a_tenant_makes_its_children_once(world: World) -> None:
    name = await world.publishes_model()
    await world.person.create(tenant(world.key(), name, schedule=DAY))
    await converge(world)
    kinds = sorted(ref.kind for ref in await world.children())
    assert kinds == [
        "ConfigMap",
        "ConfigMap",
        "Deployment",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "Service",
        "Service",
        "ServiceAccount",
    ]
    assert (await world.condition("Accepted"))["status"] == "True"
    assert (await world.condition("Programmed"))["status"] == "True"
    assert (await world.condition("ModelsResolved"))["status"] == "True"


async def test_two_pools_share_an_internal_credential_that_does_not_change(world: World) -> None:
    names = [await world.publishes_model(), await world.publishes_model()]
    await world.person.create(tenant(world.key(), *names))
    await converge(world)
    secret = await world.get("Secret", "acme-internal")
    assert sum(ref.kind == "Deployment" for ref in await world.children()) == 2
    await converge(world)
    assert (await world.get("Secret", "acme-internal"))["data"] == secret["data"]


async def test_keys_that_sign_tokens_go_with_the_last_token(world: World) -> None:
    """A tenant that gives tokens no more ends like one that never did: no private key of it is kept, or mounted."""
    name = await world.publishes_model()
    await world.person.create(tenant(world.key(), name))
    await converge(world)
    never = specs(await world.children())
    await world.person.patch(world.ref("TTSTenant", "acme"), {"spec": {"auth": {"modes": ["JWT"]}}})
    await converge(world)
    assert (await world.get("Secret", "acme-signing"))["data"]["current"]
    await world.person.patch(world.ref("TTSTenant", "acme"), {"spec": {"auth": None}})
    await converge(world)
    assert specs(await world.children()) == never


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"schedule": DAY},
        {"schedule": {"preset": "DayNightWeekend", "timeZone": "Asia/Shanghai"}},
        {"quota": {"requestsPerMinute": 5}, "tier": "VIP"},
        {"auth": {"modes": ["None"]}},
        {"voiceAliases": {"alloy": "en-us"}, "scenario": "Testing"},
        {"autoscaling": {"metrics": [{"type": "CPU", "averageUtilization": 60}]}, "schedule": DAY},
        {"suspend": True},
    ],
    ids=str,
)
async def test_every_builder_through_the_api_server_leaves_an_empty_plan(world: World, spec: dict[str, object]) -> None:
    names = [await world.publishes_model(), await world.publishes_model(threads=2)]
    await world.person.create(tenant(world.key(), *names, **spec))
    await converge(world)
    assert await planned(world) == []


async def test_a_changed_model_changes_the_deployment(world: World) -> None:
    name = await world.publishes_model()
    await world.person.create(tenant(world.key(), name))
    await converge(world)
    await world.person.patch(world.ref("TTSModel", name), {"spec": {"image": "example.invalid/other:2"}})
    await converge(world)
    pod = (await world.get("Deployment", f"acme-{name}"))["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "example.invalid/other:2"


async def test_a_model_no_longer_wanted_takes_its_pool_along(world: World) -> None:
    first, second = await world.publishes_model(), await world.publishes_model()
    await world.person.create(tenant(world.key(), first, second))
    await converge(world)
    await world.person.patch(world.ref("TTSTenant", "acme"), {"spec": {"models": [{"name": first}]}})
    await converge(world)
    names = {ref.name for ref in await world.children()}
    assert f"acme-{second}" not in names
    assert f"acme-{first}" in names
    assert "acme-internal" not in names


async def test_a_tenant_that_gives_tokens_gets_keys_that_stay(world: World) -> None:
    name = await world.publishes_model()
    await world.person.create(tenant(world.key(), name, auth={"modes": ["APIKey", "JWT"]}))
    await converge(world)
    secret = await world.get("Secret", "acme-signing")
    kid = base64.b64decode(secret["data"]["current"]).decode()
    assert set(secret["data"]) == {"current", f"{kid}.pem"}
    assert base64.b64decode(secret["data"][f"{kid}.pem"]).startswith(b"-----BEGIN PRIVATE KEY-----")
    before = len(world.writes)
    await reconcile(world.key(), ReconcileContext(world.cluster, SETTINGS, CLOCK))
    assert len(world.writes) == before, "converged"
    assert (await world.get("Secret", "acme-signing"))["data"] == secret["data"]
    await world.person.delete(world.ref("Secret", "acme-signing"))
    await converge(world)
    assert (await world.get("Secret", "acme-signing"))["data"] != secret["data"]


async def test_suspending_scales_to_zero_and_waking_restores_the_window(world: World) -> None:
    name = await world.publishes_model()
    await world.person.create(tenant(world.key(), name, schedule=DAY))
    await converge(world)
    acme = world.ref("TTSTenant", "acme")
    await world.person.patch(acme, {"spec": {"suspend": True}})
    await converge(world)
    assert (await world.get("Deployment", f"acme-{name}"))["spec"]["replicas"] == 0
    assert world.ref("Service", "acme") in await world.children()
    await world.person.patch(acme, {"spec": {"suspend": False}})
    await converge(world)
    assert (await world.get("Deployment", f"acme-{name}"))["spec"]["replicas"] == 2


async def test_deleting_a_tenant_removes_every_child(world: World) -> None:
    names = [await world.publishes_model(), await world.publishes_model()]
    await world.person.create(tenant(world.key(), *names))
    await converge(world)
    assert await world.children()
    await world.person.delete(world.ref("TTSTenant", "acme"))

    async def gone() -> bool:
        assert await reconcile(world.key(), ReconcileContext(world.cluster, SETTINGS, CLOCK)) is None
        return not await world.children()

    await eventually(gone, "owner references collect the children")


async def test_deleting_a_model_in_use_removes_nothing_and_says_so(world: World) -> None:
    name = await world.publishes_model()
    await world.person.create(tenant(world.key(), name))
    await converge(world)
    before = specs(await world.children())
    await world.person.delete(world.ref("TTSModel", name))
    await converge(world)
    assert specs(await world.children()) == before
    condition = await world.condition("ModelsResolved")
    assert (condition["status"], condition["reason"]) == ("False", "ModelNotFound")
    assert name in condition["message"]


async def test_a_spec_that_is_not_supported_yet_keeps_the_last_good_children(world: World) -> None:
    name = await world.publishes_model()
    await world.person.create(tenant(world.key(), name))
    await converge(world)
    before = specs(await world.children())
    await world.person.patch(world.ref("TTSTenant", "acme"), {"spec": {"preventDeletion": True}})
    await converge(world)
    assert specs(await world.children()) == before
    condition = await world.condition("Accepted")
    assert (condition["status"], condition["reason"]) == ("False", "NotSupportedYet")
    assert "preventDeletion" in condition["message"]


async def test_replicas_are_in_no_apply_set(world: World) -> None:
    name = await world.publishes_model()
    await world.person.create(tenant(world.key(), name, schedule=DAY))
    await converge(world)
    deployment = await world.get("Deployment", f"acme-{name}")
    assert deployment["spec"]["replicas"] == 2
    owners = {
        entry["manager"]
        for entry in deployment["metadata"]["managedFields"]
        if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
    }
    assert owners <= {SCALE_MANAGER}, "a first write through /scale has no owner in managedFields"
    assert MANAGER in {entry["manager"] for entry in deployment["metadata"]["managedFields"]}


async def test_people_are_told_by_events(world: World) -> None:
    await world.person.create(tenant(world.key(), "no-such-model"))
    await converge(world)
    notes = [event["note"] for event in await world.events() if event["regarding"]["name"] == "acme"]
    assert any("no-such-model" in note for note in notes)
