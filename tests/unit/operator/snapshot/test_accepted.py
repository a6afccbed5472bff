"""The spec that was accepted last: it is in the status, and applies while a later one is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.support.operator_builders import NOON, NOT_SUPPORTED, observe, resolved, settle, while_refused
from tests.support.resources import Object, stored, tenant_body
from tts_operator.plan.outcome import Outcome
from tts_operator.snapshot.accepted import accepted_models, accepted_tenant, accepted_text, spec_text, with_tier
from tts_operator.status.tenant import status

OLD: Object = {"models": [{"name": "old"}], "tier": "VIP"}


def body(generation: int, accepted_for: int | None, status_: str = "True", kept: str = json.dumps(OLD)) -> Object:
    """A tenant whose spec names model `new`; `accepted_for`: generation of the condition Accepted."""
    found = stored(tenant_body("new"))
    found["metadata"]["generation"] = generation
    condition = {"type": "Accepted", "status": status_, "observedGeneration": accepted_for}
    conditions = [] if accepted_for is None else [condition]
    return {**found, "status": {"conditions": conditions, **({"acceptedSpec": kept} if kept else {})}}


BODIES: dict[str, tuple[Object, str | None]] = {
    # the story: the stored tenant, and the model that its last accepted spec names
    "another spec was accepted before": (body(2, 1), "old"),
    "this very spec was accepted": (body(2, 2), "new"),
    "this very spec was accepted by a version that kept none": (body(2, 2, kept=""), "new"),
    "this spec was refused before": (body(2, 2, "False"), "old"),
    "none was ever accepted": (body(1, None, kept=""), None),
    "the last one was accepted by a version that kept none": (body(2, 1, kept=""), None),
    "what was kept is no JSON": (body(2, 1, kept="{"), None),
    "what was kept is no spec": (body(2, 1, kept='{"tier": "VIP"}'), None),
    "what was kept is a list": (body(2, 1, kept="[]"), None),
}


@pytest.mark.parametrize(("tenant", "model"), BODIES.values(), ids=BODIES)
def test_the_spec_that_applies_while_the_stored_one_is_refused(tenant: Object, model: str | None) -> None:
    found = accepted_tenant(tenant)
    assert (found.spec.models[0].name if found else None) == model
    if found:
        assert found.metadata.name == tenant["metadata"]["name"]


def test_changes_of_models_reach_a_tenant_by_the_spec_that_applies() -> None:
    assert accepted_models(body(2, 1)) == {"old"}
    for kept in ("", "{", "[]", '{"models": ["old"]}', '{"models": 7}'):
        assert accepted_models(body(2, 1, kept=kept)) == frozenset()


def reported(**spec: Any) -> dict[str, Any]:
    reading = observe(**spec)
    return status(resolved(reading), reading, Outcome())


def test_an_accepted_spec_is_kept_as_it_was_written_and_a_refused_one_is_not() -> None:
    first = reported(tier="VIP")
    assert json.loads(first["acceptedSpec"]) == tenant_body(tier="VIP")["spec"]
    refused = observe(before=first, tier="VIP", preventDeletion=True)
    said = status(resolved(refused), refused, Outcome())
    assert said["acceptedSpec"] == first["acceptedSpec"], "nothing is known that could be followed instead"
    assert refused.body is not None
    assert accepted_text({**refused.body, "status": said}) == first["acceptedSpec"]


def test_while_a_spec_is_refused_the_one_that_applies_stays_in_the_status() -> None:
    """A refused spec that took its place would apply from the next reconcile on."""
    before = reported(tier="VIP")
    refused = observe(before=before, tier="VIP", preventDeletion=True).body
    assert refused is not None
    refused = {**refused, "metadata": {**refused["metadata"], "generation": 2}}
    reading = replace(observe(before=before, tier="VIP"), body=refused, refusal=NOT_SUPPORTED)
    said = status(resolved(reading), reading, Outcome())
    assert "pools" in said, "the accepted one is followed"
    assert said["acceptedSpec"] == before["acceptedSpec"]


def test_the_status_describes_the_spec_that_applies() -> None:
    children = settle(observe("espeak", "other"))
    accepted = observe("espeak", "other", children=children)
    said = status(resolved(while_refused(accepted)), accepted, Outcome())
    assert [pool["model"] for pool in said["pools"]] == ["espeak", "other"]
    found = {each["type"]: each for each in said["conditions"]}
    assert (found["Accepted"]["status"], found["Accepted"]["reason"]) == ("False", "NotSupportedYet")
    assert found["Accepted"]["message"].endswith("; until then the last accepted spec applies")
    assert found["Available"]["status"] == "True"
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("False", "NotSupportedYet")


def test_a_spec_that_is_too_long_is_not_kept_twice() -> None:
    aliases = {f"alias-{number}": "v" * 200 for number in range(2000)}
    assert spec_text(tenant_body(voiceAliases=aliases)) == ""


def test_another_tier_changes_nothing_else() -> None:
    found = with_tier(observe(tier="Enterprise", scenario="Education"), "Basic").tenant
    assert found is not None
    assert found == observe(tier="Basic", scenario="Education").tenant
    assert resolved(observe(tier="Enterprise"), NOON).tenant == observe(tier="Enterprise").tenant
