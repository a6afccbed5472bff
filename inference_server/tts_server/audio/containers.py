"""Container formats, one class each: samples at the output rate in, bytes out. `encoders.py` resamples before."""

import io
import struct
from typing import Any, Protocol

import lameenc
import numpy as np
import soundfile

from tts_server.errors import FormatUnavailable
from tts_server.samples import Samples, as_floats

UNKNOWN_LENGTH = 0xFFFFFFFF
WAV_HEADER_BYTES = 44
OPUS_PAGE_MILLISECONDS = 100.0
SET_OGG_PAGE_LATENCY_MS = 0x1302
"""SFC_SET_OGG_PAGE_LATENCY_MS of libsndfile's sndfile.h; the Python binding has no name for it."""


def int16_bytes(samples: Samples) -> bytes:
    """Return signed 16 bit, little endian; not copied if the samples view all of a bytes object, as an engine's do."""
    samples = samples.astype("<i2", copy=False)
    owner: object = samples.base
    if isinstance(owner, bytes) and len(owner) == samples.nbytes and samples.flags.c_contiguous:
        return owner
    return samples.tobytes()


def wav_header(sample_rate_hz: int, data_bytes: int | None) -> bytes:
    """Return a mono 16 bit WAV header; for None both sizes are 0xFFFFFFFF, which players take for 'until the end'."""
    riff_bytes = UNKNOWN_LENGTH if data_bytes is None else 36 + data_bytes
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", riff_bytes, b"WAVE",
        b"fmt ", 16, 1, 1, sample_rate_hz, sample_rate_hz * 2, 2, 16,
        b"data", UNKNOWN_LENGTH if data_bytes is None else data_bytes,
    )  # fmt: skip


def whole_wav(streamed: bytes) -> bytes:
    """Return all that `StreamingWav` wrote with the true lengths in its header."""
    (sample_rate_hz,) = struct.unpack_from("<I", streamed, 24)
    header = wav_header(sample_rate_hz, len(streamed) - WAV_HEADER_BYTES)
    return b"".join((header, memoryview(streamed)[WAV_HEADER_BYTES:]))


class Container(Protocol):
    """Writes one file of a format."""

    def write(self, samples: Samples) -> bytes:
        """Return the bytes that these samples complete, perhaps none."""

    def close(self) -> bytes:
        """Return the remaining bytes."""


class Pcm:
    """Raw 16 bit samples without a header."""

    def __init__(self, sample_rate_hz: int) -> None:
        del sample_rate_hz

    def write(self, samples: Samples) -> bytes:
        return int16_bytes(samples)

    def close(self) -> bytes:
        return b""


class StreamingWav:
    """WAV of unknown length."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._header = wav_header(sample_rate_hz, None)

    def write(self, samples: Samples) -> bytes:
        if not self._header:
            return int16_bytes(samples)
        header, self._header = self._header, b""
        return b"".join((header, np.ascontiguousarray(samples, "<i2").data))

    def close(self) -> bytes:
        header, self._header = self._header, b""
        return header


class Mp3:
    """MP3 at a constant bit rate, so that a player can compute the duration from the first frame and the length.

    64 kbit/s mono up to 24 kHz and 96 kbit/s above it are transparent for speech.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._encoder = lameenc.Encoder()
        self._encoder.silence()
        self._encoder.set_channels(1)
        self._encoder.set_in_sample_rate(sample_rate_hz)
        self._encoder.set_out_sample_rate(sample_rate_hz)
        self._encoder.set_bit_rate(64 if sample_rate_hz <= 24_000 else 96)
        self._encoder.set_quality(5)

    def write(self, samples: Samples) -> bytes:
        if samples.size == 0:
            return b""
        return bytes(self._encoder.encode(int16_bytes(samples)))

    def close(self) -> bytes:
        return bytes(self._encoder.flush())


class _AppendOnlyFile(io.RawIOBase):
    """File that a library appends to; `take` removes what it has written. Only for formats that never seek back."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._position += len(part)
        return len(part)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or offset != self._position:
            offset = self._position
        return offset

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        written = b"".join(self._parts)
        self._parts.clear()
        return written


class Opus:
    """Ogg Opus by libsndfile, with a page every 100 ms so that a client can play it while it is streamed."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._file = _AppendOnlyFile()
        self._encoder = soundfile.SoundFile(
            self._file, "w", samplerate=sample_rate_hz, channels=1, format="OGG", subtype="OPUS"
        )
        latency = soundfile._ffi.new("double *", OPUS_PAGE_MILLISECONDS)  # noqa: SLF001 - no public name for it
        soundfile._snd.sf_command(self._encoder._file, SET_OGG_PAGE_LATENCY_MS, latency, 8)  # noqa: SLF001

    def write(self, samples: Samples) -> bytes:
        self._encoder.write(samples)
        return self._file.take()

    def close(self) -> bytes:
        self._encoder.close()
        return self._file.take()


class Flac:
    """FLAC, written whole: its length and checksum are in its first bytes."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._parts: list[Samples] = []

    def write(self, samples: Samples) -> bytes:
        self._parts.append(samples.copy())
        return b""

    def close(self) -> bytes:
        whole = np.concatenate([*self._parts, np.zeros(0, np.int16)])
        file = io.BytesIO()
        soundfile.write(file, whole, self._sample_rate_hz, format="FLAC", subtype="PCM_16")
        return file.getvalue()


class Aac:
    """AAC-LC in ADTS frames, which can be cut and joined anywhere. Needs PyAV: the extra `ttsfleet[aac]`."""

    def __init__(self, sample_rate_hz: int) -> None:
        try:
            import av
        except ImportError as error:
            raise FormatUnavailable(
                "This server cannot encode aac: PyAV is not installed. Install ttsfleet[aac].", param="response_format"
            ) from error
        self._av = av
        self._file = _AppendOnlyFile()
        self._container: Any = av.open(self._file, "w", format="adts")
        self._stream: Any = self._container.add_stream("aac", rate=sample_rate_hz)
        self._stream.codec_context.layout = "mono"
        self._stream.codec_context.bit_rate = 64_000
        self._sample_rate_hz = sample_rate_hz

    def write(self, samples: Samples) -> bytes:
        if samples.size == 0:
            return b""
        frame = self._av.AudioFrame.from_ndarray(as_floats(samples).reshape(1, -1), format="fltp", layout="mono")
        frame.sample_rate = self._sample_rate_hz
        self._container.mux(self._stream.encode(frame))
        return self._file.take()

    def close(self) -> bytes:
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._file.take()
