"""The price of a replica is the model's, else that of what it reserves, else unknown."""

from decimal import Decimal
from typing import Any

import pytest

from tts_operator.api.model import PrecisionOption
from tts_operator.cost.price import hourly_price
from tts_operator.settings import Prices

CHARGED = Prices(cpu_hour="0.04", memory_gib_hour="0.005", extended_resources_hour={"nvidia.com/gpu": "2.10"})


def option(hourly_cost: str | None = None, **resources: Any) -> PrecisionOption:
    return PrecisionOption.model_validate({"name": "fp32", "hourlyCost": hourly_cost, "resources": resources})


@pytest.mark.parametrize(
    ("priced", "prices", "expected"),
    [
        (option("1.20", requests={"cpu": "4", "memory": "8Gi"}), CHARGED, "1.20"),
        (option("0", requests={"cpu": "4", "memory": "8Gi"}), CHARGED, "0"),
        (option(requests={"cpu": "500m", "memory": "2Gi"}), CHARGED, "0.03"),
        (option(limits={"cpu": "2", "memory": "512Mi"}), CHARGED, "0.0825"),
        (option(requests={"cpu": "1"}, limits={"cpu": "4", "memory": "2Gi"}), CHARGED, "0.05"),
        (option(requests={"cpu": "1", "memory": "0"}, limits={"nvidia.com/gpu": "2"}), CHARGED, "4.24"),
        (option(requests={"cpu": "1", "memory": "1Gi", "ephemeral-storage": "9Gi"}), CHARGED, "0.045"),
        (option(requests={"cpu": "2", "memory": "1Gi"}), Prices(cpu_hour="0.04"), "0.08"),
        (option(requests={"cpu": "1", "memory": "1Gi"}), Prices(), None),
        (option(requests={"cpu": "1", "memory": "1Gi"}, limits={"amd.com/gpu": "1"}), CHARGED, None),
        (option(requests={"cpu": "1", "memory": "0"}, limits={"amd.com/gpu": "0"}), CHARGED, "0.04"),
    ],
)
def test_the_price_of_a_replica(priced: PrecisionOption, prices: Prices, expected: str | None) -> None:
    assert hourly_price(priced, prices) == (None if expected is None else Decimal(expected))
