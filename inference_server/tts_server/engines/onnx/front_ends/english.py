"""English by the package `hibari-tts` (Apache-2.0), whose phonemes are Kokoro's."""

import re

_PHONEME_LINK = re.compile(r"\](?=\()")
"""`[word](/phonemes/)` is a command of the package; text is data, so the two brackets are parted."""


class English:
    """American or British English."""

    def __init__(self, *, british: bool) -> None:
        """Load the lexicon, which takes half a second."""
        from hibari.g2p import G2P

        self._g2p: G2P = G2P(british=british)

    def __call__(self, text: str) -> str:
        phonemes: str = self._g2p(_PHONEME_LINK.sub("] ", text))
        return phonemes


def load(language: str) -> English:
    """Return the front end of `en-us` or `en-gb`."""
    return English(british=language == "en-gb")
