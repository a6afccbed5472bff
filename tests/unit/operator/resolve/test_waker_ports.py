"""Ports of the waker: one for each tenant, and never one for two."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tts_operator.objects.keys import Key
from tts_operator.resolve.waker_ports import MOST_OF_A_NAMESPACE, QUARANTINE_SECONDS, PortTable, candidates

FIRST = 20_000


def no_time() -> float:
    return 0.0


def key(name: str) -> Key:
    return Key("team", name)


@given(st.text(max_size=40), st.integers(1, 64))
def test_every_port_of_the_range_is_a_candidate_once(uid: str, count: int) -> None:
    assert sorted(candidates(uid, FIRST, count)) == list(range(FIRST, FIRST + count))


def test_a_tenant_keeps_its_port_and_its_uid_determines_it() -> None:
    table = PortTable(FIRST, 4096, no_time)
    port = table.claim(key("a"), "uid-a", None)
    assert port == table.claim(key("a"), "uid-a", None) == next(candidates("uid-a", FIRST, 4096))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60))
def test_no_port_belongs_to_two_tenants(names: list[int]) -> None:
    """Tenants come and go in any order."""
    table, held = PortTable(FIRST, 20, no_time), dict[int, int]()
    for name in names:
        if name in held:
            table.release(key(str(name)))
            del held[name]
        else:
            port = table.claim(key(str(name)), f"uid-{name}", None)
            assert port is not None
            assert port not in held.values()
            held[name] = port


def test_a_recorded_port_is_taken_over_unless_another_tenant_has_it() -> None:
    table = PortTable(FIRST, 8, no_time)
    assert table.claim(key("a"), "uid-a", FIRST + 3) == FIRST + 3
    assert table.claim(key("b"), "uid-b", FIRST + 3) not in (None, FIRST + 3), "as after a restore of both"
    assert table.claim(key("c"), "uid-c", 80) in range(FIRST, FIRST + 8), "the range has changed"


def test_a_full_range_has_no_port() -> None:
    table = PortTable(FIRST, 1, no_time)
    assert table.claim(key("a"), "uid-a", None) == FIRST
    assert table.claim(key("b"), "uid-b", None) is None


def test_a_port_that_was_freed_belongs_to_nobody_else_for_a_while() -> None:
    """A waker that has not heard of it passes requests, and keys, on to the tenant that had it."""
    now = [0.0]
    table = PortTable(FIRST, 1, lambda: now[0])
    assert table.claim(key("a"), "uid-a", None) == FIRST
    table.release(key("a"))
    assert table.claim(key("b"), "uid-b", None) is None
    assert table.claim(key("b"), "uid-b", FIRST) is None, "not even where its status records it"
    assert table.claim(key("a"), "uid-a", None) == FIRST, "but to the same one"
    table.release(key("a"))
    now[0] = QUARANTINE_SECONDS
    assert table.claim(key("b"), "uid-b", None) == FIRST


def test_a_namespace_cannot_take_every_port() -> None:
    now = [0.0]
    table = PortTable(FIRST, 4096, lambda: now[0])
    for number in range(MOST_OF_A_NAMESPACE):
        assert table.claim(Key("evil", f"t-{number}"), f"uid-{number}", None) is not None
    assert table.claim(Key("evil", "one-more"), "uid", None) is None
    assert table.claim(key("a"), "uid-a", None) is not None
    table.release(Key("evil", "t-0"))
    assert table.claim(Key("evil", "t-300"), "uid-300", None) is None, "nor those that it frees"
    now[0] = QUARANTINE_SECONDS
    assert table.claim(Key("evil", "t-300"), "uid-300", None) is not None


def test_a_namesake_of_a_deleted_tenant_and_others_get_a_port_that_nobody_had_if_there_is_one() -> None:
    """Requests to the old one may still be on their way."""
    table = PortTable(FIRST, 2, no_time)
    before = table.claim(key("a"), "uid-1", FIRST)
    assert table.claim(key("a"), "uid-2", None) == FIRST + 1 != before
