"""Limits of what the waker holds."""

from __future__ import annotations

from tts_operator.objects.keys import Key
from tts_operator.waker.budget import Budget, Limits

ACME, BLUE = Key("a", "acme"), Key("b", "blue")


def test_one_tenant_leaves_room_for_others_and_all_of_them_for_the_waker() -> None:
    budget = Budget(Limits(tenant_requests=2, tenant_bytes=10, total_requests=5, total_bytes=25))
    assert [budget.admit(ACME) for _ in range(3)] == [True, True, False]
    assert [budget.admit(BLUE) for _ in range(3)] == [True, True, False]
    assert [budget.admit(None) for _ in range(2)] == [True, False]
    assert [budget.charge(ACME, size) for size in (6, 5, 4)] == [True, False, True]
    assert [budget.charge(BLUE, size) for size in (10, 1)] == [True, False]
    assert [budget.charge(None, size) for size in (6, 5)] == [False, True]
    budget.release(ACME, 10)
    budget.release(None, 5)
    assert budget.admit(ACME)
    assert budget.charge(ACME, 5)
    budget.release(ACME, 0)
    budget.release(ACME, 5)
    budget.release(BLUE, 5)
    budget.release(BLUE, 5)
    assert budget.requests == 0


def test_the_tenants_of_one_namespace_leave_half_of_the_waker_to_others() -> None:
    budget = Budget(Limits(tenant_requests=2, tenant_bytes=10, total_requests=6, total_bytes=40))
    mine = [Key("a", f"t{number}") for number in range(4)]
    assert [budget.admit(each) for each in mine] == [True, True, True, False]
    assert [budget.charge(each, 8) for each in mine[:3]] == [True, True, False]
    assert budget.admit(BLUE)
    assert budget.charge(BLUE, 10)
