"""Checks whether an engine's audio can be the text it was given. Cheap: it inspects samples until one is not zero."""

import math

import numpy as np

from tts_server.errors import InvalidAudio
from tts_server.inference.client import Samples, Utterance

SECONDS_PER_HUNDRED_CHARACTERS = 60.0
"""Longest audio at speed 1.0 per hundred characters begun: slow speech takes about 8, digits one by one about 40."""
NON_ASCII_WEIGHT = 6
"""Number of ASCII characters that one other character counts as.

A voice of another script reads a character as its name, of several words: eSpeak NG takes 2 s for each letter of
Amharic in an English voice, and 3 s for a sign such as a circled secret.
"""

PROBE_SAMPLES = 4096
"""Samples that are inspected first: most audio begins within them."""


class OutputCheck:
    """Checks one utterance. Leading zeros are held back: an engine that is broken may yield nothing else."""

    def __init__(self, utterance: Utterance, sample_rate_hz: int) -> None:
        hundreds = max(1, math.ceil(_weighted_length(utterance.text) / 100))
        seconds = hundreds * SECONDS_PER_HUNDRED_CHARACTERS / min(utterance.speed, 1.0)
        self._samples_left = seconds * sample_rate_hz
        self._zeros = 0
        """Samples held back."""
        self.silent = any(character.isalpha() for character in utterance.text)
        """Whether the text has letters, and all samples so far were zero."""

    def passed(self, samples: Samples) -> Samples | None:
        """Return what may be sent now, if anything. Raises `InvalidAudio`."""
        self._samples_left -= samples.size
        if self._samples_left < 0:
            raise InvalidAudio("The engine yielded far more audio than its text can be.")
        if not self.silent:
            return samples
        if not (_has_signal(samples[:PROBE_SAMPLES]) or _has_signal(samples)):
            self._zeros += samples.size
            return None
        self.silent = False
        return samples if self._zeros == 0 else np.concatenate([self.held(), samples])

    def held(self) -> Samples:
        """Take the zeros that are held back, perhaps none."""
        zeros, self._zeros = self._zeros, 0
        return np.zeros(zeros, np.int16)


def _weighted_length(text: str) -> int:
    """Return the length of ASCII text that takes as long."""
    non_ascii = 0 if text.isascii() else sum(not character.isascii() for character in text)
    return len(text) + (NON_ASCII_WEIGHT - 1) * non_ascii


def _has_signal(samples: Samples) -> bool:
    # Half the price of `any`.
    return bool(samples.max() or samples.min())
