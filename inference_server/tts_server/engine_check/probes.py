"""Asks a speech server, one question after the other. No question takes longer than its timeout."""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import aiohttp
from yarl import URL

from tts_server.engine_check.findings import (
    GOOD_FORMATS,
    ErrorFound,
    Findings,
    FormatFound,
    StreamFound,
    judge,
    nearest_rate_hz,
)
from tts_server.inference.speech_server.audio import AudioReader
from tts_server.inference.speech_server.exchange import ServerConnection, SpeechCall
from tts_server.inference.speech_server.factory import SPEECH_PATH
from tts_server.inference.speech_server.faults import FAULTS, ServerFault, fault_of_answer
from tts_server.inference.speech_server.openai_exchange import OK, OpenAIExchange, body_of, word_of
from tts_server.tls import TlsTrustStore

SHORT = "The quick brown fox jumps."
LONG = (
    "When the first light of the morning reached the valley, the river was already awake, and so were the people who"
    " lived beside it. They had learned long ago that the water rises without a warning, and that a boat must be ready"
    " before it is needed. So every child could row before it could read, and every house had a door that faced the"
    " hill."
)
OTHER_FORMATS = ("mp3", "opus", "flac", "aac")
"""Formats that no Remote asks for: they say what else the server has."""
MAGIC = (
    (b"RIFF", "wav"),
    (b"ID3", "mp3"),
    (b"OggS", "ogg"),
    (b"fLaC", "flac"),
    (b"\xff\xf1", "aac"),
    (b"\xff\xf9", "aac"),
)
FIRST_AUDIO_ROUNDS = 5
LEAST_CANCEL_SECONDS = 0.5
"""Shortest synthesis at which it shows whether a hang-up was noticed."""
NOWHERE = "no-such-name-b7f3"


@dataclass(frozen=True, slots=True)
class Question:
    """How to reach the server, and what to say."""

    url: str
    path_prefix: str = "/v1"
    api_key_file: Path | None = None
    ca_file: Path | None = None
    model: str = ""
    voice: str = ""
    text: str = SHORT
    long_text: str = LONG
    timeout_seconds: float = 60.0
    """Longest wait for one answer."""
    budget_seconds: float = 180.0
    """Longest check: what is left to ask then is noted, and not asked."""
    at_once: int = 4
    on_question: Callable[[str], None] = lambda _: None
    """Called with a phrase for what is asked next."""


@dataclass(slots=True)
class Heard:
    """One answer with its times."""

    outcome: str
    status: int = 0
    content_type: str = ""
    data: bytearray = field(default_factory=bytearray)
    first_audio_seconds: float = 0.0
    seconds: float = 0.0
    parts: int = 0
    samples: int = 0
    rate_hz: int = 0

    @property
    def audio_seconds(self) -> float:
        return self.samples / self.rate_hz if self.rate_hz else 0.0


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    content: bytes


async def check(question: Question) -> Findings:
    """Ask everything. The findings have a problem if the server cannot be used. Raises `OSError` for `ca_file`."""
    checker = _Checker(question)
    await checker.open()
    try:
        await checker.run()
    except ServerFault as fault:
        checker.findings.problem = f"the speech server {FAULTS[fault.word].sentence.removesuffix('.')}"
    finally:
        await checker.close()
    judge(checker.findings)
    return checker.findings


