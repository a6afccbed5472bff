"""Who speaks when a model cannot: the chains that begin at some models. Pure.

A link is written once, at the model that falls back, and may lie in the chains of several models. So a link that closes
a circle, or makes the chain of one of them too long, is left out for all of them, and the problem names the whole path.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tts_operator.api import TTSModel
from tts_operator.api.model import LONGEST_CHAIN, fallback_of
from tts_operator.objects.problem import Problem


@dataclass(frozen=True)
class FallbackChains:
    """What follows from every model's own `spec.fallback`."""

    links: Mapping[str, str]
    """A model to the one that speaks in its place. Both can be used."""
    unlisted: tuple[str, ...] = ()
    """Models that the links lead to and nobody lists, in the order in which they are met."""
    unusable: tuple[str, ...] = ()
    """Models that a fallback names, that nobody lists, and that cannot be used."""
    problems: tuple[Problem, ...] = ()


def chains(
    listed: Iterable[str], models: Mapping[str, TTSModel | None], unusable_reason: Callable[[str, str], Problem | None]
) -> FallbackChains:
    """Every chain from the listed models. ``unusable_reason(by, name)`` says why ``name`` cannot replace ``by``."""
    first = list(listed)
    links: dict[str, str] = {}
    cut: set[str] = set()
    unusable: dict[str, None] = {}
    problems: dict[Problem, None] = {}
    for start in first:
        path = [start]
        while path[-1] not in cut and (name := fallback_of(models.get(path[-1]))) is not None:
            here = path[-1]
            if problem := broken(path, name):
                problems[problem] = None
            elif problem := unusable_reason(here, name):
                if name not in first:  # of a listed model it is told where it is listed
                    problems[problem] = unusable[name] = None
            else:
                links[here] = name
                path.append(name)
                continue
            cut.add(here)
            links.pop(here, None)
            break
    return FallbackChains(links, reached(first, links), tuple(unusable), tuple(problems))


def broken(path: list[str], name: str) -> Problem | None:
    """Why the path cannot go on to this model, wherever it is."""
    whole = " -> ".join([*path, name])
    if name in path:
        return Problem("FallbackCycle", f"{whole}: TTSModel {path[-1]} must not fall back to one that falls back to it")
    if len(path) == LONGEST_CHAIN:
        return Problem("FallbackTooLong", f"{whole} is longer than {LONGEST_CHAIN} models: {name} never speaks")
    return None


def reached(listed: list[str], links: Mapping[str, str]) -> tuple[str, ...]:
    """Models that the links lead to from the listed ones."""
    found: dict[str, None] = {}
    for start in listed:
        name = start
        while (follows := links.get(name)) is not None:
            if follows not in listed:
                found[follows] = None
            name = follows
    return tuple(found)


def missing_voices(model: TTSModel, standby: TTSModel) -> list[Problem]:
    """Voices that the model's fallback names and the other model does not have."""
    voices = {voice.name for voice in standby.spec.voices}
    entries = model.spec.fallback.voices if model.spec.fallback is not None else ()
    return [
        Problem(
            "FallbackVoiceNotFound",
            f"TTSModel {model.metadata.name} falls back to voice {entry.voice} for {entry.language}, "
            f"which TTSModel {standby.metadata.name} does not have",
        )
        for entry in entries
        if entry.voice not in voices
    ]
