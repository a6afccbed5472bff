"""Cuts the utterances of a slow engine, so that other requests have their turn in between. Pure."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from tts_server.config.schema import PausesConfig
from tts_server.routing.catalogue import Catalogue
from tts_server.routing.voice_selection import RoutedUtterance, pause_seconds
from tts_server.text.duration_estimate import estimated_seconds
from tts_server.text.normalization import WORD_BREAK
from tts_server.text.parts import parts
from tts_server.text.pauses import pause_after

LONGEST_RUN_SECONDS = 5.0
"""Longest predicted time of a worker for one utterance: half of the default of `maxWaitSeconds`."""
SHORTEST_SECONDS = 3.0
"""Least audio of the parts, however slow the engine is: shorter ones sound chopped."""
SPARE_CHARACTERS = 6
"""By how much a part may be longer than its even share of the text: so far behind it a word may end."""


def short_utterances(
    catalogue: Catalogue, utterances: Sequence[RoutedUtterance], real_time_factor: Callable[[str], float]
) -> list[RoutedUtterance]:
    """Return the same texts in utterances that keep no worker busy for more than about `LONGEST_RUN_SECONDS`.

    `real_time_factor` returns a model's seconds of work for a second of audio, as measured; 0 if it is not known.
    Parts of one utterance are about equally long. They end at clauses, else between words, and never inside a grapheme.
    """
    return [
        part
        for routed in utterances
        for part in _cut(routed, real_time_factor(routed.model), catalogue.models[routed.model].config.pauses)
    ]


def _cut(routed: RoutedUtterance, real_time_factor: float, pauses: PausesConfig) -> Iterator[RoutedUtterance]:
    utterance = routed.utterance
    seconds = estimated_seconds(utterance.text, utterance.speed)
    longest_seconds = (
        max(LONGEST_RUN_SECONDS / real_time_factor, SHORTEST_SECONDS) if real_time_factor > 0 else math.inf
    )
    if seconds <= longest_seconds:
        yield routed
        return
    longest = max(int(len(utterance.text) * longest_seconds / seconds), 1)
    cut = list(_even_parts(utterance.text, longest))
    for number, part in enumerate(cut, start=1):
        text = replace(utterance, text=part.replace(WORD_BREAK, "").strip())
        pause = routed.pause_seconds if number == len(cut) else pause_seconds(pauses, pause_after(part))
        yield RoutedUtterance(routed.model, text, pause)


def _even_parts(text: str, longest: int) -> Iterator[str]:
    """Yield parts with something to say, about equally long, and none longer than `longest` characters."""
    rest = text
    while rest.strip():
        count = math.ceil(len(rest) / longest)
        part = next(parts(rest, min(longest, math.ceil(len(rest) / count) + SPARE_CHARACTERS)))
        if part.strip():
            yield part
        rest = rest[len(part) :]
