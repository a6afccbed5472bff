"""Audio: encodes samples to the bytes of a format, streamed or whole."""

from tts_server.audio.encoders import (
    FORMATS,
    SAMPLE_RATES_HZ,
    Encoder,
    as_file,
    encode_whole,
    encoder_for,
    media_type,
    streams,
)
from tts_server.audio.encoding import Encoding
from tts_server.audio.resampler import Resampler
from tts_server.audio.threads import EncodingThreads

__all__ = [
    "FORMATS",
    "SAMPLE_RATES_HZ",
    "Encoder",
    "Encoding",
    "EncodingThreads",
    "Resampler",
    "as_file",
    "encode_whole",
    "encoder_for",
    "media_type",
    "streams",
]
