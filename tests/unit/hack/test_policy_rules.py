"""Facts of the operator as parts of the chart's admission policies."""

from __future__ import annotations

import json

import yaml

from hack.policy_rules import template
from tts_operator.api.support import MODEL, TENANT
from tts_operator.api.tenant import Tier


def defined(name: str) -> str:
    """Body of a named template."""
    return template().partition(f'{{{{- define "ttsfleet.{name}" -}}}}\n')[2].partition("{{- end }}")[0]


def test_every_row_of_the_support_tables_is_a_validation_with_its_reason() -> None:
    for plural, table in (("ttstenants", TENANT), ("ttsmodels", MODEL)):
        validations = yaml.safe_load(defined(f"unsupported.{plural}"))
        assert [validation["message"] for validation in validations] == [
            f"{field}: not supported yet; change or remove it" for field in table
        ]
        for validation, field in zip(validations, table, strict=True):
            assert validation["expression"].startswith(f"!({field.cel('object')}) || request.operation == 'UPDATE'")


def test_tiers_are_in_their_order() -> None:
    assert json.loads(defined("tiers").replace("'", '"')) == list(Tier)


def test_a_preset_has_its_highest_number_of_replicas() -> None:
    assert yaml.safe_load(defined("presets")) == {"DayNightWeekend": 3}


def test_no_body_ends_a_template() -> None:
    for name in ("tiers", "presets", "unsupported.ttstenants", "unsupported.ttsmodels"):
        assert "{{" not in defined(name)
        assert "}}" not in defined(name)
