"""The price of one replica for an hour: the model's own, else that of the resources it reserves."""

from collections.abc import Mapping
from decimal import Decimal

from tts_operator.api.model import PrecisionOption
from tts_operator.objects import quantity
from tts_operator.settings import Prices

GIBIBYTE = Decimal(2**30)


def hourly_price(option: PrecisionOption, prices: Prices) -> Decimal | None:
    """Price of a replica at this precision; None if neither the model nor the platform gives one.

    Without a price of the model's own, each resource costs what the platform charges for it. A platform that charges
    for CPU or memory and names no price for a GPU has forgotten it: the whole price is unknown then, not lower.
    """
    if option.hourly_cost is not None:
        return Decimal(option.hourly_cost)
    if prices.cpu_hour is None and prices.memory_gib_hour is None:
        return None
    reserved = reservations(option)
    total = reserved.pop("cpu") * Decimal(prices.cpu_hour or 0)
    total += reserved.pop("memory") / GIBIBYTE * Decimal(prices.memory_gib_hour or 0)
    for name, amount in reserved.items():
        if "/" not in name:  # hugepages and ephemeral storage are part of the node that CPU and memory pay for
            continue
        price = prices.extended_resources_hour.get(name)
        if price is None and amount:
            return None
        total += amount * Decimal(price or 0)
    return total


def reservations(option: PrecisionOption) -> dict[str, Decimal]:
    """Resources that the scheduler reserves for a replica, in base units: requests, and limits without a request."""
    resources: Mapping[str, str] = {**option.resources.limits, **option.resources.requests}
    return {name: quantity.parse(amount) for name, amount in resources.items()}
