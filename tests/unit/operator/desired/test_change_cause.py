"""The operator's part in the sources of a pod template: the settings that pods depend on, and no others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.operator_builders import DAY, NOON, SETTINGS, built, observe, settle
from tts_operator.api.tenant import Tier
from tts_operator.plan.plan import plan
from tts_operator.resolve.resolve import resolve
from tts_operator.settings import DefaultCeilings, Tiers, pod_settings

OUTSIDE: dict[str, Any] = {
    "tiers": Tiers(requests_per_minute={"Basic": 7, "VIP": 8, "Enterprise": 9}),
    "ceilings": DefaultCeilings(max_tier=Tier.VIP, max_replicas=4, max_accelerators=0),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_limits_of_tiers_and_ceilings_are_no_part_of_it(name: str) -> None:
    assert pod_settings(replace(SETTINGS, **{name: OUTSIDE[name]})) == pod_settings(SETTINGS)


def test_every_other_setting_is() -> None:
    assert pod_settings(replace(SETTINGS, version="2")) != pod_settings(SETTINGS)
    assert pod_settings(replace(SETTINGS, max_text_characters=1)) != pod_settings(SETTINGS)


def test_a_change_of_tiers_and_ceilings_reaches_running_pods_and_leaves_their_deployment() -> None:
    observed = observe(schedule=DAY, children=settle(observe(schedule=DAY)))
    actions = plan(built(resolve(observed, replace(SETTINGS, **OUTSIDE), NOON)), observed)
    refs = [str(action).partition(":")[0] for action in actions]
    assert {"apply cm/acme-quota", "apply hpa/acme-espeak"} <= set(refs)
    assert not any("deploy/" in ref for ref in refs)
