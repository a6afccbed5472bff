"""Names of blended voices, as users of Kokoro-FastAPI write them: `af_bella(2)+af_sky(1)`, `af_bella+af_sky`."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

MOST_VOICES = 8
"""Most voices in a blend."""
_FORM = "a blend is written as names joined by +, each with an optional weight: af_bella(2)+af_sky(1)"
_PART = re.compile(r"(?P<name>[^()]+?)\s*(?:\((?P<weight>[^()]*)\))?")
_WEIGHT = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?")
_DECIMALS = 4
"""Decimals of a normalised weight: so many that no difference is heard."""


class BrokenBlend(ValueError):  # noqa: N818 - named after what it is
    """The name is no blend; the message says which part is wrong, by its number, and what to write."""


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
        raise BrokenBlend(f"The blend has {len(parts)} voices; a blend has at most {MOST_VOICES} voices.")
    weights: dict[str, float] = {}
    for number, (part, weight) in enumerate(parts, start=1):
        voice = resolve(part)
        if voice in weights:
            first = list(weights).index(voice) + 1
            raise BrokenBlend(f"Parts {first} and {number} of the blend are one voice: name each voice once.")
        weights[voice] = weight
    total = sum(weights.values())
    blend = Blend(WeightedVoice(voice, round(weight / total, _DECIMALS)) for voice, weight in weights.items())
    if any(weight == 0 for _, weight in blend):
        raise BrokenBlend("The weights of a blend differ by too much: the least must be a ten-thousandth of their sum.")
    return blend


def _parts(name: str) -> Iterator[WeightedVoice]:
    for number, part in enumerate(name.split("+"), start=1):
        if not part.strip():
            raise BrokenBlend(f"Part {number} of the blend is empty: {_FORM}.")
        found = _PART.fullmatch(part.strip())
        if found is None:
            raise BrokenBlend(f"Part {number} of the blend is not a name with a weight: {_FORM}.")
        written = "1" if found["weight"] is None else found["weight"].strip()
        weight = float(written) if _WEIGHT.fullmatch(written) else 0.0
        if weight <= 0:
            raise BrokenBlend(
                f"The weight of part {number} of the blend must be a number above 0 and below 1000000: 2, or 0.5."
            )
        yield WeightedVoice(found["name"], weight)
