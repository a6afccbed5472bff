"""Texts that many objects have in common, each held once."""

MAX_BYTES = 8 * 2**20
"""Bytes of all shared texts. Beyond that a text is held by each object for itself: anybody may write other ones."""


class SharedBytes:
    """A bounded set of texts. One that was added stays, so that texts of the first objects are those of most."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._texts: dict[bytes, bytes] = {}
        self._left = max_bytes

    def one(self, text: bytes) -> bytes:
        """Return an equal text: the one object that all holders share."""
        found = self._texts.get(text)
        if found is not None:
            return found
        if len(text) <= self._left:
            self._left -= len(text)
            self._texts[text] = text
        return text
