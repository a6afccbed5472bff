"""The bytes between a worker and its parent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_server.inference.wire.frames import (
    AUDIO_BYTES,
    CONTROL_BYTES,
    BrokenFrame,
    Kind,
    Unpacker,
    frame,
    json_content,
    json_frame,
    member_content,
    member_frame,
)

FRAMES = st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=200)), max_size=8)


@given(FRAMES, st.integers(1, 50))
def test_frames_arrive_whole_and_in_order_however_the_pipe_cuts_them(
    frames: list[tuple[Kind, bytes]], piece: int
) -> None:
    sent = b"".join(frame(kind, payload) for kind, payload in frames)
    unpacker, taken = Unpacker(), []
    for start in range(0, len(sent), piece):
        taken += [(kind, bytes(payload)) for kind, payload in unpacker.feed(sent[start : start + piece])]
    assert taken == frames
    assert unpacker.held_bytes == 0


@given(st.text())
def test_any_text_survives_the_way(text: str) -> None:
    ((kind, payload),) = Unpacker().feed(json_frame(Kind.SPEAK, {"text": text}))
    assert (kind, json_content(payload)["text"]) == (Kind.SPEAK, text)


@pytest.mark.parametrize(
    "sent",
    [
        b"\xff" * 8,
        frame(Kind.AUDIO, b"\x00" * (AUDIO_BYTES + 1)),
        frame(Kind.ERROR, b" " * (CONTROL_BYTES + 1)),
    ],
    ids=["garbage", "audio too long", "control too long"],
)
def test_what_is_no_frame_is_broken(sent: bytes) -> None:
    with pytest.raises(BrokenFrame):
        list(Unpacker().feed(sent))


def test_a_frame_before_the_broken_one_is_still_taken() -> None:
    frames = Unpacker().feed(frame(Kind.DONE) + b"\xff" * 8)
    assert next(frames)[0] is Kind.DONE
    with pytest.raises(BrokenFrame):
        next(frames)


@given(st.sampled_from([Kind.AUDIO, Kind.DONE, Kind.ERROR]), st.integers(0, 255), st.binary(max_size=50))
def test_a_members_frame_names_its_utterance(kind: Kind, number: int, payload: bytes) -> None:
    ((outer, received),) = Unpacker().feed(b"".join(member_frame(kind, number, payload)))
    assert outer is Kind.MEMBER
    inner, found, rest = member_content(received)
    assert (inner, found, bytes(rest)) == (kind, number, payload)


@pytest.mark.parametrize("payload", [b"", b"\x41\x00", b"\xff\x00\x00"])
def test_what_is_no_members_frame_is_broken(payload: bytes) -> None:
    with pytest.raises(BrokenFrame):
        member_content(memoryview(payload))
