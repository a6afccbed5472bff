"""Another speech server as an engine, over real sockets: what it is asked, and each way in which it can fail."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from aiohttp import ThreadedResolver

from hack.cluster.certificates import Authority
from tests.support.speech_servers import (
    Asked,
    Behaviour,
    Outcomes,
    ScriptedServer,
    breaks_off,
    client_of,
    hangs_up,
    key_file,
    never_ends,
    refuses,
    says_nothing,
    scripted_server,
    sends,
    sends_only_a_head,
    speaks,
    speaks_no_http,
    stalls,
    tone,
    wav,
)
from tests.support.timeouts import HANG_SECONDS
from tests.support.worker_pools import synthesized, until
from tts_server.errors import (
    EngineCrashed,
    EngineError,
    EngineTimeout,
    InvalidAudio,
    Overloaded,
    RemoteBusy,
    RemoteRejected,
    RemoteUnreachable,
    TextRejected,
    TTSError,
)
from tts_server.inference.client import Utterance
from tts_server.inference.speech_server.faults import FAULTS
from tts_server.scheduling.fair_queue import Priority, SchedulingParams

HI = Utterance("Hi", "ann")
LONG = Utterance("a" * 2000, "ann")


async def failure(client: Any, utterance: Utterance = HI) -> TTSError:
    """The error of one utterance."""
    with pytest.raises(TTSError) as caught:
        async with asyncio.timeout(HANG_SECONDS):
            await synthesized(client, utterance)
    return caught.value


# What it is asked.


async def test_a_request_names_the_servers_model_and_voice_and_carries_the_key(tmp_path: Path) -> None:
    async with (
        scripted_server() as server,
        client_of(
            server.url + "/speech/",
            path_prefix="/api/v1",
            model="kokoro",
            voices={"ann": "af_heart"},
            api_key_file=key_file(tmp_path, "very-s3cret"),
            request_fields={"stream": True},
        ) as client,
    ):
        await synthesized(client, Utterance("Hi \ud800", "ann", speed=1.5))
    (asked,) = server.asked
    assert asked.path == "/speech/api/v1/audio/speech"
    assert asked.headers["authorization"] == "Bearer very-s3cret"
    assert asked.body == {
        "stream": True, "model": "kokoro", "input": "Hi \ud800", "voice": "af_heart", "response_format": "wav",
        "speed": 1.5,
    }  # fmt: skip


async def test_without_options_the_names_are_the_same_and_there_is_no_key() -> None:
    async with scripted_server() as server, client_of(server.url) as client:
        await synthesized(client, HI)
    assert server.asked[0].body["model"] == "acme-voice"
    assert server.asked[0].body["voice"] == "ann"
    assert "authorization" not in server.asked[0].headers
    assert "traceparent" not in server.asked[0].headers


async def test_a_new_key_is_used_at_once_and_a_missing_one_sends_nothing(tmp_path: Path) -> None:
    file = key_file(tmp_path, "first")
    async with scripted_server() as server, client_of(server.url, api_key_file=file) as client:
        await synthesized(client, HI)
        file.write_text("second one\n")
        assert isinstance(await failure(client), RemoteRejected), "no header can hold it"
        file.write_text("second")
        await synthesized(client, HI)
        file.unlink()
        with structlog.testing.capture_logs() as logs:
            error = await failure(client)
        assert isinstance(error, RemoteRejected)
        assert logs[0]["reason"] == "key_missing"
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize("response_format", ["wav", "pcm"])
async def test_audio_arrives_while_the_server_still_sends(response_format: str) -> None:
    async with scripted_server() as server, client_of(server.url, response_format=response_format) as client:
        heard = await synthesized(client, HI)
        assert np.array_equal(heard, tone("Hi", 1.0))
        server.behave = stalls if response_format == "wav" else sends(tone("Hi", 1.0).tobytes(), "audio/pcm")
        async with aclosing(client.speak(HI)) as parts:
            assert (await anext(parts)).size > 0


async def test_connections_are_used_again() -> None:
    async with scripted_server() as server, client_of(server.url) as client:
        for _ in range(3):
            await synthesized(client, HI)
    assert server.connections == 1


HTTP_ANSWERS: dict[str, Callable[[bytes], bytes]] = {
    "with a length": lambda audio: b"HTTP/1.1 200 OK\r\ncontent-LENGTH: %d\r\n\r\n%b" % (len(audio), audio),
    "that ends with the connection": lambda audio: b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + audio,
    "of HTTP/1.0": lambda audio: b"HTTP/1.0 200 OK\r\n\r\n" + audio,
    "in chunks of a byte": lambda audio: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"".join(b"1;name=value\r\n%c\r\n" % byte for byte in audio) + b"0\r\nTrailer: value\r\n\r\n",
    "after interim ones": lambda audio: b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"
    + b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(audio), audio),
}  # fmt: skip


@pytest.mark.parametrize("form", HTTP_ANSWERS.values(), ids=HTTP_ANSWERS)
@pytest.mark.parametrize("piece_bytes", [1, 7, 100_000])
async def test_an_answer_may_have_each_form_of_http(form: Callable[[bytes], bytes], piece_bytes: int) -> None:
    samples = tone("a", 1.0)[:200]

    async def behave(server: ScriptedServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
        answer = form(wav(samples))
        for start in range(0, len(answer), piece_bytes):
            writer.write(answer[start : start + piece_bytes])
            await writer.drain()
        if b"Content-" not in answer and b"content-" not in answer and b"chunked" not in answer:
            writer.close()

    async with scripted_server(behave) as server, client_of(server.url) as client:
        for _ in range(2):
            assert np.array_equal(await synthesized(client, HI), samples)


async def test_a_connection_that_the_server_closes_after_an_answer_costs_no_failure() -> None:
    async def speaks_once(server: ScriptedServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
        await speaks(server, asked, writer)
        writer.close()

    outcomes = Outcomes()
    async with scripted_server(speaks_once) as server, client_of(server.url, outcomes=outcomes) as client:
        for _ in range(3):
            await synthesized(client, HI)
    assert outcomes.words == ["ok"] * 3
    assert server.connections == len(server.asked) == 3


async def test_bytes_that_follow_an_answer_are_not_taken_for_the_next_one() -> None:
    async def answers_twice(server: ScriptedServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
        audio = wav(tone("Hi", 1.0))
        second = b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b%b" % (len(audio), audio, second))
        await writer.drain()

    outcomes = Outcomes()
    async with scripted_server(answers_twice) as server, client_of(server.url, outcomes=outcomes) as client:
        for _ in range(3):
            await synthesized(client, HI)
    assert outcomes.words == ["ok"] * 3


async def test_a_stop_is_no_end_of_an_answer_that_has_no_length() -> None:
    async def goes_on(server: ScriptedServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + wav(tone("a" * 20, 1.0), size=0xFFFFFFFF))
        await writer.drain()
        await asked.gone.wait()

    async with (
        scripted_server(goes_on) as server,
        client_of(server.url) as client,
        aclosing(client.speak(HI)) as parts,
    ):
        await anext(parts)
        await client.stop()
        with pytest.raises(EngineCrashed):
            async for _ in parts:
                pass


# The rate and the format of the audio.


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 44_100])
async def test_a_header_with_another_rate_is_believed_and_told_once(rate_hz: int) -> None:
    audio = wav(tone("a" * 20, 1.0, rate_hz), rate_hz)
    async with scripted_server(sends(audio)) as server, client_of(server.url) as client:
        with structlog.testing.capture_logs() as logs:
            first = await synthesized(client, HI)
            await synthesized(client, HI)
    assert first.size == pytest.approx(24_000, abs=20)
    assert [(each["configured_hz"], each["sample_rate_hz"]) for each in logs] == [(24_000, rate_hz)]


async def test_raw_audio_has_the_declared_rate_or_the_stated_one() -> None:
    audio = tone("a" * 20, 1.0, 16_000).tobytes()
    async with scripted_server(sends(audio, "audio/pcm; rate=16000")) as server:
        async with client_of(server.url, response_format="pcm") as client:
            assert (await synthesized(client, HI)).size == pytest.approx(24_000, abs=2)
        async with client_of(server.url, response_format="pcm", sample_rate_hz=16_000) as client:
            assert (await synthesized(client, HI)).size == 16_000
            assert client.sample_rate_hz == 16_000


async def test_a_speed_that_the_server_lacks_is_made_here() -> None:
    async with scripted_server() as server, client_of(server.url, speed="Here") as client:
        for speed in (0.25, 0.5, 2.0, 4.0):
            heard = await synthesized(client, Utterance("a" * 40, "ann", speed=speed))
            assert heard.size == pytest.approx(48_000 / speed, rel=0.02)
    assert {asked.body["speed"] for asked in server.asked} == {1.0}


# Faults.


HTML = b"<!DOCTYPE html><html><body>Sign in</body></html>"
RATE_BODY = {"error": {"message": "It says: secret words", "code": "rate_limit_exceeded"}}


async def endless_head(server: ScriptedServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not asked.gone.is_set():
        writer.write(b"X-Name: " + b"a" * 4000 + b"\r\n")
        await writer.drain()


TEXT_BODY = {"detail": [{"loc": ["body", "input"], "msg": "secret words"}]}
VOICE_BODY = {"detail": [{"loc": ["body", "voice"], "msg": "secret words"}]}
ANSWERS: dict[str, tuple[Behaviour, str, type[TTSError]]] = {
    "401":                        (refuses(401, RATE_BODY), "key_refused", RemoteRejected),
    "403":                        (refuses(403), "key_refused", RemoteRejected),
    "404":                        (refuses(404), "not_found", RemoteRejected),
    "422 for the text":           (refuses(422, TEXT_BODY), "text_refused", TextRejected),
    "422 for the voice":          (refuses(422, VOICE_BODY), "request_refused", RemoteRejected),
    "400 without a reason":       (refuses(400), "text_refused", TextRejected),
    "413":                        (refuses(413), "text_refused", TextRejected),
    "429":                        (refuses(429, RATE_BODY), "too_many_requests", RemoteBusy),
    "503":                        (refuses(503), "unavailable", RemoteBusy),
    "500":                        (refuses(500, RATE_BODY), "server_error", EngineError),
    "504":                        (refuses(504), "first_audio_timeout", EngineTimeout),
    "a redirect":                 (refuses(307, headers="Location: /\r\n"), "redirected", RemoteRejected),
    "no HTTP":                    (speaks_no_http, "bad_http", EngineCrashed),
    "a head without end":         (endless_head, "bad_http", EngineCrashed),
    "no answer":                  (says_nothing, "first_audio_timeout", EngineTimeout),
    "a header and no audio":      (sends_only_a_head, "first_audio_timeout", EngineTimeout),
    "audio that stops":           (stalls, "stalled", EngineTimeout),
    "audio that is cut":          (breaks_off, "cut", EngineCrashed),
    "a connection that closes":   (hangs_up, "cut", EngineCrashed),
    "nothing":                    (sends(b""), "empty", InvalidAudio),
    "a WAV without samples":      (sends(wav(np.zeros(0, np.int16))), "empty", InvalidAudio),
    "a page, named so":           (sends(HTML, "text/html; charset=utf-8"), "not_audio", InvalidAudio),
    "a page, named as audio":     (sends(HTML), "not_audio", InvalidAudio),
    "a JSON document":            (sends(b'{"audio": "..."}', "application/json"), "not_audio", InvalidAudio),
    "MP3 with tags":              (sends(b"ID3\x04" + bytes(400), "audio/mpeg"), "wrong_format", InvalidAudio),
    "Ogg":                        (sends(b"OggS" + bytes(400)), "wrong_format", InvalidAudio),
    "raw samples instead of WAV": (sends(bytes(400)), "wrong_format", InvalidAudio),
    "a WAV of eight channels":    (sends(wav(np.zeros(80, np.int16), channels=8)), "bad_audio", InvalidAudio),
    "a WAV cut in its head":      (sends(wav(np.zeros(9, np.int16))[:30]), "bad_audio", InvalidAudio),
    "audio without end":          (never_ends, "too_long", InvalidAudio),
}  # fmt: skip


@pytest.mark.parametrize(("behave", "word", "error"), ANSWERS.values(), ids=ANSWERS)
async def test_each_fault_has_its_own_word_error_and_sentence(
    behave: Behaviour, word: str, error: type[TTSError]
) -> None:
    outcomes = Outcomes()
    seconds = 0.3 if word in {"first_audio_timeout", "stalled"} else HANG_SECONDS
    first_seconds = HANG_SECONDS if word == "stalled" else seconds
    async with (
        scripted_server(behave) as server,
        client_of(
            server.url,
            outcomes=outcomes,
            first_audio_timeout_seconds=first_seconds,
            silence_timeout_seconds=seconds,
        ) as client,
    ):
        with structlog.testing.capture_logs() as logs:
            raised = await failure(client)
    assert type(raised) is error
    assert raised.message == f"The speech server of model acme-voice {FAULTS[word].sentence}"
    assert outcomes.words == [word]
    assert [(each["reason"], each["model"]) for each in logs] == [(word, "acme-voice")]
    assert "secret" not in str(logs) + raised.message
    assert server.url not in str(logs) + raised.message


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server_tls(authority: Authority) -> ssl.SSLContext:
    pair = authority.issue("speech", "speech", addresses=("127.0.0.1",))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


CONNECTIONS = {
    "nobody listens": ("connection_refused", "http://127.0.0.1:{unused}"),
    "no such host":   ("unknown_host", "http://no-such-host.invalid"),
    "no TLS there":   ("tls_failed", "https://127.0.0.1:{plain}"),
    "not trusted":    ("tls_failed", "https://127.0.0.1:{tls}"),
}  # fmt: skip


@pytest.mark.parametrize(("word", "url"), CONNECTIONS.values(), ids=CONNECTIONS)
async def test_connections_that_fail_are_told_apart(word: str, url: str, server_tls: ssl.SSLContext) -> None:
    outcomes = Outcomes()
    async with scripted_server() as plain, scripted_server(tls=server_tls) as encrypted:
        ports = {"plain": plain.url.rpartition(":")[2], "tls": encrypted.url.rpartition(":")[2]}
        async with client_of(url.format(unused=unused_port(), **ports), outcomes=outcomes) as client:
            raised = await failure(client)
        assert plain.asked == encrypted.asked == []
    assert type(raised) is RemoteUnreachable
    assert outcomes.words == [word]


async def test_a_certificate_of_the_named_authority_is_trusted(
    authority: Authority, server_tls: ssl.SSLContext
) -> None:
    async with (
        scripted_server(tls=server_tls) as server,
        client_of(server.url, ca_file=authority.pair.certificate) as client,
    ):
        assert (await synthesized(client, HI)).size > 0


NAMES_THAT_FAIL = {"connect_timeout": "speech.example", "unreachable": "a" * 64 + ".example"}


@pytest.mark.parametrize(("word", "host"), NAMES_THAT_FAIL.items())
@pytest.mark.parametrize("refuse_local_addresses", [True, False])
async def test_a_name_that_takes_too_long_or_cannot_be_one(
    monkeypatch: pytest.MonkeyPatch, word: str, host: str, *, refuse_local_addresses: bool
) -> None:
    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    if word == "connect_timeout":
        monkeypatch.setattr(ThreadedResolver, "resolve", never)
    outcomes = Outcomes()
    async with client_of(
        f"http://{host}",
        outcomes=outcomes,
        connect_timeout_seconds=0.2,
        first_audio_timeout_seconds=HANG_SECONDS,
        refuse_local_addresses=refuse_local_addresses,
    ) as client:
        assert type(await failure(client)) is RemoteUnreachable
    assert outcomes.words == [word]


async def test_every_fault_is_provoked_by_a_test() -> None:
    elsewhere = {"key_missing", "local_address"}
    provoked = {word for _, word, _ in ANSWERS.values()} | {word for word, _ in CONNECTIONS.values()}
    assert provoked | NAMES_THAT_FAIL.keys() | elsewhere == set(FAULTS)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"])
async def test_a_host_that_means_this_machine_is_refused_where_the_operator_says_so(host: str) -> None:
    outcomes = Outcomes()
    async with scripted_server() as server:
        url = server.url.replace("127.0.0.1", host)
        async with client_of(url, outcomes=outcomes, refuse_local_addresses=True) as client:
            raised = await failure(client)
        assert server.asked == []
        async with client_of(url) as client:
            assert (await synthesized(client, HI)).size > 0
    assert type(raised) is RemoteUnreachable
    assert outcomes.words == ["local_address"]


@pytest.mark.parametrize("behave", [sends(wav(np.zeros(0, np.int16))), refuses(400)])
async def test_a_text_without_words_may_have_no_audio(behave: Behaviour) -> None:
    async with scripted_server(behave) as server, client_of(server.url) as client:
        heard = await synthesized(client, Utterance("…", "ann"))
    assert heard.size == 2400
    assert not heard.any()


# Retries.


async def test_a_connection_that_fails_before_the_answer_is_tried_again() -> None:
    async def hangs_up_first(server: Any, asked: Any, writer: Any) -> None:
        await (hangs_up if len(server.asked) == 1 else speaks)(server, asked, writer)

    outcomes = Outcomes()
    async with scripted_server(hangs_up_first) as server, client_of(server.url, outcomes=outcomes) as client:
        assert (await synthesized(client, HI)).size > 0
    assert len(server.asked) == 2
    assert outcomes.words == ["ok"]


@pytest.mark.parametrize("behave", [breaks_off, refuses(500), refuses(429), says_nothing])
async def test_an_answer_that_has_begun_is_never_asked_for_again(behave: Behaviour) -> None:
    async with (
        scripted_server(behave) as server,
        client_of(server.url, retries=3, first_audio_timeout_seconds=0.2) as client,
    ):
        await failure(client)
    assert len(server.asked) == 1


async def test_a_server_that_asks_to_wait_is_left_alone() -> None:
    async with (
        scripted_server(refuses(429, headers="Retry-After: 3600\r\n")) as server,
        client_of(server.url) as client,
    ):
        first, second = await failure(client), await failure(client)
        assert isinstance(first, RemoteBusy)
        assert first.retry_after_seconds == 60, "a minute at most"
        assert isinstance(second, RemoteBusy)
        assert 50 < second.retry_after_seconds <= 60
    assert len(server.asked) == 1


# Cancellation and backpressure.


@pytest.mark.parametrize("behave", [stalls, never_ends])
async def test_the_server_notices_at_once_that_a_caller_hung_up(behave: Behaviour) -> None:
    outcomes = Outcomes()
    async with scripted_server(behave) as server, client_of(server.url, outcomes=outcomes) as client:
        async with aclosing(client.speak(HI)) as parts:
            await anext(parts)
        async with asyncio.timeout(HANG_SECONDS):
            await server.asked[0].gone.wait()
    assert outcomes.words == ["cancelled"]


async def test_the_server_notices_a_caller_who_hangs_up_before_the_first_audio() -> None:
    async with scripted_server(says_nothing) as server, client_of(server.url) as client:
        task = asyncio.create_task(synthesized(client, HI))
        await until(lambda: bool(server.asked))
        task.cancel()
        await asyncio.wait([task])
        async with asyncio.timeout(HANG_SECONDS):
            await server.asked[0].gone.wait()


async def test_nothing_is_read_ahead_of_the_reader() -> None:
    """The sockets hold all that the server can send while nobody reads."""
    async with (
        scripted_server(never_ends) as server,
        client_of(server.url, silence_timeout_seconds=HANG_SECONDS) as client,
        aclosing(client.speak(LONG)) as parts,
    ):
        await anext(parts)
        await until(lambda: server.sent_bytes > 0)
        before = -1
        while before != server.sent_bytes:
            before = server.sent_bytes
            await asyncio.sleep(0.05)
        assert before < 12_000_000
        read = 0
        while read < before:
            read += (await anext(parts)).nbytes
        await until(lambda: server.sent_bytes > before)


# The limit of requests.


async def test_no_more_requests_than_the_limit_are_sent_at_once() -> None:
    two = asyncio.Event()

    async def speaks_to_two(server: Any, asked: Any, writer: Any) -> None:
        if server.at_once == 2:
            two.set()
        await two.wait()
        await speaks(server, asked, writer)

    async with scripted_server(speaks_to_two) as server, client_of(server.url, max_concurrent_requests=2) as client:
        heard = await asyncio.gather(*(synthesized(client, HI) for _ in range(10)))
    assert server.most_at_once == 2
    assert all(np.array_equal(each, heard[0]) for each in heard)


@pytest.fixture
async def one_at_a_time() -> AsyncIterator[Any]:
    async with (
        scripted_server(stalls) as server,
        client_of(server.url, max_concurrent_requests=1) as client,
        aclosing(client.speak(HI)) as parts,
    ):
        await anext(parts)  # holds the only turn
        yield server, client, parts


async def test_a_request_that_waits_too_long_is_refused(one_at_a_time: Any) -> None:
    _, client, _ = one_at_a_time
    with pytest.raises(Overloaded):
        await anext(client.speak(HI, SchedulingParams(max_wait_seconds=0.01)))


async def test_interactive_requests_go_before_batch_and_one_who_gives_up_costs_no_turn(one_at_a_time: Any) -> None:
    server, client, parts = one_at_a_time
    order: list[str] = []

    async def ask(name: str, priority: Priority) -> None:
        async for _ in client.speak(HI, SchedulingParams(priority=priority)):
            pass
        order.append(name)

    gives_up = asyncio.create_task(ask("gone", Priority.INTERACTIVE))
    batch = asyncio.create_task(ask("batch", Priority.BATCH))
    await asyncio.sleep(0)
    interactive = asyncio.create_task(ask("interactive", Priority.INTERACTIVE))
    await asyncio.sleep(0)
    gives_up.cancel()
    server.behave = speaks
    await parts.aclose()
    await asyncio.gather(batch, interactive)
    assert order == ["interactive", "batch"]


async def test_queued_requests_can_be_refused(one_at_a_time: Any) -> None:
    _, client, _ = one_at_a_time
    waiting = asyncio.create_task(synthesized(client, HI))
    await asyncio.sleep(0.01)
    client.refuse_waiting(Overloaded("Elsewhere."))
    with pytest.raises(Overloaded, match="Elsewhere"):
        await waiting


async def test_a_stopped_client_speaks_no_more() -> None:
    async with scripted_server() as server, client_of(server.url) as client:
        await client.stop()
        started = time.monotonic()
        assert isinstance(await failure(client), EngineCrashed)
        assert time.monotonic() - started < HANG_SECONDS / 2, "it does not wait for an answer"
        await client.stop()
