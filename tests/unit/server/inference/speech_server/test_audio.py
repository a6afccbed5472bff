"""Samples of an answer, whatever the layout of its WAV, and however the network cuts it."""

import struct
from typing import Any

import numpy as np
import pytest

from tests.support.speech_servers import tone, wav
from tts_server.inference.speech_server.audio import AudioReader
from tts_server.inference.speech_server.faults import ServerFault
from tts_server.samples import Samples

TONE = tone("ab", 1.0)
LOUD = TONE.astype(np.float64) / 32_768


def read(audio: bytes, response_format: str = "wav", piece: int = 1 << 20, content_type: str = "audio/wav") -> Samples:
    reader = AudioReader(response_format, 24_000, content_type)
    parts = [reader.feed(audio[start : start + piece]) for start in range(0, len(audio), piece)]
    return np.concatenate([*parts, reader.finish()])


@pytest.mark.parametrize("piece", [1, 3, 4001])
@pytest.mark.parametrize("response_format", ["wav", "pcm"])
def test_how_the_network_cuts_it_changes_nothing(response_format: str, piece: int) -> None:
    audio = wav(TONE[:500]) if response_format == "wav" else TONE[:500].tobytes()
    assert np.array_equal(read(audio, response_format, piece), TONE[:500])


def stereo(samples: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.repeat(samples, 2)


def triples(samples: np.ndarray[Any, Any]) -> bytes:
    """24 bits each, in a WAV."""
    audio = wav((samples * 2**31).astype("<i4"))
    data = b"".join(audio[44 + 4 * i + 1 : 44 + 4 * i + 4] for i in range(samples.size))
    head = bytearray(audio[:44])
    struct.pack_into("<IHHI", head, 28, 72_000, 3, 24, 0x61746164)
    struct.pack_into("<I", head, 40, len(data))
    return bytes(head) + data


LAYOUTS = {
    "stereo":  wav(stereo(TONE), channels=2),
    "32 bits": wav((LOUD * 2**31).astype("<i4")),
    "floats":  wav(LOUD.astype("<f4")),
    "24 bits": triples(LOUD),
}  # fmt: skip


@pytest.mark.parametrize("audio", LAYOUTS.values(), ids=LAYOUTS)
def test_other_layouts_become_mono_of_16_bits(audio: bytes) -> None:
    heard = read(audio)
    assert heard.size == TONE.size
    assert np.abs(heard.astype(int) - TONE).max() <= 2


def test_metadata_before_and_after_the_samples_is_not_heard() -> None:
    plain = wav(TONE)
    listed = b"LIST" + struct.pack("<I", 5) + b"INFO\x00\x00"
    assert np.array_equal(read(plain[:36] + listed + plain[36:] + listed), TONE)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFFFF - 36])
def test_sizes_that_say_nothing_do_not_end_the_audio(size: int) -> None:
    assert np.array_equal(read(wav(TONE, size=size)), TONE)


def test_a_wav_is_read_as_one_although_pcm_was_asked_for() -> None:
    assert np.array_equal(read(wav(TONE), "pcm", content_type="audio/pcm"), TONE)


def test_samples_that_look_like_a_page_are_samples() -> None:
    """The first bytes are `<`, and the content type says audio."""
    samples = np.full(100, 0x3C3C, np.int16)
    assert np.array_equal(read(samples.tobytes(), "pcm", content_type="application/octet-stream"), samples)


WRONG = {
    "a page":           (b"  <!DOCTYPE html><html></html>", "wav", "audio/wav", "not_audio"),
    "an empty object":  (b"{}", "pcm", "application/json", "not_audio"),
    "MP3":              (b"\xff\xfb\x90\x64" + bytes(60), "pcm", "audio/mpeg", "wrong_format"),
    "a head of lists":  (b"RIFF\x00\x00\x00\x00WAVE" + (b"LIST" + struct.pack("<I", 992) + bytes(992)) * 70, "wav",
                         "audio/wav", "bad_audio"),
    "no layout":        (b"RIFF\x00\x00\x00\x00WAVEdata\x04\x00\x00\x00\x00\x00\x00\x00", "wav", "audio/wav",
                         "bad_audio"),
    "a rate of 1 Hz":   (wav(TONE, 1), "wav", "audio/wav", "bad_audio"),
}  # fmt: skip


@pytest.mark.parametrize(("audio", "response_format", "content_type", "word"), WRONG.values(), ids=WRONG)
def test_what_is_no_audio_is_told_apart(audio: bytes, response_format: str, content_type: str, word: str) -> None:
    with pytest.raises(ServerFault) as caught:
        read(audio, response_format, content_type=content_type)
    assert (caught.value.word, caught.value.began) == (word, True)
