"""Encoders for the six formats of the speech API: samples at an engine's rate in, bytes of a format out."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tts_server.audio.containers import Aac, Container, Flac, Mp3, Opus, Pcm, StreamingWav, whole_wav
from tts_server.audio.resampler import Resampler
from tts_server.errors import InvalidParameter
from tts_server.samples import Samples, as_samples

COPIED_SECONDS = 60.0
"""Audio that 2 ms are enough to encode in a format of plain samples, without resampling."""
RESAMPLED_SECONDS = 5.0
"""Audio that 2 ms are enough to encode in a format of plain samples, with resampling."""

EncoderInput = Samples | NDArray[np.float32]
"""Samples that encoders accept: int16, or floats in [-1, 1]."""


class Encoder(Protocol):
    """Turns samples into the bytes of one format. It computes: call it in `EncodingThreads`."""

    @property
    def inline_seconds(self) -> float:
        """Duration of audio that is encoded faster, within 2 ms, than a thread wakes under load."""

    @property
    def media_type(self) -> str:
        """`Content-Type` of the bytes."""

    @property
    def sample_rate_hz(self) -> int:
        """Rate of the encoded audio."""

    def feed(self, samples: EncoderInput) -> bytes:
        """Return the bytes that are ready, perhaps none. How samples are cut into calls does not change the audio.

        Raises `EngineError` for floats that are not numbers; those outside [-1, 1] are clipped.
        """

    def finish(self) -> bytes:
        """Return the rest: 20 ms of silence if nothing was fed to a format that cannot be empty. Call it once."""


@dataclass(frozen=True)
class _Format:
    media_type: str
    container: Callable[[int], Container]
    sample_rates_hz: tuple[int, ...]
    default_rate_hz: int | None = None
    """Default output rate; None for the engine's own rate, or the next higher one that the format has."""
    streams: bool = True
    is_samples: bool = False
    """Whether its bytes are plain samples."""
    may_be_empty: bool = False
    """Whether players open a file without samples."""


_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)

_FORMATS: Mapping[str, _Format] = {
    "mp3": _Format("audio/mpeg", Mp3, _RATES_HZ),
    "opus": _Format("audio/ogg", Opus, (8_000, 12_000, 16_000, 24_000, 48_000), default_rate_hz=48_000),
    "aac": _Format("audio/aac", Aac, _RATES_HZ),
    "flac": _Format("audio/flac", Flac, (*_RATES_HZ, 96_000), streams=False),
    "wav": _Format("audio/wav", StreamingWav, (*_RATES_HZ, 96_000), may_be_empty=True, is_samples=True),
    "pcm": _Format("audio/pcm", Pcm, (*_RATES_HZ, 96_000), default_rate_hz=24_000, may_be_empty=True, is_samples=True),
}

FORMATS: tuple[str, ...] = tuple(_FORMATS)
"""The values of `response_format`."""

SAMPLE_RATES_HZ: Mapping[str, tuple[int, ...]] = {name: spec.sample_rates_hz for name, spec in _FORMATS.items()}
"""Values of `sample_rate` that a request may have, by format."""


def media_type(format_: str) -> str:
    """Return the format's `Content-Type`. Raises `InvalidParameter`."""
    return _format(format_).media_type


def streams(format_: str) -> bool:
    """Whether the format can be streamed: all but flac."""
    return _format(format_).streams


def encoder_for(format_: str, sample_rate_hz: int, *, output_rate_hz: int | None = None) -> Encoder:
    """Return an encoder from `sample_rate_hz` to `output_rate_hz` (None for the format's default).

    pcm is 24 kHz s16le and opus 48 kHz Ogg by default; the others take the engine's rate. A streamed wav has unknown
    length in its header. Raises `InvalidParameter` for an unknown format or rate, `FormatUnavailable` for an encoder
    that is not installed.
    """
    spec = _format(format_)
    rate_hz = _rate(format_, spec, sample_rate_hz, output_rate_hz)
    inline_seconds = (COPIED_SECONDS if rate_hz == sample_rate_hz else RESAMPLED_SECONDS) if spec.is_samples else 0.0
    return _Encoder(spec, rate_hz, Resampler(sample_rate_hz, rate_hz), inline_seconds)


def encode_whole(
    samples: EncoderInput, format_: str, sample_rate_hz: int, *, output_rate_hz: int | None = None
) -> bytes:
    """Encode all samples to a file with its true length in the header. Raises as `encoder_for`."""
    encoder = encoder_for(format_, sample_rate_hz, output_rate_hz=output_rate_hz)
    return as_file([encoder.feed(samples), encoder.finish()], format_)


def as_file(parts: Iterable[bytes], format_: str) -> bytes:
    """Join all that an encoder wrote into a file with its true length in the header."""
    streamed = b"".join(parts)
    return whole_wav(streamed) if format_ == "wav" else streamed


class _Encoder:
    def __init__(self, spec: _Format, sample_rate_hz: int, resampler: Resampler, inline_seconds: float) -> None:
        self.inline_seconds = inline_seconds
        self.media_type = spec.media_type
        self.sample_rate_hz = sample_rate_hz
        self._resampler = resampler
        self._container = spec.container(sample_rate_hz)
        self._empty = not spec.may_be_empty

    def feed(self, samples: EncoderInput) -> bytes:
        return self._write(self._resampler.feed(as_samples(samples)))

    def finish(self) -> bytes:
        rest = self._write(self._resampler.finish())
        if self._empty:
            rest += self._write(np.zeros(self.sample_rate_hz // 50, np.int16))
        return rest + self._container.close()

    def _write(self, samples: Samples) -> bytes:
        self._empty = self._empty and samples.size == 0
        return self._container.write(samples)


def _format(format_: str) -> _Format:
    try:
        return _FORMATS[format_]
    except KeyError:
        raise InvalidParameter(
            f"response_format must be one of {', '.join(FORMATS)}.", param="response_format"
        ) from None


def _rate(format_: str, spec: _Format, engine_rate_hz: int, requested_rate_hz: int | None) -> int:
    if requested_rate_hz is not None:
        if requested_rate_hz not in spec.sample_rates_hz:
            rates = ", ".join(map(str, spec.sample_rates_hz))
            raise InvalidParameter(f"sample_rate for {format_} must be one of {rates}.", param="sample_rate")
        return requested_rate_hz
    if spec.default_rate_hz is not None:
        return spec.default_rate_hz
    return next((rate for rate in spec.sample_rates_hz if rate >= engine_rate_hz), spec.sample_rates_hz[-1])
