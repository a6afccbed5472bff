"""A tenant of which nothing has changed is reconciled without a request; any change ends that."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.operator_builders import NOON
from tts_operator.controller.converged_tenants import VALID_FOR, ConvergedTenants, Inputs
from tts_operator.informer.indexer import Stamp
from tts_operator.informer.reader import TenantStamp
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import AddOn
from tts_operator.scheduled_scaling.precompute import Requeue

ACME = Key("team", "acme")
STAMP = TenantStamp(Stamp(1, 1), Stamp(1, 2), Stamp(1, 3), Stamp(1, 4), Stamp(1, 5), frozenset())
OTHER = TenantStamp(Stamp(9, 1), Stamp(9, 2), Stamp(9, 3), Stamp(9, 4), Stamp(9, 5), frozenset({AddOn.KEDA}))
INPUTS = Inputs(STAMP, (7,))
MOMENT = timedelta(seconds=1)


def recorded(requeue: Requeue | None = None) -> ConvergedTenants:
    converged = ConvergedTenants()
    converged.record(ACME, INPUTS, requeue, NOON)
    return converged


def test_the_same_inputs_have_the_same_result() -> None:
    requeue = Requeue(NOON + timedelta(minutes=5))
    found = recorded(requeue).find(ACME, INPUTS, NOON + MOMENT)
    assert found is not None
    assert found.requeue == requeue


@pytest.mark.parametrize("part", TenantStamp._fields)
def test_another_stamp_of_anything_is_another_input(part: str) -> None:
    changed = Inputs(STAMP._replace(**{part: getattr(OTHER, part)}), INPUTS.files)
    assert recorded().find(ACME, changed, NOON + MOMENT) is None


def test_other_credentials_of_the_operators_stores_are_another_input() -> None:
    assert recorded().find(ACME, replace(INPUTS, files=(8,)), NOON + MOMENT) is None


def test_what_cannot_be_told_is_not_taken_for_unchanged() -> None:
    converged = recorded()
    assert converged.find(ACME, None, NOON + MOMENT) is None
    converged.record(ACME, None, None, NOON)
    assert converged.find(ACME, INPUTS, NOON + MOMENT) is None


def test_time_ends_it_at_the_next_requeue_and_after_an_hour_in_any_case() -> None:
    soon = recorded(Requeue(NOON + timedelta(minutes=5)))
    assert soon.find(ACME, INPUTS, NOON + timedelta(minutes=5) - MOMENT) is not None
    assert soon.find(ACME, INPUTS, NOON + timedelta(minutes=5)) is None
    late = recorded(Requeue(NOON + timedelta(days=5)))
    assert late.find(ACME, INPUTS, NOON + VALID_FOR - MOMENT) is not None
    assert late.find(ACME, INPUTS, NOON + VALID_FOR) is None


def test_it_is_forgotten_for_one_tenant_and_for_all() -> None:
    converged = recorded()
    converged.forget(ACME)
    assert converged.find(ACME, INPUTS, NOON) is None
    converged = recorded()
    converged.clear()
    assert converged.find(ACME, INPUTS, NOON) is None
