"""The behavior that a window gives to HPAs, on a real API server, which fills in the rest of the field."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.support.api_server import SETTINGS, ApiServer
from tests.support.resources import tenant_body
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
