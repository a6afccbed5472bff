"""Parses Kubernetes quantities: ``1000m`` equals ``1``, ``4096Mi`` equals ``4Gi``.

The grammar is that of k8s.io/apimachinery's ``resource.Quantity``: a signed number and a binary, decimal or exponent
suffix.
"""

import re
from decimal import ROUND_CEILING, Decimal

BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
MILLI = Decimal("0.001")
"""Finest amount of a resource: pkg/apis/core/v1/defaults.go, SetDefaults_ResourceList, rounds up to it."""
PATTERN = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+|)")


def parse(quantity: str | float) -> Decimal:
    """Value in the base unit: cores, bytes, devices. Raises ValueError."""
    match = PATTERN.fullmatch(str(quantity))
    if match is None:
        raise ValueError(f"{quantity!r} is not a quantity such as 500m, 2 or 4Gi")
    number, suffix = Decimal(match["number"]), match["suffix"]
    if suffix in BINARY:
        return number * Decimal(1024) ** BINARY[suffix]
    if suffix in DECIMAL:
        return number.scaleb(DECIMAL[suffix])
    return number.scaleb(int(suffix[1:]))


def same(left: object, right: object) -> bool:
    """Whether two quantities are equal in any notation, as the API server stores them: rounded up to a thousandth."""
    if isinstance(left, str | int | float) and isinstance(right, str | int | float):
        try:
            return parse(left).quantize(MILLI, ROUND_CEILING) == parse(right).quantize(MILLI, ROUND_CEILING)
        except ValueError:
            return left == right
    return left == right


def whole(quantity: str | float) -> int:
    """Value rounded up, for whole units: bytes, processes."""
    return int(parse(quantity).to_integral_value(ROUND_CEILING))
