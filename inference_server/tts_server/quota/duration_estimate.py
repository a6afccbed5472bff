"""Estimates how much audio a text becomes, before it is synthesized: the reservation against the day's audio."""

LETTER_SECONDS = 0.065
"""Seconds per character of an alphabet, spaces included: 15 per second (English and German at 160 words a minute)."""
SYLLABLE_SECONDS = 0.2
"""Seconds per character of Han, kana and Hangul, where a character is a syllable: 5 per second."""
FIRST_WIDE = "\u2e80"
"""The first character of the blocks of East Asian scripts."""


def estimated_seconds(text: str, speed: float) -> float:
    """Estimated length of the audio; its real length replaces this when the request ends."""
    syllables = 0 if text.isascii() else sum(character >= FIRST_WIDE for character in text)
    return (syllables * SYLLABLE_SECONDS + (len(text) - syllables) * LETTER_SECONDS) / speed
