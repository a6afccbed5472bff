"""Findings about a speech server, and what follows from them: the verdict and the TTSModel to write. Pure."""

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

GOOD_FORMATS = ("wav", "pcm")
"""Formats that a Remote may ask for, the better one first: the header of a WAV states its sample rate."""
COMMON_RATES_HZ = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
LEAST_TIMEOUT_SECONDS = 3
LOOPBACK_NOTE = (
    "remote.url reaches the server from this machine only: replace it with the address that pods of the cluster reach,"
    " such as http://NAME.NAMESPACE.svc:PORT of its Service"
)
SLOWEST_FIRST_AUDIO_FACTOR = 5
"""How much longer than measured the first audio may take under load."""


@dataclass(frozen=True, slots=True)
class FormatFound:
    """The answer to one `response_format`."""

    outcome: str
    """`ok`, or the word of the fault."""
    status: int = 0
    content_type: str = ""
    found: str = ""
    """The format of the answer by its first bytes; empty if it is none that is known."""
    rate_hz: int = 0
    """Sample rate by the header, or by the duration of the same text as WAV; 0 if unknown."""
    seconds: float = 0.0
    """Duration of the audio; 0 if unknown."""


@dataclass(frozen=True, slots=True)
class StreamFound:
    """How a long text arrived."""

    first_audio_seconds: float
    seconds: float
    parts: int
    audio_seconds: float

    @property
    def is_streamed(self) -> bool:
        """Whether audio came well before all of it was there."""
        return self.parts > 1 and self.first_audio_seconds < 0.6 * self.seconds


@dataclass(frozen=True, slots=True)
class ErrorFound:
    """The answer to a request that should be refused."""

    outcome: str
    """`accepted`, or the word of the fault."""
    status: int = 0
    shape: str = ""
    """`openai`, `fastapi`, `json`, `html`, `text` or `empty`."""


@dataclass(slots=True)
class Findings:
    """Everything that a check has found."""

    url: str
    path_prefix: str = "/v1"
    model: str = ""
    voice: str = ""
    models: list[str] = field(default_factory=list)
    voices: list[str] = field(default_factory=list)
    formats: dict[str, FormatFound] = field(default_factory=dict)
    stream: StreamFound | None = None
    first_audio_seconds: float = 0.0
    """Median over several short texts, one after the other; the longest of fewer, if there was no time for them."""
    speed: str = "unknown"
    """`honoured`, `ignored`, `refused` or `unknown`."""
    cancel: str = "unknown"
    """`noticed`, `ignored` or `unknown`."""
    cancel_reason: str = "the check ended before it was asked"
    """Why it is `unknown`."""
    at_once: int = 0
    """Requests that were sent at once."""
    spoken_at_once: int = 0
    """How many of them were spoken."""
    parallel: float = 0.0
    """How many short texts it speaks in the time of one."""
    errors: dict[str, ErrorFound] = field(default_factory=dict)
    key_needed: bool | None = None
    """Whether a request without the key is refused; None if no key was given."""
    problem: str = ""
    """Why the server cannot be used, as a sentence; empty if it can."""
    notes: list[str] = field(default_factory=list)

    @property
    def response_format(self) -> str:
        """The format to ask for; empty if there is none."""
        return next((name for name in GOOD_FORMATS if self._is_usable(name)), "")

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of the format to ask for."""
        return self.formats[self.response_format].rate_hz if self.response_format else 0

    def _is_usable(self, name: str) -> bool:
        found = self.formats.get(name)
        return found is not None and found.outcome == "ok" and found.rate_hz > 0


def nearest_rate_hz(samples: int, seconds: float, likely_hz: int = 0) -> int:
    """The common rate at which so many samples last so long; 0 if none is near, within 3 %.

    `likely_hz` is the rate of the server's WAV. It is meant within 20 %: a voice does not always speak equally fast.
    """
    if samples <= 0 or seconds <= 0:
        return 0
    rate_hz = samples / seconds
    if abs(rate_hz - likely_hz) < 0.2 * likely_hz:
        return likely_hz
    nearest = min(COMMON_RATES_HZ, key=lambda each: abs(each - rate_hz))
    return nearest if abs(nearest - rate_hz) < 0.03 * nearest else 0


def is_this_machine(url: str) -> bool:
    """Whether a URL reaches a server only from the machine that it runs on."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def judge(findings: Findings) -> None:
    """Add the verdict and the notes, given all that was found."""
    if not findings.problem and not findings.response_format:
        findings.problem = "it answers neither wav nor pcm with audio, and a Remote needs one of them"
    if findings.problem:
        return
    notes = findings.notes
    if is_this_machine(findings.url):
        notes.append(LOOPBACK_NOTE)
    if findings.response_format == "pcm":
        notes.append("wav is not answered with a WAV: pcm is used, whose sample rate no header states")
    if findings.stream is not None and not findings.stream.is_streamed:
        notes.append("audio comes whole: the first audio of a long sentence takes as long as all of it")
    if findings.speed in {"ignored", "refused"}:
        notes.append(f"speed is {findings.speed}: the snippet has the server in front of it change the speed")
    if findings.cancel == "ignored":
        notes.append("it goes on with a request whose caller has hung up: limit maxConcurrentRequests")
    if findings.at_once and findings.spoken_at_once < findings.at_once:
        notes.append(f"of {findings.at_once} requests at once it spoke {findings.spoken_at_once}")
    if findings.errors.get("unknown voice", ErrorFound("")).outcome == "accepted":
        notes.append("an unknown voice is spoken by another one: mistakes in voices stay unnoticed")
    if findings.key_needed is False:
        notes.append("it answers requests without the key, too")


def snippet(findings: Findings) -> dict[str, Any]:
    """The TTSModel to write. What nobody can measure from outside has a value to be checked by a person."""
    remote: dict[str, Any] = {"url": findings.url}
    if findings.path_prefix != "/v1":
        remote["pathPrefix"] = findings.path_prefix
    if findings.model:
        remote["model"] = findings.model
    if findings.response_format != "wav":
        remote["responseFormat"] = findings.response_format
    if findings.speed in {"ignored", "refused"}:
        remote["speed"] = "Here"
    if findings.key_needed is not None:
        remote["secretRef"] = {"name": "speech-server-key"}
    if findings.parallel:
        remote["maxConcurrentRequests"] = max(1, round(findings.parallel)) * (1 if findings.cancel == "ignored" else 2)
    timeout = max(LEAST_TIMEOUT_SECONDS, round(SLOWEST_FIRST_AUDIO_FACTOR * _longest_first_audio(findings)))
    return {
        "apiVersion": "ttsfleet.io/v1alpha1",
        "kind": "TTSModel",
        "metadata": {"name": "remote-voice"},
        "spec": {
            "engine": "Remote",
            "remote": remote,
            "languages": ["en"],
            "voices": [{"name": voice} for voice in (findings.voices or [findings.voice])[:256]],
            "sampleRateHz": findings.sample_rate_hz,
            "firstAudioTimeoutSeconds": timeout,
            "precisions": [
                {
                    "name": "fp32",
                    "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
                }
            ],
        },
    }


def _longest_first_audio(findings: Findings) -> float:
    stream = findings.stream.first_audio_seconds if findings.stream is not None else 0.0
    return max(stream, findings.first_audio_seconds)
