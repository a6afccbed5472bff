"""Reads the audio of an answer while it arrives: WAV by its header, raw PCM by its declared rate."""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tts_server.audio.resampler import Resampler
from tts_server.inference.speech_server.faults import ServerFault
from tts_server.samples import Samples, as_samples

LARGEST_HEAD_BYTES = 65_536
"""Most bytes before the samples of a WAV: lists of metadata may precede them."""
UNKNOWN_SIZES = frozenset({0, 0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF - 36})
"""Sizes that servers write into the header of a WAV whose length they do not know yet."""
NOT_AUDIO = (b"<!doctype", b"<html", b"<?xml", b'{"')
OTHER_FORMATS = (b"ID3", b"OggS", b"fLaC", b"\x1aE\xdf\xa3", b"FORM")
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
RATES = range(4_000, 384_001)


class AudioReader:
    """Turns the bytes of one answer into mono samples at `sample_rate_hz`. Raises `ServerFault`.

    `content_type` is that of the answer: it tells a page from audio, and may state the rate of raw PCM.
    """

    def __init__(self, response_format: str, sample_rate_hz: int, content_type: str = "") -> None:
        self.found_rate_hz = sample_rate_hz
        """Rate of the server's audio: by the header, else as declared. Known once samples came."""
        self.found_format = ""
        """`wav` or `pcm`, once it is known."""
        self._format = response_format
        self._rate_hz = sample_rate_hz
        kind, _, parameters = content_type.lower().partition(";")
        self._kind = kind.strip()
        self._stated_rate_hz = _rate_parameter(parameters)
        self._head = bytearray()
        self._decode: _Decoder | None = None
        self._rest = b""
        self._left: int | None = None
        """Bytes of samples that the header announces; None if it does not say."""
        self._resampler: Resampler | None = None

    def feed(self, data: bytes) -> Samples:
        """Return the samples that are complete; perhaps none."""
        if self._decode is None:
            self._head += data
            if not self._recognize():
                return np.zeros(0, np.int16)
            data = bytes(self._head)
            self._head.clear()
        return self._resampled(self._decoded(data))

    def finish(self) -> Samples:
        """Return the rest. A head that was too short to tell its format is decided now."""
        if self._decode is None:
            if not self._head:
                return np.zeros(0, np.int16)
            if not self._recognize(complete=True):
                raise ServerFault("bad_audio", began=True)
            decoded = self._resampled(self._decoded(bytes(self._head)))
            return np.concatenate([decoded, self._resampler.finish()]) if self._resampler else decoded
        return self._resampler.finish() if self._resampler else np.zeros(0, np.int16)

    def _recognize(self, *, complete: bool = False) -> bool:
        """Choose a decoder and leave only samples in the head; False if more bytes are needed."""
        head = bytes(self._head)
        if self._kind in {"text/html", "application/json", "text/plain", "application/xml", "text/xml"}:
            raise ServerFault("not_audio", began=True)
        if len(head) < 16 and not complete:
            return False
        if head[:64].lstrip().lower().startswith(NOT_AUDIO):
            raise ServerFault("not_audio", began=True)
        if head.startswith(OTHER_FORMATS) or (_is_mpeg_sync(head) and "mpeg" in self._kind + self._format):
            raise ServerFault("wrong_format", began=True)
        if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
            return self._recognize_wav(head)
        if self._format != "pcm":
            raise ServerFault("wrong_format", began=True)
        self._begin("pcm", _Decoder(PCM, 2, 1), self._stated_rate_hz or self._rate_hz)
        return True

    def _recognize_wav(self, head: bytes) -> bool:
        place, layout, rate_hz = 12, None, 0
        while place + 8 <= len(head):
            name, size = head[place : place + 4], int.from_bytes(head[place + 4 : place + 8], "little")
            body = place + 8
            if name == b"data":
                if layout is None:
                    raise ServerFault("bad_audio", began=True)
                self._left = None if size in UNKNOWN_SIZES else size
                del self._head[:body]
                self._begin("wav", layout, rate_hz)
                return True
            if name == b"fmt " and len(head) >= body + 16:
                layout, rate_hz = _layout(head[body : body + min(size, 40)])
            place = body + size + size % 2
        if len(head) > LARGEST_HEAD_BYTES:
            raise ServerFault("bad_audio", began=True)
        return False

    def _begin(self, found_format: str, decoder: "_Decoder", rate_hz: int) -> None:
        self._decode, self.found_format, self.found_rate_hz = decoder, found_format, rate_hz
        if rate_hz != self._rate_hz:
            self._resampler = Resampler(rate_hz, self._rate_hz)

    def _decoded(self, data: bytes) -> Samples:
        assert self._decode is not None  # noqa: S101 - the format is known
        if self._left is not None:  # lists of metadata may follow the samples
            data = data[: self._left]
            self._left -= len(data)
        data = self._rest + data
        whole = len(data) - len(data) % self._decode.frame_bytes
        self._rest = data[whole:]
        return self._decode(data[:whole]) if whole else np.zeros(0, np.int16)

    def _resampled(self, samples: Samples) -> Samples:
        return samples if self._resampler is None else self._resampler.feed(samples)


class _Decoder:
    """Decodes interleaved samples of one layout to mono."""

    def __init__(self, kind: int, sample_bytes: int, channels: int) -> None:
        self.frame_bytes = sample_bytes * channels
        self._kind, self._sample_bytes, self._channels = kind, sample_bytes, channels

    def __call__(self, data: bytes) -> Samples:
        if (self._kind, self._sample_bytes, self._channels) == (PCM, 2, 1):
            return np.frombuffer(data, "<i2")
        values = self._values(data).reshape(-1, self._channels).mean(axis=1)
        return as_samples(values.astype(np.float32))

    def _values(self, data: bytes) -> NDArray[Any]:
        """The samples as floats in [-1, 1]."""
        if self._kind == FLOAT:
            numbers: NDArray[Any] = np.nan_to_num(np.frombuffer(data, "<f4" if self._sample_bytes == 4 else "<f8"))
            return numbers
        if self._sample_bytes == 1:  # unsigned
            return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
        if self._sample_bytes == 3:
            triples = np.frombuffer(data, np.uint8).reshape(-1, 3)
            padded = np.zeros((len(triples), 4), np.uint8)
            padded[:, 1:] = triples
            return padded.view("<i4").reshape(-1) / np.float64(2**31)
        return np.frombuffer(data, f"<i{self._sample_bytes}") / np.float64(2 ** (8 * self._sample_bytes - 1))


def _layout(fmt: bytes) -> tuple[_Decoder, int]:
    """Decoder and rate by a `fmt ` chunk."""
    kind, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", fmt)
    if kind == EXTENSIBLE and len(fmt) >= 26:
        kind = int.from_bytes(fmt[24:26], "little")
    allowed = (8, 16, 24, 32) if kind == PCM else (32, 64) if kind == FLOAT else ()
    if bits not in allowed or channels not in {1, 2} or rate_hz not in RATES:
        raise ServerFault("bad_audio", began=True)
    return _Decoder(kind, bits // 8, channels), rate_hz


def _is_mpeg_sync(head: bytes) -> bool:
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0


def _rate_parameter(parameters: str) -> int:
    """The rate in `audio/pcm; rate=24000`; 0 if there is none that is a rate."""
    pairs: Iterator[tuple[str, str, str]] = (part.strip().partition("=") for part in parameters.split(";"))
    for name, _, value in pairs:
        if (
            name in {"rate", "sample_rate", "samplerate"}
            and value.isascii()
            and value.isdigit()
            and int(value) in RATES
        ):
            return int(value)
    return 0
