"""Which numbers a pool computes with, and what its pods need for that."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from tts_operator.objects import quantity

ORDER = ("fp32", "fp16", "int8")
"""From the most to the least exact: what lies next to each other here is nearest."""

SCENARIOS: Mapping[str, str] = {"CustomerService": "fp16", "Education": "fp32", "Testing": "int8"}
"""What each scenario asks of a model."""


class PrecisionChoice(NamedTuple):
    """An effective precision. ``reason`` is CamelCase, for programs; ``message`` is for people."""

    name: str
    reason: str
    message: str


def choose(offered: Sequence[str], entry: str | None, scenario: str | None) -> PrecisionChoice:
    """The entry's precision, else the scenario's, else the model's first; a model that lacks it speaks its nearest."""
    if entry is not None:
        asked, reason, who = entry, "ModelEntry", "the tenant's entry for the model"
    elif scenario is not None:
        asked, reason, who = SCENARIOS[scenario], "Scenario", f"scenario {scenario}"
    else:
        return PrecisionChoice(offered[0], "ModelDefault", f"{offered[0]} is the model's first")
    if asked in offered:
        return PrecisionChoice(asked, reason, f"{who} asks for {asked}")
    found = nearest(asked, offered)
    return PrecisionChoice(
        found, "NotOffered", f"{who} asks for {asked}, the model offers {', '.join(offered)}: {found} is nearest"
    )


def nearest(asked: str, offered: Sequence[str]) -> str:
    """The offered precision fewest steps away; of two the more exact, because it loses nothing."""
    return min(offered, key=lambda name: (abs(ORDER.index(name) - ORDER.index(asked)), ORDER.index(name)))


Resources = Mapping[str, str]


def sized(effective: Resources, loaded: Sequence[Resources]) -> dict[str, str]:
    """What a pod asks for that holds several precisions in memory and computes with one of them.

    Memory is the sum of the loaded ones; an extended resource, such as a GPU, their maximum: they share the device.
    """
    everyone = loaded if effective in loaded else (effective, *loaded)
    result = dict(effective)
    for resources in everyone:
        for name, amount in resources.items():
            if "/" in name and quantity.parse(amount) > quantity.parse(result.get(name, "0")):
                result[name] = amount
    if "memory" in effective and len(everyone) > 1:
        total = sum((quantity.parse(resources.get("memory", "0")) for resources in everyone), Decimal(0))
        result["memory"] = str(int(total))
    return result
