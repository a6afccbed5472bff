"""Names the pauses between segments, by the punctuation and the line breaks at the end of each."""

from enum import IntEnum

CLOSERS = "\"'”’»)]}）」』】》〉〕］｝›"
"""Closing quotes and brackets, which may follow the end of a sentence."""
DENSE_ENDS = "。！？｡．︒"
"""Marks that end a sentence without a space after them."""
SPACED_ENDS = ".!?…‽⁇⁈⁉؟۔।॥։።፧၊။។៕᙮᠃᠉⸮"
"""Marks that end a sentence before a space: 3.14, example.com and U.S.A. have a full stop, too."""
CLAUSE_MARKS = ",;:،؛、，；：·—–"

_ENDS = frozenset(DENSE_ENDS + SPACED_ENDS)
_CLAUSE_ENDS = frozenset(CLAUSE_MARKS)
_DENSE = frozenset(DENSE_ENDS)


class Pause(IntEnum):
    """Kind of the pause after a segment, in order: where two meet, the greater one counts."""

    NONE = 0
    """The sentence goes on: it was too long for one segment, or it changes its language."""
    CLAUSE = 1
    LINE = 2
    SENTENCE = 3
    PARAGRAPH = 4


def pause_after(text: str) -> Pause:
    """Return the pause after `text`, which includes the spaces and line breaks behind it."""
    words = text.rstrip()
    breaks = text.count("\n", len(words))
    if breaks > 1:
        return Pause.PARAGRAPH
    if ends_a_sentence(words):
        return Pause.SENTENCE
    if breaks:
        return Pause.LINE
    return Pause.CLAUSE if words.rstrip(CLOSERS)[-1:] in _CLAUSE_ENDS else Pause.NONE


def ends_a_sentence(text: str) -> bool:
    """Whether its last character, before closing quotes and brackets, ends a sentence."""
    return text.rstrip(CLOSERS)[-1:] in _ENDS


def needs_no_space(text: str) -> bool:
    """Whether sentences of its script follow each other without a space."""
    return text.rstrip(CLOSERS)[-1:] in _DENSE
