"""One suite over every encoder: what it writes is read back by a decoder that shares no code with it."""

import io
import struct
import sys
import wave
from collections.abc import Iterator

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tts_server.audio import (
    FORMATS,
    SAMPLE_RATES_HZ,
    EncodingThreads,
    encode_whole,
    encoder_for,
    media_type,
    streams,
)
from tts_server.errors import EngineError, FormatUnavailable, InvalidParameter

Samples = NDArray[np.float32]

ENGINE_RATE_HZ = 22_050
TONE_HZ = 440.0
# mp3 and aac pad the beginning by a frame or two and the end to a whole one; that is in the formats.
TOLERANCE_SECONDS = {"mp3": 0.12, "aac": 0.12, "opus": 0.001, "flac": 0.0, "wav": 0.0, "pcm": 0.001}
LOSSY = {"mp3", "opus", "aac"}


@pytest.fixture(params=FORMATS)
def format_(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def tone(seconds: float, *, rate_hz: int = ENGINE_RATE_HZ, loudness: float = 0.5) -> Samples:
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    return (loudness * np.sin(2 * np.pi * TONE_HZ * time)).astype(np.float32)


def encode(samples: Samples, format_: str, sizes: Iterator[int] | None = None, **asked: int) -> bytes:
    """Encode in pieces of the given sizes; all at once without."""
    encoder = encoder_for(format_, ENGINE_RATE_HZ, **asked)
    written, start = b"", 0
    while start < samples.size:
        size = next(sizes) if sizes is not None else samples.size
        written += encoder.feed(samples[start : start + size])
        start += size
    return written + encoder.finish()


def decode(data: bytes, format_: str, pcm_rate_hz: int = 24_000) -> tuple[Samples, int]:
    """Decode a file as a player does: samples and their rate."""
    if format_ == "pcm":
        return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768), pcm_rate_hz
    if format_ == "mp3":  # written by LAME, read by libsndfile's mpg123
        read, rate_hz = soundfile.read(io.BytesIO(data))
        heard: Samples = read.astype(np.float32)
        return heard, rate_hz
    with av.open(io.BytesIO(data), "r") as container:  # opus, flac, wav: written by libsndfile or here, read by FFmpeg
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="flt", layout="mono")
        frames = [out for frame in container.decode(stream) for out in resampler.resample(frame)]
        parts = [frame.to_ndarray().reshape(-1) for frame in frames]
        return np.concatenate([*parts, np.zeros(0, np.float32)]).astype(np.float32), int(stream.rate or 0)


