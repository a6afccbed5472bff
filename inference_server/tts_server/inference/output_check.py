"""Whether what an engine yields can be the text it was given. Cheap: it looks at samples until one of them sounds."""

import math

import numpy as np

from tts_server.errors import InvalidAudio
from tts_server.inference.client import Samples, Utterance

SECONDS_PER_HUNDRED_CHARACTERS = 60.0
"""At speed 1.0, each hundred begun: slow speech takes about 8, a hundred digits spoken one by one about 40."""
FOREIGN = 6
"""As many characters as this is one outside of ASCII: in a voice of another script it is read by its name, of several
words. eSpeak NG takes 2 s for each letter of Amharic in an English voice, and 3 s for a sign such as a circled secret.
"""

GLANCE_SAMPLES = 4096
"""Most sound begins within these: the rest need not be looked at then."""


class OutputCheck:
    """Of one utterance. Zeros at its beginning wait until it sounds: an engine gone silent must not be heard as one."""

    def __init__(self, utterance: Utterance, sample_rate_hz: int) -> None:
        hundreds = max(1, math.ceil(_characters(utterance.text) / 100))
        seconds = hundreds * SECONDS_PER_HUNDRED_CHARACTERS / min(utterance.speed, 1.0)
        self._samples_left = seconds * sample_rate_hz
        self._zeros = 0
        """Held back."""
        self.silent = any(character.isalpha() for character in utterance.text)
        """Whether it has letters, and nothing of it has sounded yet."""

    def passed(self, samples: Samples) -> Samples | None:
        """What may be sent on now. Raises `InvalidAudio`."""
        self._samples_left -= samples.size
        if self._samples_left < 0:
            raise InvalidAudio("The engine yielded far more sound than its text can be.")
        if not self.silent:
            return samples
        if not (_sounds(samples[:GLANCE_SAMPLES]) or _sounds(samples)):
            self._zeros += samples.size
            return None
        self.silent = False
        return samples if self._zeros == 0 else np.concatenate([self.held(), samples])

    def held(self) -> Samples:
        """The silence that waits; perhaps none."""
        zeros, self._zeros = self._zeros, 0
        return np.zeros(zeros, np.int16)


def _characters(text: str) -> int:
    """Of ASCII, that take as long."""
    return len(text) + (FOREIGN - 1) * (0 if text.isascii() else sum(not character.isascii() for character in text))


def _sounds(samples: Samples) -> bool:
    """Half the price of `any`."""
    return bool(samples.max() or samples.min())
