"""Ports of the waker: one for each tenant, and never one for two."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tts_operator.objects.keys import Key
from tts_operator.resolve.waker_ports import PortTable, candidates

FIRST = 20_000


def key(name: str) -> Key:
    return Key("team", name)


@given(st.text(max_size=40), st.integers(1, 64))
def test_every_port_of_the_range_is_a_candidate_once(uid: str, count: int) -> None:
    assert sorted(candidates(uid, FIRST, count)) == list(range(FIRST, FIRST + count))


def test_a_tenant_keeps_its_port_and_its_uid_determines_it() -> None:
    table = PortTable(FIRST, 4096)
    port = table.claim(key("a"), "uid-a", None)
    assert port == table.claim(key("a"), "uid-a", None) == next(candidates("uid-a", FIRST, 4096))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60))
def test_no_port_belongs_to_two_tenants(names: list[int]) -> None:
    """Tenants come and go in any order, in a range that is as large as their number."""
    table, held = PortTable(FIRST, 10), dict[int, int]()
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
    table = PortTable(FIRST, 8)
    assert table.claim(key("a"), "uid-a", FIRST + 3) == FIRST + 3
    assert table.claim(key("b"), "uid-b", FIRST + 3) not in (None, FIRST + 3), "as after a restore of both"
    assert table.claim(key("c"), "uid-c", 80) in range(FIRST, FIRST + 8), "the range has changed"


def test_a_full_range_has_no_port() -> None:
    table = PortTable(FIRST, 1)
    assert table.claim(key("a"), "uid-a", None) == FIRST
    assert table.claim(key("b"), "uid-b", None) is None
    table.release(key("a"))
    assert table.claim(key("b"), "uid-b", None) == FIRST


def test_a_namesake_of_a_deleted_tenant_and_others_get_a_port_that_nobody_had_if_there_is_one() -> None:
    """Requests to the old one may still be on their way."""
    table = PortTable(FIRST, 2)
    before = table.claim(key("a"), "uid-1", FIRST)
    assert table.claim(key("a"), "uid-2", None) == FIRST + 1 != before
