"""Sentences that are spoken together: each way to an engine and back costs the same, however short what is said.

The first sentence goes alone, since somebody waits for it. After that a passage may be as long as all that was said
before it: an engine that keeps pace with its listener has it ready in time, and nobody hears a gap.
"""

from collections.abc import Sequence

from tts_server.text.segments import Segment
from tts_server.text.sentences import ends_a_sentence, limit_characters, needs_no_space


def passages(segments: Sequence[Segment]) -> list[Segment]:
    """Neighbours of one language as one, in order; none is longer than a segment may be.

    Only whole sentences are joined: a title without a full stop would run into what is below it.
    """
    joined: list[Segment] = []
    before, last = 0, 0  # characters: of all passages but the last, and of that one
    for segment in segments:
        characters = len(segment.text)
        together = _together(joined[-1], segment) if joined and last + characters <= before else None
        if together is not None:
            joined[-1] = together
            last += characters
        else:
            joined.append(segment)
            before, last = before + last, characters
    return joined


def _together(one: Segment, other: Segment) -> Segment | None:
    """Both as one; None where they have to be apart."""
    if one.language != other.language or not (ends_a_sentence(one.text) and ends_a_sentence(other.text)):
        return None
    text = f"{one.text}{'' if needs_no_space(one.text) else ' '}{other.text}"
    return Segment(text, one.language) if len(text) <= limit_characters(text) else None
