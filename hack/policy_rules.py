"""Turns facts of the operator into parts of the chart's admission policies over TTSTenants and TTSModels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from tts_operator.api.crd import RESOURCES
from tts_operator.api.support import UnsupportedField, not_supported
from tts_operator.api.tenant import Tier
from tts_operator.calendar.calendar import PRESETS

HEADER = "{{/* Generated from operator/tts_operator/{api,calendar} by `make generate`; do not edit. */}}\n"


def template() -> str:
    """Content of templates/_facts.tpl."""
    highest = {
        name: max(state.bounds.max_replicas for state in (default, *(window.state for window in windows)))
        for name, (default, windows) in PRESETS.items()
    }
    parts = [
        HEADER,
        _define("tiers", "CEL: the tiers, lowest first.", [_cel_strings(str(tier) for tier in Tier)]),
        _define("presets", "CEL: the most replicas of each preset of a schedule.", [_cel_map(highest)]),
        *(
            _define(
                f"unsupported.{resource.plural}",
                "Validations that refuse fields which are not supported yet, unless the object had them before.",
                _validations(resource.unsupported),
            )
            for resource in RESOURCES
        ),
    ]
    return "\n".join(parts)


def _validations(fields: Iterable[UnsupportedField]) -> Iterator[str]:
    for field in fields:
        now, before = field.cel("object"), field.cel("oldObject")
        # json.dumps quotes for YAML.
        yield "- expression: " + json.dumps(f"!({now}) || request.operation == 'UPDATE' && ({before})")
        yield "  message: " + json.dumps(not_supported([str(field)]))


def _define(name: str, comment: str, lines: Iterable[str]) -> str:
    body = "\n".join(lines)
    return f'{{{{/* {comment} */}}}}\n{{{{- define "ttsfleet.{name}" -}}}}\n{body}\n{{{{- end }}}}\n'


def _cel_strings(values: Iterable[str]) -> str:
    return "[" + ", ".join(f"'{value}'" for value in values) + "]"


def _cel_map(values: dict[str, int]) -> str:
    # A space keeps braces apart: Helm reads two of them.
    return "{ " + ", ".join(f"'{name}': {value}" for name, value in values.items()) + " }"
