"""Joins sentences into passages: a call of the engine costs the same, however short its text.

The first sentence stays alone, since a client waits for it. After that a passage may be as long as everything before
it: an engine that is as fast as playback has it ready in time, without a gap. An engine that is many times faster
declares how much it takes at once.
"""

from collections.abc import Sequence

from tts_server.text.parts import LONGEST_CHARACTERS, limit_characters
from tts_server.text.pauses import Pause, ends_a_sentence, needs_no_space
from tts_server.text.segments import Segment


def passages(segments: Sequence[Segment], at_once: int = 0) -> list[Segment]:
    """Join neighbouring segments of one language, in order; none gets longer than a segment may be, or than `at_once`.

    `at_once` is the number of characters of an alphabet that every engine concerned takes at once, even at the
    beginning; 0 if one does not declare it. Only whole sentences are joined, and no paragraphs: the engine itself
    pauses between them, as after a sentence.
    """
    joined: list[Segment] = []
    before, last = 0, 0  # characters: of all passages but the last, and of that one
    for segment in segments:
        characters = len(segment.text)
        most = max(before, at_once) if before else 0
        pair = _join(joined[-1], segment, at_once) if joined and last + characters <= most else None
        if pair is not None:
            joined[-1] = pair
            last += characters
        else:
            joined.append(segment)
            before, last = before + last, characters
    return joined


def _join(one: Segment, other: Segment, at_once: int) -> Segment | None:
    """Return both as one segment; None if they must stay apart."""
    if one.language != other.language or one.pause is not Pause.SENTENCE or not ends_a_sentence(other.text):
        return None
    text = f"{one.text}{'' if needs_no_space(one.text) else ' '}{other.text}"
    limit = limit_characters(text)
    if len(text) > max(limit, at_once * limit // LONGEST_CHARACTERS):
        return None
    return Segment(text, one.language, other.pause)
