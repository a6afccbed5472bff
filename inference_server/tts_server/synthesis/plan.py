"""Input of one reply's synthesis: its utterances, the models that may synthesize them, and what is counted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tts_server.routing.fallback import Chains, FallbackModel
from tts_server.routing.voice_selection import RoutedUtterance
from tts_server.synthesis.guard import BreakerGuard


@dataclass(frozen=True, slots=True)
class SynthesisPlan:
    """The utterances of a reply as routed, the breaker guard of every model, and each model's fallbacks."""

    utterances: Sequence[RoutedUtterance]
    guards: Mapping[str, BreakerGuard]
    fallbacks: Chains
    reroute: Callable[[FallbackModel], Sequence[RoutedUtterance]]
    """Returns the same texts routed to a fallback model."""


@dataclass(frozen=True, slots=True)
class StreamHooks:
    """Callbacks that count what happens during a synthesis."""

    on_retry: Callable[[str], None] = lambda _: None
    """Called with the model whose utterance is synthesized a second time."""
    on_fallback: Callable[[str, str], None] = lambda _, __: None
    """Called with the model that a fallback replaces, and the code of the error."""
