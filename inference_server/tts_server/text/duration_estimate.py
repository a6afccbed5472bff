"""Estimates how much audio a text becomes, before it is synthesized.

The estimate is the reservation against the day's audio, the cost of an utterance in a queue, and the length by which
utterances for a slow engine are cut.
"""

import re

LETTER_SECONDS = 0.065
"""Seconds per character of an alphabet, spaces included: 15 per second (English and German at 160 words a minute)."""
SYLLABLE_SECONDS = 0.2
"""Seconds per character of Han, kana and Hangul, where a character is a syllable: 5 per second."""
DIGIT_SECONDS = 0.3
"""Seconds per digit: a number in words has about this much for each of its digits."""
FIRST_WIDE = "\u2e80"
"""The first character of the blocks of East Asian scripts."""
_DIGIT = re.compile(r"\d")


def estimated_seconds(text: str, speed: float) -> float:
    """Return the estimated length of the audio, seconds."""
    syllables = 0 if text.isascii() else sum(character >= FIRST_WIDE for character in text)
    digits = len(_DIGIT.findall(text))
    letters = max(len(text) - syllables - digits, 0)
    return (syllables * SYLLABLE_SECONDS + digits * DIGIT_SECONDS + letters * LETTER_SECONDS) / speed
