"""Which model speaks a reply when its own cannot. Pure: configuration and the moment's facts in, a name out."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from tts_server.config.schema import FallbackVoice, ModelConfig

LONGEST_CHAIN = 3
"""Models, the first one included: a caller would not wait for more first-audio timeouts than these."""


class BrokenChain(ValueError):  # noqa: N818 - what happened
    """A fallback leads nowhere, in a circle, or too far."""


@dataclass(frozen=True, slots=True)
class FallbackModel:
    """A model that may speak in place of another, and the voices that stand for the other's."""

    model: str
    voices: tuple[FallbackVoice, ...] = ()


Chains = Mapping[str, tuple[FallbackModel, ...]]
"""Under each model's name, who stands in for it, in order."""


def chains(models: Sequence[ModelConfig]) -> Chains:
    """Every model's chain. Raises `BrokenChain`."""
    known = {model.name: model for model in models}
    return {name: _chain(name, known) for name in known}


def _chain(name: str, known: Mapping[str, ModelConfig]) -> tuple[FallbackModel, ...]:
    found: list[FallbackModel] = []
    passed = [name]
    while (fallback := known[passed[-1]].fallback) is not None:
        if fallback.model not in known:
            raise BrokenChain(f"models: {passed[-1]} falls back to {fallback.model}, which is no model here")
        if fallback.model in passed:
            raise BrokenChain(f"models: the fallback of {name} is a circle: {' -> '.join([*passed, fallback.model])}")
        found.append(FallbackModel(fallback.model, fallback.voices))
        passed.append(fallback.model)
        if len(passed) > LONGEST_CHAIN:
            raise BrokenChain(f"models: {' -> '.join(passed)} is longer than {LONGEST_CHAIN} models")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class FallbackDecision:
    """Who is to speak the whole reply: `standby` None is everybody as routed. `without` is who made the others step in.

    `worth_a_try` is false where every breaker in question says no: trying all the same costs this caller some time,
    refusing would cost it the answer.
    """

    standby: FallbackModel | None
    without: str | None = None
    worth_a_try: bool = True


def choose(
    needed: Sequence[str], chains: Chains, failed: Collection[str], allows: Callable[[str], bool]
) -> FallbackDecision | None:
    """Who speaks a reply whose lines need the models `needed`, in order; None when everybody has failed already.

    `failed` are the models that have failed for this very reply; `allows` asks a model's breaker.
    """
    broken = next((model for model in needed if model in failed), None)
    if broken is None:
        broken = next((model for model in needed if not allows(model)), None)
    if broken is None:
        return FallbackDecision(None)
    left = [standby for standby in chains[broken] if standby.model not in failed]
    for standby in left:
        if allows(standby.model):
            return FallbackDecision(standby, broken)
    if not any(model in failed for model in needed):
        return FallbackDecision(None, broken, worth_a_try=False)
    return FallbackDecision(left[0], broken, worth_a_try=False) if left else None


def can_speak(model: str, chains: Chains, ready: Callable[[str], bool]) -> bool:
    """Whether the model, or one of those that stand in for it, is ready."""
    return ready(model) or any(ready(standby.model) for standby in chains[model])
