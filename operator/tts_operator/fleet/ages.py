"""Ages as kubectl writes them."""

from datetime import datetime

UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))
TWO_OF_A_UNIT = 2
UNKNOWN = "-"


def age(since: str, now: datetime) -> str:
    """Time since an instant in RFC 3339, such as 45s, 12m, 3h or 6d; `-` without one."""
    try:
        seconds = int((now - datetime.fromisoformat(since)).total_seconds())
    except (TypeError, ValueError):
        return UNKNOWN
    for unit, length in UNITS:
        if seconds >= TWO_OF_A_UNIT * length:
            return f"{seconds // length}{unit}"
    return f"{max(0, seconds)}s"
