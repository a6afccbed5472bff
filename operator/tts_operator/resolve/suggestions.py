"""Names that exist, for a message about one that does not."""

from collections.abc import Iterable
from difflib import SequenceMatcher

MOST_NAMES = 10
"""Maximum names in a message: a model may have hundreds of voices."""


def closest(wanted: str, names: Iterable[str]) -> str:
    """The names that exist as a list for people, the most similar first; `none` without any."""
    ranked = sorted(set(names), key=lambda name: (-SequenceMatcher(None, wanted, name).ratio(), name))
    if not ranked:
        return "none"
    shown, more = ", ".join(ranked[:MOST_NAMES]), len(ranked) - MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
