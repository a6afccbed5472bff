"""Limits of what the waker holds."""

from __future__ import annotations

from tts_operator.objects.keys import Key
from tts_operator.waker.budget import Budget, Limits

ACME, BLUE = Key("a", "acme"), Key("b", "blue")


def test_one_tenant_leaves_room_for_others_and_all_of_them_for_the_waker() -> None:
    budget = Budget(Limits(tenant_requests=2, tenant_bytes=10, total_requests=3, total_bytes=15))
    assert [budget.admit(ACME) for _ in range(3)] == [True, True, False]
    assert [budget.admit(BLUE) for _ in range(2)] == [True, False]
    assert [budget.charge(ACME, size) for size in (6, 5, 4)] == [True, False, True]
    assert [budget.charge(BLUE, size) for size in (6, 5)] == [False, True]
    budget.release(ACME, 10)
    assert budget.admit(BLUE)
    assert budget.charge(BLUE, 5)
    budget.release(ACME, 0)
    budget.release(BLUE, 5)
    budget.release(BLUE, 5)
    assert budget.requests == 0
