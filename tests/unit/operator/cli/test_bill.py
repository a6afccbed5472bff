"""Sums of a bill, and its columns."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from tts_operator.cli.bill import Charge, History, Usage, by_tenant, charges, days, midnight, summed
from tts_operator.cli.bill_command import basis, cells
from tts_operator.cli.bill_history import usage_of
from tts_operator.cli.focus import row
from tts_operator.cli.kubectl_tts import main
from tts_operator.objects.keys import Key

ACME, BLUE = Key("team-acme", "acme"), Key("team-blue", "blue")
DAY = date(2026, 11, 30)
USAGE = Usage(100, 50_000, Decimal(7200), "ledger")


def history(**changes: Any) -> History:
    """Day of 1,440 samples: two replicas at 1.05 an hour."""
    whole = {
        "day": DAY,
        "cost": {ACME: Decimal("2.1") * 1440},
        "replicas": {ACME: Decimal(2 * 1440)},
        "samples": {ACME: Decimal(1440)},
        "usage": {ACME: USAGE},
    }
    return History(**{**whole, **changes})


def test_a_sample_holds_for_one_step() -> None:
    (charge,) = charges(history(), 60)
    assert (charge.cost, charge.replica_hours, charge.covered_hours) == (Decimal("50.4"), Decimal(48), Decimal(24))
    assert charge.unit_price == Decimal("1.05")
    assert charge.per_million_characters == 1008
    assert charge.per_audio_hour == Decimal("25.2")


def test_a_tenant_without_a_price_has_replicas_and_no_cost() -> None:
    (charge,) = charges(history(cost={}, samples={}), 60)
    assert (charge.cost, charge.replica_hours, charge.covered_hours) == (Decimal(0), Decimal(48), Decimal(0))


def test_sums_are_those_of_the_parts() -> None:
    parts = [*charges(history(), 60), *charges(history(day=date(2026, 12, 1)), 60)]
    (total,) = by_tenant(parts)
    assert total.cost == sum(part.cost for part in parts)
    assert total.usage == Usage(200, 100_000, Decimal(14_400), "ledger")
    assert (total.start, total.end) == (midnight(DAY), midnight(date(2026, 12, 2)))


def test_characters_are_unknown_if_they_are_for_a_part() -> None:
    assert (USAGE + Usage(1, None, Decimal(1), "metrics")).characters is None
    assert (USAGE + Usage(1, None, Decimal(1), "metrics")).basis == "ledger and metrics"
    assert USAGE + Usage() == USAGE


def test_an_idle_tenant_has_no_price_of_speech() -> None:
    (charge,) = charges(history(usage={}), 60)
    assert cells(charge)[-4:] == ("-", "0.00 h", "-", "-")


def test_rows_have_the_columns_of_focus() -> None:
    (charge,) = charges(history(), 60)
    found = row(charge, (midnight(DAY), midnight(date(2026, 12, 1))), "EUR")
    expected = {
        "BilledCost": "50.4",
        "ListUnitPrice": "1.05",
        "ConsumedQuantity": "48",
        "ChargePeriodStart": "2026-11-30T00:00:00Z",
        "ChargePeriodEnd": "2026-12-01T00:00:00Z",
        "BillingCurrency": "EUR",
        "SubAccountId": "team-acme/acme",
        "x_Characters": "50000",
        "x_CostPerMillionCharacters": "1008",
        "x_CostPerAudioHour": "25.2",
        "x_UsageBasis": "ledger",
    }
    assert expected.items() <= found.items()
    assert json.loads(str(found["Tags"])) == {"namespace": "team-acme", "tenant": "acme"}


def test_the_output_says_what_it_is_based_on() -> None:
    whole = charges(history(), 60)
    gap = charges(history(cost={BLUE: Decimal(1)}, replicas={}, samples={BLUE: Decimal(1)}, usage={}), 60)
    assert basis(whole, Decimal(24), 60).endswith("without a gap. Usage: ledger.")
    assert "; 1 of 2 tenants have no price for a part of the time." in basis([*whole, *gap], Decimal(24), 60)
    assert "does it scrape the operator" in basis([], Decimal(24), 60)


def test_a_ledger_of_one_replica_says_that_it_is_not_whole() -> None:
    total = {"requests": 2, "characters": 9, "audio_seconds": Decimal("1.5")}
    assert usage_of({"total": total, "complete": True}) == Usage(2, 9, Decimal("1.5"), "ledger")
    assert usage_of({"total": total, "complete": False}).basis == "incomplete ledger"


def test_days_end_before_the_last_one() -> None:
    assert list(days(date(2026, 11, 29), date(2026, 12, 1))) == [date(2026, 11, 29), DAY]


def test_the_sum_keeps_the_first_tenant() -> None:
    both = [*charges(history(), 60), *charges(history(), 60)]
    assert summed(both).cost == Decimal("100.8")
    assert isinstance(summed(both), Charge)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--from=2026-12-01", "--to=2026-12-01"], "--to 2026-12-01 is not later than --from 2026-12-01"),
        ([], "--prometheus is required: the history of replicas is in the Prometheus"),
        (["--prometheus=here", "-n=a"], "--prometheus here: write a URL, or NAMESPACE/SERVICE:PORT"),
        (["--prometheus=http://127.0.0.1:1", "--keys=absent", "-n=a"], "--keys absent: cannot be read"),
        (["--prometheus=http://127.0.0.1:1", "-n=a"], "--prometheus: [Errno 111] Connection refused"),
    ],
)
def test_wrong_input_says_what_to_write(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TTS_PROMETHEUS", raising=False)
    assert main(["bill", *arguments]) == 1
    assert problem in capsys.readouterr().err


def test_a_line_of_keys_that_is_wrong_is_named_and_not_shown(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "keys"
    file.write_text("# keys\nteam-acme/acme tts_secret\nacme tts_other\n")
    assert main(["bill", "--prometheus=http://127.0.0.1:1", f"--keys={file}", "-n=a"]) == 1
    said = capsys.readouterr().err
    assert "line 3: write NAMESPACE/TENANT" in said
    assert "tts_" not in said
