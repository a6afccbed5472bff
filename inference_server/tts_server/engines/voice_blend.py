"""Names of blended voices, as users of Kokoro-FastAPI write them: `af_bella(2)+af_sky(1)`, `af_bella+af_sky`."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

MOST_VOICES = 8
"""Most voices in a blend."""
_PART = re.compile(r"(?P<name>[^()+]+?)\s*(?:\(\s*(?P<weight>\d{1,6}(?:\.\d{1,6})?)\s*\))?")
_DECIMALS = 4
"""Decimals of a normalised weight: so many that no difference is heard."""


class BrokenBlend(ValueError):  # noqa: N818 - named after what it is
    """The name is no blend; the message says how one is written."""


class WeightedVoice(NamedTuple):
    """A voice of a blend and its part, above 0; those of a blend add up to 1, but for rounding."""

    name: str
    weight: float


class Blend(tuple[WeightedVoice, ...]):
    """The voices of a blend in the order of the name: the language of a blend is that of its first voice."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return the name by which equal blends are cached: `af_bella(0.6667)+af_sky(0.3333)`."""
        return "+".join(f"{name}({weight:g})" for name, weight in self)


def is_blend(name: str) -> bool:
    """Whether a name is written as a blend: no voice of its own has these characters."""
    return "+" in name or "(" in name or ")" in name


def parse_blend(name: str, resolve: Callable[[str], str] = lambda name: name) -> Blend:
    """Parse a blend. `resolve` returns the voice that a name means. Raises `BrokenBlend`."""
    parts = list(_parts(name))
    if len(parts) > MOST_VOICES:
        raise BrokenBlend(f"A blend has at most {MOST_VOICES} voices.")
    weights: dict[str, float] = {}
    for part, weight in parts:
        voice = resolve(part)
        if voice in weights:
            raise BrokenBlend("A blend names each voice once.")
        weights[voice] = weight
    total = sum(weights.values())
    blend = Blend(WeightedVoice(voice, round(weight / total, _DECIMALS)) for voice, weight in weights.items())
    if any(weight == 0 for _, weight in blend):
        raise BrokenBlend("The weights of a blend differ by too much: the least must be a ten-thousandth of their sum.")
    return blend


def _parts(name: str) -> Iterator[WeightedVoice]:
    for part in name.split("+"):
        found = _PART.fullmatch(part.strip())
        if found is None:
            raise BrokenBlend(
                "A blend is written as names joined by +, each with an optional weight: af_bella(2)+af_sky(1)."
            )
        weight = float(found["weight"] or 1)
        if weight <= 0:
            raise BrokenBlend("The weights of a blend are above 0.")
        yield WeightedVoice(found["name"], weight)
