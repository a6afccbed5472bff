"""Behavior and precision that come with a window and go with it, on a real API server, which fills in defaults."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.support.api_server import SETTINGS, ApiServer
from tests.support.resources import precision, tenant_body
from tests.support.virtual_time import VirtualClock
from tts_operator.controller.reconcile_tenant import ReconcileContext, reconcile

SLOW = {"scaleDown": {"stabilizationWindowSeconds": 900, "selectPolicy": "Min"}}
EVENING = {"name": "evening", "start": "18:00", "end": "22:00", "minReplicas": 2, "maxReplicas": 4, "behavior": SLOW}
SCHEDULE = {"default": {"minReplicas": 2, "maxReplicas": 4}, "windows": [EVENING]}


class Standing(VirtualClock):
    """Shows one instant."""

    def __init__(self, hour: int) -> None:
        self._now = datetime(2026, 11, 4, hour, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now


async def test_a_behavior_comes_with_its_window_and_goes_with_it(api: ApiServer) -> None:
    model = await api.publish_model()
    await api.user.create(tenant_body(model, key=api.key(), schedule=SCHEDULE))
    found = []
    for hour in (12, 19, 23):
        for _ in range(3):
            await reconcile(api.key(), ReconcileContext(api.cluster, SETTINGS, Standing(hour)))
        before = len(api.writes)
        await reconcile(api.key(), ReconcileContext(api.cluster, SETTINGS, Standing(hour)))
        written = [str(write) for write in api.writes[before:]]
        assert not [write for write in written if "horizontalpodautoscalers" in write], "what was applied is settled"
        behavior = (await api.get("HorizontalPodAutoscaler", f"acme-{model}"))["spec"].get("behavior", {})
        down = behavior.get("scaleDown", {})
        found.append((down.get("stabilizationWindowSeconds"), down.get("selectPolicy")))
    noon, evening, night = found
    assert evening == (900, "Min")
    assert night in {noon, (300, "Max"), (None, "Max")}, "the rest is the API server's own default"


async def test_pods_have_the_precision_of_a_window_before_it_opens_and_their_own_before_it_ends(api: ApiServer) -> None:
    cheap = precision("int8")
    cheap["resources"]["requests"]["cpu"] = "50m"
    model = await api.publish_model(precisions=[precision("fp32"), cheap], loadSeconds=1800)
    evening = {**EVENING, "behavior": None, "precision": "int8"}
    await api.user.create(tenant_body(model, key=api.key(), schedule={**SCHEDULE, "windows": [evening]}))
    found = []
    for hour in (12, 17, 19, 21, 23):  # two replicas of half an hour each: an hour before
        for _ in range(3):
            await reconcile(api.key(), ReconcileContext(api.cluster, SETTINGS, Standing(hour)))
        (container,) = (await api.get("Deployment", f"acme-{model}"))["spec"]["template"]["spec"]["containers"]
        status = await api.status()
        found.append((container["resources"]["requests"]["cpu"], status["precision"]))
    dear, cheaper = ("100m", "fp32"), ("50m", "int8")
    assert found == [dear, cheaper, cheaper, dear, dear]
