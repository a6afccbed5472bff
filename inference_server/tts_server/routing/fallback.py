"""Selects the model that synthesizes a reply when its own cannot. Pure: takes configuration and observations."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from tts_server.config.schema import FallbackVoice, ModelConfig

LONGEST_CHAIN = 3
"""Models, the first included: a client would not wait for more first-audio timeouts than these."""


class BrokenChain(ValueError):  # noqa: N818 - named after what happened
    """A fallback names an unknown model, closes a circle, or makes its chain too long."""


@dataclass(frozen=True, slots=True)
class FallbackModel:
    """A model that may replace another, and its voice for each language of the other."""

    model: str
    voices: tuple[FallbackVoice, ...] = ()


Chains = Mapping[str, tuple[FallbackModel, ...]]
"""The fallbacks of each model, by the model's name, in the order in which they are tried."""


def chains(models: Sequence[ModelConfig]) -> Chains:
    """Return every model's chain. Raises `BrokenChain`."""
    configured = {model.name: model for model in models}
    return {name: _chain(name, configured) for name in configured}


def _chain(name: str, configured: Mapping[str, ModelConfig]) -> tuple[FallbackModel, ...]:
    chain: list[FallbackModel] = []
    names = [name]
    while (fallback := configured[names[-1]].fallback) is not None:
        if fallback.model not in configured:
            raise BrokenChain(f"models: {names[-1]} falls back to {fallback.model}, which is not configured")
        if fallback.model in names:
            raise BrokenChain(f"models: the fallbacks of {name} form a circle: {' -> '.join([*names, fallback.model])}")
        chain.append(FallbackModel(fallback.model, fallback.voices))
        names.append(fallback.model)
        if len(names) > LONGEST_CHAIN:
            raise BrokenChain(f"models: the fallback chain {' -> '.join(names)} is longer than {LONGEST_CHAIN} models")
    return tuple(chain)


@dataclass(frozen=True, slots=True)
class FallbackDecision:
    """The model for a whole reply: `fallback` replaces all routed models because of `replaced`; None keeps them.

    `despite_breaker` says to try although every breaker in question is open: that costs this client some time, while
    refusing would cost it the reply.
    """

    fallback: FallbackModel | None
    replaced: str | None = None
    despite_breaker: bool = False


def choose_fallback(
    needed: Sequence[str], chains: Chains, failed: Collection[str], allows: Callable[[str], bool]
) -> FallbackDecision | None:
    """Decide for a reply whose utterances need the models `needed`, in order; None if no model is left to try.

    `failed` are models that have failed for this reply; `allows` tells whether a model's breaker permits an attempt.
    """
    broken = next((model for model in needed if model in failed), None)
    if broken is None:
        broken = next((model for model in needed if not allows(model)), None)
    if broken is None:
        return FallbackDecision(None)
    untried = [fallback for fallback in chains[broken] if fallback.model not in failed]
    for fallback in untried:
        if allows(fallback.model):
            return FallbackDecision(fallback, broken)
    if not any(model in failed for model in needed):
        return FallbackDecision(None, broken, despite_breaker=True)
    return FallbackDecision(untried[0], broken, despite_breaker=True) if untried else None


def can_serve(model: str, chains: Chains, ready: Callable[[str], bool]) -> bool:
    """Whether the model or one of its fallbacks is ready."""
    return ready(model) or any(ready(fallback.model) for fallback in chains[model])
