"""A tenant's life, reconcile by reconcile: created, changed, suspended, woken, deleted."""

from __future__ import annotations

import base64

import pytest

from tests.support.api_server import DAY, ApiServer, converge, eventually, planned, specs
from tests.support.resources import Object, tenant_body
from tts_operator.controller.reconcile_tenant import reconcile
from tts_operator.objects.kinds import NAMESPACE
from tts_operator.objects.manifest import Ref
from tts_operator.objects.names import MANAGER, SCALE_MANAGER

pytestmark = pytest.mark.parametrize("api", ["live", "cached"], indirect=True)


async def test_creating_a_tenant_makes_its_children_once(api: ApiServer) -> None:
    name = await api.publish_model()
    await api.user.create(tenant_body(name, schedule=DAY, key=api.key()))
    await converge(api)
    kinds = sorted(ref.kind for ref in await api.children())
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
    assert (await api.condition("Accepted"))["status"] == "True"
    assert (await api.condition("Programmed"))["status"] == "True"
    assert (await api.condition("ModelsResolved"))["status"] == "True"


async def test_what_no_operator_has_seen_is_not_taken_for_ready(api: ApiServer) -> None:
    name = await api.publish_model()
    await api.user.create(tenant_body(name, key=api.key()))
    for kind, which in (("TTSTenant", "acme"), ("TTSModel", name)):
        conditions = (await api.get(kind, which))["status"]["conditions"]
        assert {(each["type"], each["status"]) for each in conditions} == {
            ("Accepted", "Unknown"),
            ("Ready", "Unknown"),
        }
    await converge(api)
    assert (await api.condition("Accepted"))["status"] == "True"
    assert (await api.condition("Ready"))["reason"] != "Pending"
    progress = await api.condition("Progressing")
    assert (progress["status"], progress["reason"]) == ("True", "RollingOut")


async def test_two_pools_share_an_internal_credential_that_does_not_change(api: ApiServer) -> None:
    names = [await api.publish_model(), await api.publish_model()]
    await api.user.create(tenant_body(*names, key=api.key()))
    await converge(api)
    secret = await api.get("Secret", "acme-internal")
    assert sum(ref.kind == "Deployment" for ref in await api.children()) == 2
    await converge(api)
    assert (await api.get("Secret", "acme-internal"))["data"] == secret["data"]


async def test_keys_that_sign_tokens_go_with_the_last_token(api: ApiServer) -> None:
    """A tenant that gives tokens no more ends like one that never did: no private key of it is kept, or mounted."""
    name = await api.publish_model()
    await api.user.create(tenant_body(name, key=api.key()))
    await converge(api)
    never = specs(await api.children())
    await api.user.patch(api.ref("TTSTenant", "acme"), {"spec": {"auth": {"modes": ["JWT"]}}})
    await converge(api)
    assert (await api.get("Secret", "acme-signing"))["data"]["current"]
    await api.user.patch(api.ref("TTSTenant", "acme"), {"spec": {"auth": None}})
    await converge(api)
    assert specs(await api.children()) == never


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
async def test_every_builder_through_the_api_server_leaves_an_empty_plan(
    api: ApiServer, spec: dict[str, object]
) -> None:
    names = [await api.publish_model(), await api.publish_model(threads=2)]
    await api.user.create(tenant_body(*names, key=api.key(), **spec))
    await converge(api)
    assert await planned(api) == []


