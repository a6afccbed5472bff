"""The bill beside a real Prometheus: its sums are those of the history, computed here by hand."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.support.prometheus_server import Span, prometheus_with
from tts_operator.cli.kubectl_tts import main

FIRST = datetime(2026, 11, 2, tzinfo=UTC)
STEP = timedelta(minutes=1)
OPERATOR = {"instance": "10.0.0.1:8080", "pod": "operator-a"}
STANDBY = {"instance": "10.0.0.2:8080", "pod": "operator-b"}
SPAN = ["--from=2026-11-02", "--to=2026-11-04"]


def at(day: int, hour: int) -> datetime:
    return FIRST + timedelta(days=day, hours=hour)


def replicas(tenant: str, start: datetime, end: datetime, count: int, price: float | None, **of: str) -> list[Span]:
    """A tenant of team-TENANT that has these replicas for a while."""
    labels = {"namespace": f"team-{tenant}", "tenant": tenant, **(of or OPERATOR)}
    spans = [Span("tts_operator_tenant_replicas", labels, start, end, count)]
    return spans + ([Span("tts_operator_tenant_hourly_cost", labels, start, end, count * price)] if price else [])


HISTORY = [
    Span("tts_operator_leading", OPERATOR, at(0, 0), at(2, 0), 1),
    Span("tts_operator_leading", STANDBY, at(0, 0), at(2, 0), 0),
    # acme: a night of one replica at 2.1, a day of three, then three of int8 at 0.8.
    *replicas("acme", at(0, 0), at(0, 8), 1, 2.1),
    *replicas("acme", at(0, 8), at(1, 0), 3, 2.1),
    *replicas("acme", at(1, 0), at(2, 0), 3, 0.8),
    # A replica of the operator that led before still has an old value.
    *replicas("acme", at(0, 0), at(2, 0), 50, 2.1, **STANDBY),
    # blue exists since 18:00 of the second day; red has no price. (A scrape marks a series that ends; a file cannot.)
    *replicas("blue", at(1, 18), at(2, 0), 2, 1.2),
    *replicas("red", at(0, 0), at(2, 0), 1, None),
    # Counters of acme's entry pod and of another pool, which speaks parts of the same requests.
    *(
        span
        for pod, entry in (("acme-1", 1), ("member-1", 0))
        for span in (
            Span("tts_entry_pool", {"namespace": "team-acme", "pod": pod}, at(-1, 0), at(3, 0), entry),
            Span(
                "tts_requests_total",
                {"namespace": "team-acme", "tenant": "acme", "pod": pod, "status_code": "200"},
                *(at(-1, 0), at(3, 0), 0, 1),
            ),
            Span(
                "tts_audio_seconds_total",
                {"namespace": "team-acme", "tenant": "acme", "pod": pod},
                *(at(-1, 0), at(3, 0), 0, 2.5),
            ),
        )
    ),
]
ACME = [8 * Decimal("2.1") + 16 * 3 * Decimal("2.1"), 24 * 3 * Decimal("0.8")]
"""Cost of acme on each day."""
BLUE = 6 * 2 * Decimal("1.2")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prometheus_with(tmp_path_factory.mktemp("prometheus"), HISTORY, STEP) as url:
        yield url


@pytest.mark.parametrize("step", ["15", "60", "300"])
def test_each_row_is_the_cost_of_a_tenant_and_a_day(
    address: str, step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bill", "-A", f"--prometheus={address}", *SPAN, "-o=csv", f"--step={step}"]) == 0
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out)))
    found = {(row["ResourceName"], row["ChargePeriodStart"][:10]): Decimal(row["BilledCost"]) for row in rows}
    assert found == {
        ("acme", "2026-11-02"): ACME[0],
        ("acme", "2026-11-03"): ACME[1],
        ("blue", "2026-11-03"): BLUE,
        ("red", "2026-11-02"): 0,
        ("red", "2026-11-03"): 0,
    }
    assert "2 of 3 tenants have no price for a part of the time. Usage: metrics, none." in err


def test_replica_hours_and_usage_are_those_of_the_day(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bill", "acme", "-n=team-acme", f"--prometheus={address}", *SPAN, "-o=json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["ConsumedQuantity"], second["ConsumedQuantity"]) == ("56", "72")
    assert (first["ListUnitPrice"], second["ListUnitPrice"]) == ("2.1", "0.8")
    assert first["x_CoveredHours"] == "24"
    assert int(first["x_Requests"]) == 1440
    assert Decimal(first["x_AudioSeconds"]) == pytest.approx(Decimal(3600))
    assert Decimal(first["x_CostPerAudioHour"]) == pytest.approx(ACME[0])
    assert first["x_Characters"] is None


def test_the_table_ends_with_the_sum(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bill", "-A", f"--prometheus={address}", *SPAN]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[1:4]] == [
        ["team-acme", "acme", "128.00", f"{sum(ACME):.2f}"],
        ["team-blue", "blue", "12.00", f"{BLUE:.2f}"],
        ["team-red", "red", "48.00", "0.00"],
    ]
    assert lines[4].split()[:3] == ["TOTAL", "188.00", f"{sum(ACME) + BLUE:.2f}"]


def test_an_address_that_is_no_prometheus_is_named(capsys: pytest.CaptureFixture[str], address: str) -> None:
    assert main(["bill", "-A", f"--prometheus={address}/graph", *SPAN]) == 1
    assert capsys.readouterr().err.startswith("error: --prometheus: ")
