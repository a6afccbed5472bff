"""A model's change concerns the tenants that name it."""

from __future__ import annotations

import pytest

from tts_operator.observed import Key
from tts_operator.usage import Usage, named_models

ACME, BETA = Key("team-a", "acme"), Key("team-b", "beta")


def test_a_model_is_used_by_those_that_name_it() -> None:
    usage = Usage()
    usage.saw(ACME, ["espeak", "piper"])
    usage.saw(BETA, ["espeak"])
    assert usage.tenants("espeak") == {ACME, BETA}
    assert usage.tenants("piper") == {ACME}
    assert usage.tenants("unheard-of") == frozenset()


def test_it_tells_which_models_gained_or_lost_a_user() -> None:
    usage = Usage()
    assert usage.saw(ACME, ["espeak"]) == {"espeak"}
    assert usage.saw(ACME, ["espeak"]) == frozenset()
    assert usage.saw(ACME, ["piper"]) == {"espeak", "piper"}
    assert usage.saw(ACME, ()) == {"piper"}
    assert usage.tenants("piper") == frozenset()


def test_the_full_list_replaces_what_was_missed() -> None:
    usage = Usage()
    usage.saw(ACME, ["espeak"])
    usage.replace({BETA: ["espeak"]})
    assert usage.tenants("espeak") == {BETA}


@pytest.mark.parametrize(
    "tenant", [{}, {"spec": None}, {"spec": {"models": None}}, {"spec": {"models": ["espeak", {"precision": "fp32"}]}}]
)
def test_an_odd_tenant_names_no_models(tenant: dict[str, object]) -> None:
    assert named_models(tenant) == frozenset()
