"""How others read a calendar, and the page that says so."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.calendars.beside_peers import STORIES, table
from tests.support.peer_calendars import AIBrix, GPUStack, Hours, KedaCron, KubeDownscaler, Replicas, Rule

PAGE = Path(__file__).parents[4] / "docs" / "schedules-beside-others.md"
BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Replicas(1, 2)


def at(local: str) -> datetime:
    return datetime.fromisoformat(local).replace(tzinfo=BERLIN)


def test_the_page_has_the_table_that_the_command_prints() -> None:
    assert table() in PAGE.read_text(encoding="utf-8")


def test_on_a_day_like_any_other_all_ask_for_the_same_minimum_except_in_the_last_minute_of_the_day() -> None:
    rows = list(STORIES[0].rows())
    different = [row[1] for row in rows if len({cell.split("-")[0] for cell in row[2:]}) > 1]
    assert different == ["Thu 11 Jun 23:59:30 CEST"]


def test_keda_has_one_maximum_for_all_times() -> None:
    keda = KedaCron(Replicas(1, 6), (Hours("06:00", "22:00", Replicas(3, 3)),))
    assert [str(keda.at(at(f"2026-06-11T{clock}"), BERLIN)) for clock in ("05:59", "06:00", "21:59", "22:00")] == [
        "1-6",
        "3-6",
        "3-6",
        "1-6",
    ]


def test_the_downscaler_never_matches_a_time_spec_across_midnight() -> None:
    across = KubeDownscaler(Replicas(3, 6), 1, (("22:00", "06:00"),))
    assert {across.at(at(f"2026-06-11T{hour:02}:00"), BERLIN).least for hour in range(24)} == {1}


@pytest.mark.parametrize("hours", [("22:00", "06:00"), ("22:00", "24:00"), ("06:00", "06:00")])
def test_aibrix_takes_no_window_to_or_across_midnight(hours: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="AIBrix takes no schedule"):
        AIBrix(Replicas(3, 6), (Hours(*hours, NIGHT),))


def test_gpustack_counts_elapsed_time_and_lets_the_last_rule_win() -> None:
    gpustack = GPUStack(3, (Rule("22:00", 8 * 3600, 1), Rule("23:00", 3600, 5)))
    assert [gpustack.at(at(f"2026-06-11T{clock}"), BERLIN).least for clock in ("22:30", "23:30", "00:30")] == [1, 5, 1]
    assert gpustack.at(at("2026-03-29T06:30"), BERLIN).least == 1, "an hour longer by the clock"
    assert gpustack.at(at("2026-10-25T05:30"), BERLIN).least == 3, "an hour shorter"