async def test_a_changed_model_changes_the_deployment(api: ApiServer) -> None:
    name = await api.publish_model()
    await api.user.create(tenant_body(name, key=api.key()))
    await converge(api)
    await api.user.patch(api.ref("TTSModel", name), {"spec": {"image": "example.invalid/other:2"}})
    await converge(api)
    pod = (await api.get("Deployment", f"acme-{name}"))["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "example.invalid/other:2"


async def test_a_model_no_longer_wanted_takes_its_pool_along(api: ApiServer) -> None:
    first, second = await api.publish_model(), await api.publish_model()
    await api.user.create(tenant_body(first, second, key=api.key()))
    await converge(api)
    await api.user.patch(api.ref("TTSTenant", "acme"), {"spec": {"models": [{"name": first}]}})
    await converge(api)
    names = {ref.name for ref in await api.children()}
    assert f"acme-{second}" not in names
    assert f"acme-{first}" in names
    assert "acme-internal" not in names


async def test_a_tenant_that_gives_tokens_gets_keys_that_stay(api: ApiServer) -> None:
    name = await api.publish_model()
    await api.user.create(tenant_body(name, auth={"modes": ["APIKey", "JWT"]}, key=api.key()))
    await converge(api)
    secret = await api.get("Secret", "acme-signing")
    kid = base64.b64decode(secret["data"]["current"]).decode()
    assert set(secret["data"]) == {"current", f"{kid}.pem"}
    assert base64.b64decode(secret["data"][f"{kid}.pem"]).startswith(b"-----BEGIN PRIVATE KEY-----")
    before = len(api.writes)
    await reconcile(api.key(), await api.context(api.key()))
    assert len(api.writes) == before, "converged"
    assert (await api.get("Secret", "acme-signing"))["data"] == secret["data"]
    await api.user.delete(api.ref("Secret", "acme-signing"))
    await converge(api)
    assert (await api.get("Secret", "acme-signing"))["data"] != secret["data"]


async def test_suspending_scales_to_zero_and_waking_restores_the_window(api: ApiServer) -> None:
    name = await api.publish_model()
    await api.user.create(tenant_body(name, schedule=DAY, key=api.key()))
    await converge(api)
    acme = api.ref("TTSTenant", "acme")
    await api.user.patch(acme, {"spec": {"suspend": True}})
    await converge(api)
    assert (await api.get("Deployment", f"acme-{name}"))["spec"]["replicas"] == 0
    assert api.ref("Service", "acme") in await api.children()
    await api.user.patch(acme, {"spec": {"suspend": False}})
    await converge(api)
    assert (await api.get("Deployment", f"acme-{name}"))["spec"]["replicas"] == 2


async def test_a_tenant_that_is_born_suspended_gets_no_pod_until_it_wakes(api: ApiServer) -> None:
    name = await api.publish_model()
    await api.user.create(tenant_body(name, key=api.key(), suspend=True))
    await converge(api)
    children = await api.children()
    assert {ref.kind for ref in children} & {"Deployment", "HorizontalPodAutoscaler"} == set()
    assert (await api.condition("Available"))["reason"] == "Suspended"
    assert await planned(api) == []
    await api.user.patch(api.ref("TTSTenant", "acme"), {"spec": {"suspend": False}})
    await converge(api)
    found = [child for ref, child in (await api.children()).items() if ref.kind == "Deployment"]
    assert [deployment["spec"]["replicas"] for deployment in found] == [1]


FINE: dict[str, dict[str, str]] = {
    "a third of a core": {"cpu": "0.3333", "memory": "448Mi"},
    "less than a thousandth of a core": {"cpu": "100u", "memory": "448Mi"},
    "a fraction of a byte": {"cpu": "1", "memory": "1.23456789Gi"},
    "a thousandth of a byte": {"cpu": "2.0005", "memory": "500000000001m"},
}


@pytest.mark.parametrize("amounts", FINE.values(), ids=FINE)
async def test_amounts_finer_than_the_api_server_keeps_converge(api: ApiServer, amounts: dict[str, str]) -> None:
    precisions = [{"name": "fp32", "resources": {"requests": amounts, "limits": amounts}}]
    name = await api.publish_model(precisions=precisions)
    await api.user.create(tenant_body(name, key=api.key()))
    await converge(api)
    assert await planned(api) == []


async def test_deleting_a_tenant_removes_every_child(api: ApiServer) -> None:
    names = [await api.publish_model(), await api.publish_model()]
    await api.user.create(tenant_body(*names, key=api.key()))
    await converge(api)
    assert await api.children()
    await api.user.delete(api.ref("TTSTenant", "acme"))

    async def gone() -> bool:
        assert await reconcile(api.key(), await api.context(api.key())) is None
        return not await api.children()

    await eventually(gone, "owner references collect the children")


async def test_deleting_a_model_in_use_removes_nothing_and_says_so(api: ApiServer) -> None:
    name = await api.publish_model()
    await api.user.create(tenant_body(name, key=api.key()))
    await converge(api)
    before = specs(await api.children())
    await api.user.delete(api.ref("TTSModel", name))
    await converge(api)
    assert specs(await api.children()) == before
    condition = await api.condition("ModelsResolved")
    assert (condition["status"], condition["reason"]) == ("False", "ModelNotFound")
    assert name in condition["message"]


async def test_a_spec_that_is_not_supported_yet_keeps_the_last_good_children(api: ApiServer) -> None:
    name = await api.publish_model()
    await api.user.create(tenant_body(name, key=api.key()))
    await converge(api)
    before = specs(await api.children())
    await api.user.patch(api.ref("TTSTenant", "acme"), {"spec": {"preventDeletion": True}})
    await converge(api)
    assert specs(await api.children()) == before
    condition = await api.condition("Accepted")
    assert (condition["status"], condition["reason"]) == ("False", "NotSupportedYet")
    assert "preventDeletion" in condition["message"]


async def test_while_a_spec_is_refused_children_are_kept_as_the_last_accepted_one_has_them(api: ApiServer) -> None:
    """With another model, so that nothing of the refused spec can be what they are kept by."""
    name, other = await api.publish_model(), await api.publish_model()
    await api.user.create(tenant_body(name, schedule=DAY, key=api.key()))
    await converge(api)
    before = specs(await api.children())
    change = {"models": [{"name": other}], "schedule": None, "preventDeletion": True}
    await api.user.patch(api.ref("TTSTenant", "acme"), {"spec": change})
    await converge(api)
    assert specs(await api.children()) == before
    await api.user.patch(api.ref("NetworkPolicy", f"acme-{name}"), {"spec": {"ingress": [{}], "egress": [{}]}})
    await api.user.patch(api.ref("ConfigMap", "acme-quota"), {"data": {"quota.json": "{}"}})
    await api.user.delete(api.ref("PodDisruptionBudget", f"acme-{name}"))
    await converge(api)
    assert specs(await api.children()) == before
    label: Object = {"metadata": {"labels": {"ttsfleet.io/max-replicas": "1"}}}
    await api.user.patch(Ref.of(NAMESPACE, "", api.namespace), label)
    await converge(api)
    bounds = (await api.get("HorizontalPodAutoscaler", f"acme-{name}"))["spec"]
    assert (bounds["minReplicas"], bounds["maxReplicas"]) == (1, 1)
    await api.user.patch(api.ref("TTSTenant", "acme"), {"spec": {"preventDeletion": False}})
    await converge(api)
    assert (await api.condition("Accepted"))["status"] == "True"
    assert f"acme-{other}" in {ref.name for ref in await api.children() if ref.kind == "Deployment"}


async def test_replicas_are_in_no_apply_set(api: ApiServer) -> None:
    name = await api.publish_model()
    await api.user.create(tenant_body(name, schedule=DAY, key=api.key()))
    await converge(api)
    deployment = await api.get("Deployment", f"acme-{name}")
    assert deployment["spec"]["replicas"] == 2
    owners = {
        entry["manager"]
        for entry in deployment["metadata"]["managedFields"]
        if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
    }
    assert owners <= {SCALE_MANAGER}, "a first write through /scale has no owner in managedFields"
    assert MANAGER in {entry["manager"] for entry in deployment["metadata"]["managedFields"]}


async def test_people_are_told_by_events(api: ApiServer) -> None:
    await api.user.create(tenant_body("no-such-model", key=api.key()))
    await converge(api)
    notes = [event["note"] for event in await api.events() if event["regarding"]["name"] == "acme"]
    assert any("no-such-model" in note for note in notes)