class _Checker:
    """One check under way."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._base = question.url.rstrip("/") + question.path_prefix
        self._ends = time.monotonic() + question.budget_seconds
        self._exchange = self._exchange_with(question.api_key_file)
        self._http: aiohttp.ClientSession | None = None
        self.findings = Findings(question.url, question.path_prefix, question.model, question.voice)

    def _exchange_with(self, key_file: Path | None) -> OpenAIExchange:
        question = self._question
        connection = ServerConnection(
            question.url.rstrip("/") + question.path_prefix + SPEECH_PATH,
            api_key_file=key_file,
            ca_file=question.ca_file,
            connect_timeout_seconds=min(5.0, question.timeout_seconds),
        )
        return OpenAIExchange(connection)

    async def open(self) -> None:
        await self._exchange.open()
        trusted = TlsTrustStore(self._question.ca_file, needed=True).context() if self._base[:6] == "https:" else True
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trusted),
            timeout=aiohttp.ClientTimeout(total=self._question.timeout_seconds),
        )

    async def close(self) -> None:
        await self._exchange.close()
        if self._http is not None:
            await self._http.close()

    async def run(self) -> None:
        """Ask in an order in which each answer helps with the next question. Raises `ServerFault` if nothing works."""
        findings = self.findings
        self._question.on_question("models and voices")
        listed = await self._listed("/models")
        findings.models = names_in(listed)
        findings.model = findings.model or next(iter(findings.models), "tts-1")
        meant = {findings.model, root_of(listed, findings.model)}
        findings.voices = names_in(await self._listed("/audio/voices", "/voices"), meant)
        findings.voice = findings.voice or next(iter(findings.voices), "alloy")
        await self._ask_formats(GOOD_FORMATS)
        if not findings.response_format:
            if (first := findings.formats["wav"]).outcome != "ok":
                raise ServerFault(first.outcome)
            return
        later = {
            "refusals": self._ask_errors,
            "speed": self._ask_speed,
            "first audio": self._ask_first_audio,
            "requests at once": self._ask_at_once,
            "a long text, and hanging up": self._ask_stream_and_cancel,
            "other formats": lambda: self._ask_formats(OTHER_FORMATS),
        }
        skipped = [name for name, ask in later.items() if not await self._asked_in_time(name, ask)]
        if skipped:
            seconds = f"{self._question.budget_seconds:.0f} s"
            findings.notes.append(f"after {seconds} these were not asked to their end: {', '.join(skipped)}")

    async def _asked_in_time(self, name: str, ask: Callable[[], Awaitable[None]]) -> bool:
        """Ask, as far as the budget allows; return whether that was to the end."""
        if (left := self._ends - time.monotonic()) <= 0:
            return False
        self._question.on_question(name)
        try:
            async with asyncio.timeout(left):
                await ask()
        except TimeoutError:
            return False
        return True

    async def _listed(self, *paths: str) -> object:
        """Return the first list that one of the paths answers; None if none does."""
        for path in paths:
            try:
                answer = await self._answer("GET", quote(path))
                if answer.status == OK:
                    listed: object = json.loads(answer.content)
                    return listed
            except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError):
                continue
        return None

    async def _answer(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """Ask with the key. Raises `aiohttp.ClientError` and `TimeoutError`."""
        assert self._http is not None  # noqa: S101 - it is open
        key = self._exchange.key.read()
        headers = {"Content-Type": "application/json"} if body is not None else {}
        headers |= {"Authorization": f"Bearer {key}"} if key else {}
        url = URL(self._base + path, encoded=True)
        async with self._http.request(method, url, data=body, headers=headers, allow_redirects=False) as response:
            return Answer(response.status, response.headers, await response.read())

    def _call(self, text: str = "", *, response_format: str = "", speed: float = 1.0, **names: str) -> SpeechCall:
        return SpeechCall(
            text=text or self._question.text,
            model=names.get("model", self.findings.model),
            voice=names.get("voice", self.findings.voice),
            speed=speed,
            response_format=response_format or self.findings.response_format or "wav",
            sample_rate_hz=24_000,
        )

    async def _hear(self, call: SpeechCall, exchange: OpenAIExchange | None = None) -> Heard:
        """Synthesize, and measure. Never raises: the outcome is `ok`, or the word of a fault."""
        heard = Heard("ok")
        reader = None
        started = time.perf_counter()
        try:
            async with (
                asyncio.timeout(self._question.timeout_seconds),
                aclosing((exchange or self._exchange).call(call)) as answer,
            ):
                async for part in answer:
                    heard.content_type = heard.content_type or part.content_type
                    if not part.data:
                        continue
                    heard.parts += 1
                    heard.data += part.data
                    if call.response_format in {"wav", "pcm"}:
                        reader = reader or AudioReader(call.response_format, call.sample_rate_hz, heard.content_type)
                        heard.samples += reader.feed(part.data).size
                    if (heard.samples or reader is None) and not heard.first_audio_seconds:
                        heard.first_audio_seconds = time.perf_counter() - started
            if reader is not None:
                heard.samples += reader.finish().size
                heard.rate_hz = call.sample_rate_hz
            if not heard.data:
                heard.outcome = "empty"
        except ServerFault as fault:
            heard.outcome, heard.status = fault.word, fault.status
        except TimeoutError:
            heard.outcome = "stalled" if heard.samples else "first_audio_timeout"
        heard.seconds = time.perf_counter() - started
        return heard

    async def _ask_formats(self, names: Sequence[str]) -> None:
        wav_seconds = 0.0
        for name in names:
            self._question.on_question(f"the format {name}")
            heard = await self._hear(self._call(response_format=name))
            rate_hz, seconds = 0, 0.0
            if heard.outcome == "ok":
                longest = max(self.findings.first_audio_seconds, heard.first_audio_seconds)
                self.findings.first_audio_seconds = round(longest, 4)
            if heard.outcome == "ok" and name == "wav":
                reader = AudioReader("wav", 24_000, heard.content_type)
                reader.feed(bytes(heard.data))
                rate_hz, seconds = reader.found_rate_hz, heard.audio_seconds
                wav_seconds = seconds
            elif heard.outcome == "ok" and name == "pcm":
                reader = AudioReader("pcm", 24_000, heard.content_type)
                reader.feed(bytes(heard.data))
                if reader.found_format == "wav":
                    heard.outcome = "wrong_format"
                elif reader.found_rate_hz != 24_000:  # the content type says so
                    rate_hz = reader.found_rate_hz
                else:
                    likely_hz = self.findings.formats["wav"].rate_hz
                    rate_hz = nearest_rate_hz(len(heard.data) // 2, wav_seconds, likely_hz) if wav_seconds else 24_000
                seconds = len(heard.data) / 2 / rate_hz if rate_hz else 0.0
            found = _format_of(bytes(heard.data[:16])) or ("pcm" if name == "pcm" and heard.outcome == "ok" else "")
            self.findings.formats[name] = FormatFound(
                heard.outcome, heard.status, heard.content_type, found, rate_hz, round(seconds, 3)
            )
            if heard.outcome in {"connection_refused", "unknown_host", "tls_failed", "key_refused", "connect_timeout"}:
                raise ServerFault(heard.outcome)

    async def _ask_first_audio(self) -> None:
        rounds: list[Heard] = []
        for number in range(1, FIRST_AUDIO_ROUNDS + 1):
            self._question.on_question(f"first audio, {number} of {FIRST_AUDIO_ROUNDS}")
            rounds.append(await self._hear(self._call()))
        spoken = [heard.first_audio_seconds for heard in rounds if heard.outcome == "ok"]
        if spoken:
            self.findings.first_audio_seconds = round(statistics.median(spoken), 4)

    async def _ask_stream_and_cancel(self) -> None:
        self.findings.cancel_reason = "a long text took longer than there was time"
        whole = await self._hear(self._call(self._question.long_text))
        if whole.outcome != "ok":
            self.findings.cancel_reason = f"a long text ends with {whole.outcome}"
            characters = len(self._question.long_text)
            self.findings.notes.append(f"a text of {characters} characters ends with {whole.outcome}")
            return
        self.findings.stream = StreamFound(
            round(whole.first_audio_seconds, 4), round(whole.seconds, 4), whole.parts, round(whole.audio_seconds, 3)
        )
        if whole.seconds < LEAST_CANCEL_SECONDS:
            self.findings.cancel_reason = f"it speaks a long text in {whole.seconds:.1f} s: too fast to tell"
            return
        self._question.on_question("requests beside a long text")
        alone = await self._hear(self._call())
        begun = asyncio.create_task(self._hear(self._call(self._question.long_text)))
        await asyncio.sleep(0.25 * whole.seconds)
        beside = asyncio.create_task(self._hear(self._call()))
        await asyncio.wait([beside, begun])
        if beside.result().seconds < alone.seconds + 0.25 * whole.seconds:
            # A request behind one that was cancelled would tell nothing.
            self.findings.cancel_reason = "it speaks several requests at once, which hides whether one ended early"
            return
        self._question.on_question("a request behind one whose caller has hung up")
        cancelled = asyncio.create_task(self._hear(self._call(self._question.long_text)))
        await asyncio.sleep(0.25 * whole.seconds)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        after = await self._hear(self._call())
        noticed = after.outcome == "ok" and after.seconds < alone.seconds + 0.35 * whole.seconds
        self.findings.cancel = "noticed" if noticed else "ignored"

    async def _ask_speed(self) -> None:
        normal, fast = await self._hear(self._call()), await self._hear(self._call(speed=2.0))
        if fast.outcome != "ok":
            self.findings.speed = "refused"
        elif normal.outcome == "ok" and normal.samples:
            self.findings.speed = "honoured" if fast.samples < 0.75 * normal.samples else "ignored"

    async def _ask_at_once(self) -> None:
        alone = await self._hear(self._call())
        started = time.perf_counter()
        heard = await asyncio.gather(*(self._hear(self._call()) for _ in range(self._question.at_once)))
        seconds = time.perf_counter() - started
        self.findings.at_once = len(heard)
        self.findings.spoken_at_once = sum(each.outcome == "ok" for each in heard)
        if alone.outcome == "ok" and seconds > 0:
            self.findings.parallel = round(self.findings.spoken_at_once * alone.seconds / seconds, 2)

    async def _ask_errors(self) -> None:
        errors = self.findings.errors
        calls = {
            "unknown model": self._call("Hi.", model=NOWHERE),
            "unknown voice": self._call("Hi.", voice=NOWHERE),
            "empty text": self._call(" "),
        }
        for name, call in calls.items():
            errors[name] = await self._refusal(call)
        if self._question.api_key_file is not None:
            without = self._exchange_with(None)
            await without.open()
            try:
                heard = await self._hear(self._call(), without)
            finally:
                await without.close()
            self.findings.key_needed = heard.outcome != "ok"

    async def _refusal(self, call: SpeechCall) -> ErrorFound:
        """The answer to a call that should be refused, with the shape of its body."""
        try:
            answer = await self._answer("POST", SPEECH_PATH, body_of(call))
        except aiohttp.ClientError as error:
            return ErrorFound(word_of(error))
        except TimeoutError:
            return ErrorFound("cut")
        if answer.status == OK:
            return ErrorFound("accepted" if answer.content else "empty", OK)
        fault = fault_of_answer(answer.status, answer.headers, answer.content)
        return ErrorFound(fault.word, answer.status, shape_of(answer.content))


def names_in(document: object, models: Collection[str] = ()) -> list[str]:
    """Return the names in a list of models or voices, each once.

    It is OpenAI's `data[].id`, `voices[]` of strings or objects, or a bare list. Of entries that name a `model`, those
    of other models than `models` are left out.
    """
    names: list[str] = []
    for entry in _entries(document):
        if models and isinstance(entry, dict) and isinstance(entry.get("model"), str) and entry["model"] not in models:
            continue
        name = entry
        if isinstance(entry, dict):
            name = next((entry[key] for key in ("id", "name", "voice_id", "voice") if key in entry), None)
        if isinstance(name, str) and name and name not in names:
            names.append(name)
    return names


def root_of(document: object, model: str) -> str:
    """Return the model that an alias stands for, where a list of models says so in `root`; else `model` itself."""
    entries = (entry for entry in _entries(document) if isinstance(entry, dict) and entry.get("id") == model)
    root = next((entry.get("root") for entry in entries), None)
    return root if isinstance(root, str) and root else model


def _entries(document: object) -> list[object]:
    if isinstance(document, dict):
        listed: object = next((document[key] for key in ("data", "voices", "models") if key in document), [])
        document = list(listed) if isinstance(listed, dict) else listed
    return document if isinstance(document, list) else []


def shape_of(body: bytes) -> str:
    """How a refusal is written."""
    if not body.strip():
        return "empty"
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return "html" if body.lstrip()[:1] == b"<" else "text"
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, dict) and "message" in error:
        return "openai"
    return "fastapi" if isinstance(document, dict) and "detail" in document else "json"


def _format_of(head: bytes) -> str:
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 in {0xE2, 0xE4, 0xE6}:
        return "mp3"
    return next((name for magic, name in MAGIC if head.startswith(magic)), "")
