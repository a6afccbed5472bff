"""How long a text sounds, before anybody has spoken it: what a request reserves of the day's audio."""

LETTER_SECONDS = 0.065
"""Of alphabets, spaces included: about 15 in a second (English and German, read aloud at 160 words a minute)."""
SYLLABLE_SECONDS = 0.2
"""Of Han, kana and Hangul, where a character is a syllable: about 5 in a second."""
FIRST_WIDE = "\u2e80"
"""Here the blocks of East Asian scripts begin."""


def estimated_seconds(text: str, speed: float) -> float:
    """Of audio. The truth replaces it when the request ends."""
    syllables = 0 if text.isascii() else sum(character >= FIRST_WIDE for character in text)
    return (syllables * SYLLABLE_SECONDS + (len(text) - syllables) * LETTER_SECONDS) / speed
