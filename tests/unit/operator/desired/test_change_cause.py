"""The operator's part in the sources of a pod template: the settings that pods depend on, and no others."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from tests.support.operator_builders import DAY, NOON, SETTINGS, built, observe, settle
from tts_operator.desired.change_cause import SETTINGS_OUTSIDE_PODS, settings_digest
from tts_operator.plan.plan import plan
from tts_operator.resolve.resolve import resolve
from tts_operator.settings import DefaultCeilings, Settings, Tiers

OUTSIDE: dict[str, Any] = {
    "tiers": Tiers(requests_per_minute={"Basic": 7, "VIP": 8, "Enterprise": 9}),
    "ceilings": DefaultCeilings(max_tier="VIP", max_replicas=4, max_accelerators=0),
}


def test_the_list_names_settings() -> None:
    assert set(SETTINGS_OUTSIDE_PODS) == set(OUTSIDE)
    assert set(SETTINGS_OUTSIDE_PODS) < {field.name for field in fields(Settings)}


@pytest.mark.parametrize("name", OUTSIDE)
def test_limits_of_tiers_and_ceilings_are_no_part_of_it(name: str) -> None:
    assert settings_digest(replace(SETTINGS, **{name: OUTSIDE[name]})) == settings_digest(SETTINGS)


def test_every_other_setting_is() -> None:
    assert settings_digest(replace(SETTINGS, version="2")) != settings_digest(SETTINGS)
    assert settings_digest(replace(SETTINGS, max_text_characters=1)) != settings_digest(SETTINGS)


def test_a_change_of_tiers_and_ceilings_reaches_running_pods_and_leaves_their_deployment() -> None:
    observed = observe(schedule=DAY, children=settle(observe(schedule=DAY)))
    actions = plan(built(resolve(observed, replace(SETTINGS, **OUTSIDE), NOON)), observed)
    refs = [str(action).partition(":")[0] for action in actions]
    assert {"apply cm/acme-quota", "apply hpa/acme-espeak"} <= set(refs)
    assert not any("deploy/" in ref for ref in refs)
