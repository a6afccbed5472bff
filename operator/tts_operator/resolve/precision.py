"""Effective precision of a pool, and the resources that its pods need for it."""

from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import NamedTuple

from tts_operator.objects import quantity

ORDER = ("fp32", "fp16", "int8")
"""Precisions from the most to the least exact; neighbours are nearest to each other."""

OF_WINDOW = "Window"
"""Reason of a precision by the schedule."""
SCENARIOS: Mapping[str, str] = {"CustomerService": "fp16", "Education": "fp32", "Testing": "int8"}
"""Precision by scenario."""


class PrecisionChoice(NamedTuple):
    """An effective precision and why it is used."""

    name: str
    reason: str
    """CamelCase, for programs."""
    message: str
    """Explanation for people."""


def effective_precision(offered: Sequence[str], entry: str | None, scenario: str | None) -> PrecisionChoice:
    """The precision of the entry in `spec.models`, else of the scenario, else the model's first.

    A model that does not offer it uses the nearest that it offers.
    """
    if entry is not None:
        requested, reason, source = entry, "ModelEntry", "spec.models sets"
    elif scenario is not None:
        requested, reason, source = SCENARIOS[scenario], "Scenario", f"scenario {scenario} uses"
    else:
        return PrecisionChoice(offered[0], "ModelDefault", f"{offered[0]} is the model's default")
    return _offered(offered, requested, reason, source)


def precision_of_window(offered: Sequence[str], requested: str, window: str) -> PrecisionChoice:
    """The precision of a window of the schedule, or the nearest that the model offers."""
    return _offered(offered, requested, OF_WINDOW, f"window {window} of spec.schedule sets")


def _offered(offered: Sequence[str], requested: str, reason: str, source: str) -> PrecisionChoice:
    if requested in offered:
        return PrecisionChoice(requested, reason, f"{source} {requested}")
    name = nearest(requested, offered)
    return PrecisionChoice(
        name, "NotOffered", f"{source} {requested}, the model offers {', '.join(offered)}: {name} is the nearest"
    )


def nearest(requested: str, offered: Sequence[str]) -> str:
    """The offered precision with the smallest distance in ORDER; of two, the more exact one."""
    return min(offered, key=lambda name: (abs(ORDER.index(name) - ORDER.index(requested)), ORDER.index(name)))


Resources = Mapping[str, str]
"""Quantity by resource name."""


def combined_resources(effective: Resources, loaded: Sequence[Resources]) -> dict[str, str]:
    """Resources of a pod that loads several precisions and computes with the effective one.

    Memory is the sum over the loaded precisions. An extended resource, such as a GPU, is their maximum: they share the
    device.
    """
    options = loaded if effective in loaded else (effective, *loaded)
    result = dict(effective)
    for resources in options:
        for name, amount in resources.items():
            if "/" in name and quantity.parse(amount) > quantity.parse(result.get(name, "0")):
                result[name] = amount
    if "memory" in effective and len(options) > 1:
        total = sum((quantity.parse(resources.get("memory", "0")) for resources in options), Decimal(0))
        result["memory"] = str(total.to_integral_value(ROUND_CEILING))
    return result


def with_memory(resources: Resources, more_bytes: int) -> dict[str, str]:
    """Resources with more memory, if they have any: no limit stays no limit."""
    if "memory" not in resources or not more_bytes:
        return dict(resources)
    return {**resources, "memory": str(quantity.whole(resources["memory"]) + more_bytes)}


def accelerators(effective: Resources, loaded: Sequence[Resources]) -> int:
    """Accelerators of one replica: its extended resources, such as nvidia.com/gpu, by the limits of its precisions."""
    amounts = (amount for name, amount in combined_resources(effective, loaded).items() if "/" in name)
    return int(sum(map(quantity.parse, amounts), Decimal(0)).to_integral_value(ROUND_CEILING))
