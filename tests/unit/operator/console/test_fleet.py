"""Pages hear of changes: each once, the latest state only, and everything when they open."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.support.resources import Object, model_body, tenant_body
from tts_operator.console.fleet import ROWS_AT_ONCE, Fleet, Message, Subscription
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import MODEL, TENANT, Kind

MONDAY = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.instant = MONDAY

    def now(self) -> datetime:
        return self.instant

    def monotonic(self) -> float:
        return 0.0


def told(fleet: Fleet, kind: Kind, body: Object, version: int, *, gone: bool = False) -> None:
    """As a reflector does with an event of the watch."""
    body = {**body, "metadata": {**body["metadata"], "uid": body["metadata"]["name"], "resourceVersion": str(version)}}
    change = fleet.indexer.remove(kind, body) if gone else fleet.indexer.put(kind, body)
    assert change is not None
    fleet.changed(change)


def tenant(name: str = "acme", **spec: Any) -> Object:
    return tenant_body(key=Key("team-acme", name), **spec)


def drained(fleet: Fleet, page: Subscription) -> list[Message]:
    return list(fleet.messages(page))


def test_a_page_that_opens_is_told_everything() -> None:
    fleet = Fleet(Clock())
    told(fleet, TENANT, tenant(), 1)
    told(fleet, MODEL, model_body(), 2)
    fleet.notice("pods", "You may not.")
    fleet.listed()
    (message,) = drained(fleet, fleet.subscribe())
    assert [row["name"] for row in message["tenants"]] == ["acme"]
    assert [row["name"] for row in message["models"]] == ["espeak"]
    assert message["notices"] == ["You may not."]
    assert message["synced"] is True
    assert message["tenants"][0]["week"] in message["weeks"]


def test_a_thousand_tenants_come_in_parts_and_the_last_says_that_it_is_the_last() -> None:
    fleet = Fleet(Clock())
    for number in range(2 * ROWS_AT_ONCE + 1):
        told(fleet, TENANT, tenant(f"t{number}"), number + 1)
    fleet.listed()
    messages = drained(fleet, fleet.subscribe())
    assert [len(each["tenants"]) for each in messages] == [ROWS_AT_ONCE, ROWS_AT_ONCE, 1]
    assert [each["synced"] for each in messages] == [False, False, True]
    assert sum(len(each["weeks"]) for each in messages) == 1, "equal schedules are one week"


def test_a_slow_page_is_told_the_latest_state_once() -> None:
    fleet = Fleet(Clock())
    told(fleet, TENANT, tenant(), 1)
    page = fleet.subscribe()
    drained(fleet, page)
    told(fleet, TENANT, tenant(tier="VIP"), 2)
    told(fleet, TENANT, tenant(tier="Enterprise"), 3)
    assert page.news.is_set()
    (message,) = drained(fleet, page)
    assert [row["tier"] for row in message["tenants"]] == ["Enterprise"]
    assert "models" not in message
    assert not page.news.is_set()


def test_what_does_not_change_the_row_is_no_news() -> None:
    fleet = Fleet(Clock())
    told(fleet, TENANT, tenant(), 1)
    page = fleet.subscribe()
    drained(fleet, page)
    told(fleet, TENANT, {**tenant(), "status": {"timeZoneDatabase": "2026f"}}, 2)
    assert not page.news.is_set()


def test_a_tenant_that_is_gone_is_told_and_forgotten() -> None:
    fleet = Fleet(Clock())
    told(fleet, TENANT, tenant(), 1)
    page = fleet.subscribe()
    drained(fleet, page)
    told(fleet, TENANT, tenant(), 2, gone=True)
    (message,) = drained(fleet, page)
    assert (message["tenants"], message["gone"]) == ([], ["team-acme/acme"])
    assert fleet.body(Key("team-acme", "acme")) is None
    assert drained(fleet, fleet.subscribe())[0]["tenants"] == []


def test_a_closed_page_is_forgotten() -> None:
    fleet = Fleet(Clock())
    page = fleet.subscribe()
    drained(fleet, page)
    fleet.unsubscribe(page)
    told(fleet, TENANT, tenant(), 1)
    assert not page.news.is_set()


def test_once_a_change_is_past_the_next_one_is_told() -> None:
    clock = Clock()
    fleet = Fleet(clock)
    told(fleet, TENANT, tenant(schedule={"preset": "DayNightWeekend"}), 1)
    page = fleet.subscribe()
    (before,) = drained(fleet, page)
    assert before["tenants"][0]["next"]["window"] == "night"
    clock.instant = datetime(2026, 12, 1, 0, 0, 1, tzinfo=UTC)
    fleet.time_passed()
    (after,) = drained(fleet, page)
    assert after["tenants"][0]["next"]["window"] == "day"


def test_a_new_week_is_told_to_pages_that_stayed_open() -> None:
    clock = Clock()
    fleet = Fleet(clock)
    told(fleet, TENANT, tenant(), 1)
    page = fleet.subscribe()
    drained(fleet, page)
    clock.instant = datetime(2026, 12, 7, 0, 0, 1, tzinfo=UTC)
    fleet.time_passed()
    (message,) = drained(fleet, page)
    assert [week["monday"] for week in message["weeks"].values()] == ["2026-12-07"]


def test_a_notice_goes_once_the_cause_is_gone() -> None:
    fleet = Fleet(Clock())
    page = fleet.subscribe()
    fleet.notice("tenants", "You may not.")
    assert drained(fleet, page)[0]["notices"] == ["You may not."]
    fleet.notice("tenants", None)
    assert drained(fleet, page)[0]["notices"] == []
