"""Fallback chains of models. Pure.

A link is written once, at the model that falls back, and may be part of the chains of several models. So a link that
closes a cycle, or makes one of the chains too long, is left out of all of them, and the problem names the whole path.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tts_operator.api import TTSModel
from tts_operator.api.model import LONGEST_CHAIN, fallback_of
from tts_operator.objects.problem import Problem
from tts_operator.resolve.suggestions import closest


@dataclass(frozen=True)
class FallbackChains:
    """Fallbacks of a set of models, as every model's own `spec.fallback` defines them."""

    links: Mapping[str, str]
    """Fallback by model. Both can be used."""
    unlisted: tuple[str, ...] = ()
    """Models that the links lead to and that are not listed, in the order in which they are reached."""
    unusable: tuple[str, ...] = ()
    """Models that a fallback names, that are not listed, and that cannot be used."""
    problems: tuple[Problem, ...] = ()


def fallback_chains(
    listed: Iterable[str], models: Mapping[str, TTSModel | None], unusable_reason: Callable[[str, str], Problem | None]
) -> FallbackChains:
    """Every chain from the listed models. ``unusable_reason(model, name)``: why ``name`` cannot replace ``model``."""
    starts = list(listed)
    links: dict[str, str] = {}
    without_fallback: set[str] = set()
    unusable: dict[str, None] = {}
    problems: dict[Problem, None] = {}
    for start in starts:
        path = [start]
        while path[-1] not in without_fallback and (name := fallback_of(models.get(path[-1]))) is not None:
            last = path[-1]
            if problem := link_problem(path, name):
                problems[problem] = None
            elif problem := unusable_reason(last, name):
                if name not in starts:  # a listed model reports this problem itself
                    problems[problem] = unusable[name] = None
            else:
                links[last] = name
                path.append(name)
                continue
            without_fallback.add(last)
            links.pop(last, None)
            break
    return FallbackChains(links, unlisted_models(starts, links), tuple(unusable), tuple(problems))


def link_problem(path: list[str], name: str) -> Problem | None:
    """Why a chain cannot continue from the path to this model, whether or not the model can be used."""
    chain = " -> ".join([*path, name])
    if name in path:
        message = f"fallback cycle {chain}: change spec.fallback of TTSModel {path[-1]}"
        return Problem("FallbackCycle", message)
    if len(path) == LONGEST_CHAIN:
        message = f"fallback chain {chain} has more than {LONGEST_CHAIN} models, so {name} is never used: shorten it"
        return Problem("FallbackTooLong", message)
    return None


def unlisted_models(listed: list[str], links: Mapping[str, str]) -> tuple[str, ...]:
    """Models that the links lead to from the listed ones, and that are not listed."""
    unlisted: dict[str, None] = {}
    for start in listed:
        name = start
        while (fallback := links.get(name)) is not None:
            if fallback not in listed:
                unlisted[fallback] = None
            name = fallback
    return tuple(unlisted)


def missing_voice_problems(model: TTSModel, fallback_model: TTSModel) -> list[Problem]:
    """A problem for each voice in the model's `spec.fallback.voices` that the fallback model does not have."""
    voices = {voice.name for voice in fallback_model.spec.voices}
    entries = model.spec.fallback.voices if model.spec.fallback is not None else ()
    return [
        Problem(
            "FallbackVoiceNotFound",
            f"TTSModel {model.metadata.name} sets fallback voice {entry.voice} for {entry.language}, "
            f"which TTSModel {fallback_model.metadata.name} does not have: correct spec.fallback.voices; "
            f"its voices: {closest(entry.voice, voices)}",
        )
        for entry in entries
        if entry.voice not in voices
    ]
