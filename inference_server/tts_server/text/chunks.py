"""Sentences that are spoken together: each way to an engine and back costs the same, however short what is said.

The first sentence goes alone, since somebody waits for it. After that a passage may be as long as all that was said
before it: an engine that keeps pace with its listener has it ready in time, and nobody hears a gap. An engine that is
many times faster than that says itself how much it takes at once.
"""

from collections.abc import Sequence

from tts_server.text.segments import Segment
from tts_server.text.sentences import LONGEST_CHARACTERS, ends_a_sentence, limit_characters, needs_no_space


def passages(segments: Sequence[Segment], at_once: int = 0) -> list[Segment]:
    """Neighbours of one language as one, in order; none is longer than a segment may be, or than `at_once`.

    `at_once`: characters of an alphabet that every engine concerned takes, however little was said before; 0 where one
    does not say. Only whole sentences are joined: a title without a full stop would run into what is below it.
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
    """Both as one; None where they have to be apart."""
    if one.language != other.language or not (ends_a_sentence(one.text) and ends_a_sentence(other.text)):
        return None
    text = f"{one.text}{'' if needs_no_space(one.text) else ' '}{other.text}"
    limit = limit_characters(text)
    return Segment(text, one.language) if len(text) <= max(limit, at_once * limit // LONGEST_CHARACTERS) else None