def pitch_hz(samples: Samples, rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(np.argmax(spectrum)) * rate_hz / samples.size


def test_what_is_encoded_is_heard(format_: str) -> None:
    heard, rate_hz = decode(encode(tone(2.0), format_), format_)
    assert heard.size / rate_hz == pytest.approx(2.0, abs=TOLERANCE_SECONDS[format_] + 1e-9)
    middle = heard[rate_hz // 2 : -rate_hz // 2]
    assert pitch_hz(middle, rate_hz) == pytest.approx(TONE_HZ, abs=2)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(
        0.5 / np.sqrt(2), rel=0.06
    )  # LAME takes 5 % off, against clipping


@pytest.mark.parametrize("sizes", [1000, 17, 5000])
def test_the_size_of_the_pieces_changes_nothing(format_: str, sizes: int) -> None:
    samples = tone(0.5)
    pieces, _ = decode(encode(samples, format_, iter(lambda: sizes, 0)), format_)
    whole, _ = decode(encode(samples, format_), format_)
    assert pieces.size == whole.size
    assert np.max(np.abs(pieces - whole)) < 2 / 32768


def test_every_rate_it_offers_is_honoured(format_: str) -> None:
    for asked_hz in SAMPLE_RATES_HZ[format_]:
        encoder = encoder_for(format_, ENGINE_RATE_HZ, output_rate_hz=asked_hz)
        assert encoder.sample_rate_hz == asked_hz
        heard, rate_hz = decode(encoder.feed(tone(1.0)) + encoder.finish(), format_, asked_hz)
        # Opus always plays at 48 kHz; the rate asked for is the band width it keeps.
        assert rate_hz == (48_000 if format_ == "opus" else asked_hz)
        tolerance = max(TOLERANCE_SECONDS[format_], 1 / asked_hz) * max(1, 24_000 / asked_hz)
        assert heard.size / rate_hz == pytest.approx(1.0, abs=tolerance)
        assert pitch_hz(heard, rate_hz) == pytest.approx(TONE_HZ, abs=2)


@pytest.mark.parametrize("engine_rate_hz", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000, 192_000])
def test_any_engine_rate_comes_out_at_its_pitch(format_: str, engine_rate_hz: int) -> None:
    encoder = encoder_for(format_, engine_rate_hz)
    heard, rate_hz = decode(encoder.feed(tone(1.0, rate_hz=engine_rate_hz)) + encoder.finish(), format_)
    assert heard.size / rate_hz == pytest.approx(1.0, abs=0.3)
    assert pitch_hz(heard, rate_hz) == pytest.approx(TONE_HZ, abs=2)


def test_formats_that_stream_give_sound_before_the_end(format_: str) -> None:
    encoder = encoder_for(format_, ENGINE_RATE_HZ)
    early = b"".join(encoder.feed(piece) for piece in np.array_split(tone(1.0), 10))
    if not streams(format_):
        assert early == b""
        return
    heard, rate_hz = decode(early, format_)
    assert heard.size / rate_hz > 0.7


def test_no_samples_make_a_file_that_players_open(format_: str) -> None:
    heard, rate_hz = decode(encode(np.zeros(0, np.float32), format_), format_)
    assert heard.size / rate_hz < 0.2
    assert np.max(np.abs(heard), initial=0.0) < 0.001


def test_too_loud_is_clipped(format_: str) -> None:
    heard, rate_hz = decode(encode(tone(1.0, loudness=1.5), format_), format_)
    loudest = np.max(np.abs(heard[rate_hz // 4 : -rate_hz // 4]))
    # A cut wave has overtones, and a lossy format drops some of them.
    assert 0.94 < loudest <= (1.25 if format_ in LOSSY else 1.0)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_is_refused(format_: str, wrong: float) -> None:
    samples = tone(0.1)
    samples[100] = wrong
    with pytest.raises(EngineError, match="not numbers"):
        encoder_for(format_, ENGINE_RATE_HZ).feed(samples)
    with pytest.raises(EngineError, match="not numbers"):
        encode_whole(samples, format_, ENGINE_RATE_HZ)


def test_a_rate_it_does_not_offer_is_refused(format_: str) -> None:
    with pytest.raises(InvalidParameter, match=r"must be one of .*24000") as caught:
        encoder_for(format_, ENGINE_RATE_HZ, output_rate_hz=12_345)
    assert caught.value.param == "sample_rate"


def test_whole_and_streamed_sound_the_same(format_: str) -> None:
    whole, whole_rate_hz = decode(encode_whole(tone(0.7), format_, ENGINE_RATE_HZ), format_)
    streamed, streamed_rate_hz = decode(encode(tone(0.7), format_), format_)
    assert whole_rate_hz == streamed_rate_hz
    assert whole.size == streamed.size
    assert np.max(np.abs(whole - streamed)) < 2 / 32768


async def test_encoders_side_by_side_in_threads_do_not_disturb_each_other(format_: str) -> None:
    threads = EncodingThreads(4)
    alone, _ = decode(encode_whole(tone(0.5), format_, ENGINE_RATE_HZ), format_)
    try:
        tasks = [threads.run(encode_whole, tone(0.5), format_, ENGINE_RATE_HZ) for _ in range(16)]
        for task in tasks:
            heard, _ = decode(await task, format_)
            assert heard.size == alone.size
            assert np.max(np.abs(heard - alone)) < 2 / 32768
    finally:
        threads.close()


@settings(max_examples=25)
@given(st.lists(st.integers(1, 4000), min_size=1, max_size=20))
def test_pcm_is_the_same_bytes_however_it_is_cut(sizes: list[int]) -> None:
    samples = tone(0.4)
    endless = (size for _ in range(samples.size) for size in sizes)
    assert encode(samples, "pcm", endless) == encode(samples, "pcm")


def test_pcm_is_24_khz_and_opus_48_khz_unless_asked() -> None:
    assert {name: encoder_for(name, ENGINE_RATE_HZ).sample_rate_hz for name in FORMATS} == {
        "mp3": 22_050, "opus": 48_000, "aac": 22_050, "flac": 22_050, "wav": 22_050, "pcm": 24_000,
    }  # fmt: skip


def test_an_ogg_page_holds_a_tenth_of_a_second() -> None:
    granules = [position for position in ogg_granules(encode(tone(3.0), "opus")) if position > 0]
    steps = np.diff(granules)
    assert set(steps[:-1]) == {4800}  # the last page takes what is left
    assert steps[-1] < 2 * 4800


def ogg_granules(data: bytes) -> list[int]:
    """The position at the end of every page, in 48 kHz samples (RFC 3533, section 6)."""
    positions, start = [], 0
    while start < len(data):
        magic, _, _, position, _, _, _, segments = struct.unpack_from("<4sBBqIIIB", data, start)
        assert magic == b"OggS"
        positions.append(position)
        start += 27 + segments + sum(data[start + 27 : start + 27 + segments])
    return positions


def test_a_whole_wav_states_its_length_and_a_streamed_one_does_not() -> None:
    with wave.open(io.BytesIO(encode_whole(tone(1.0), "wav", ENGINE_RATE_HZ))) as whole:
        assert (whole.getnframes(), whole.getframerate(), whole.getnchannels()) == (22_050, 22_050, 1)
    streamed = encode(tone(1.0), "wav")
    assert streamed[4:8] == streamed[40:44] == b"\xff\xff\xff\xff"
    assert len(streamed) == 44 + 2 * 22_050


def test_libsndfile_reads_a_streamed_wav_too() -> None:
    samples, rate_hz = soundfile.read(io.BytesIO(encode(tone(1.0), "wav")), dtype="float32")
    assert (samples.size, rate_hz) == (22_050, 22_050)


def test_media_types() -> None:
    assert [media_type(name) for name in ("mp3", "opus", "aac", "flac", "wav", "pcm")] == [
        "audio/mpeg", "audio/ogg", "audio/aac", "audio/flac", "audio/wav", "audio/pcm",
    ]  # fmt: skip


def test_an_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(InvalidParameter, match="mp3, opus, aac, flac, wav, pcm") as caught:
        encoder_for("ogg", ENGINE_RATE_HZ)
    assert caught.value.param == "response_format"


def test_without_pyav_aac_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(FormatUnavailable, match=r"ttsfleet\[aac\]"):
        encoder_for("aac", ENGINE_RATE_HZ)
