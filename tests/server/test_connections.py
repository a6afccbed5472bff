"""A connection before any request is let in: clients that offer HTTP/2, endless headers, callers that never finish."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.support.jwt_forgery import keys_folder
from tests.support.listening_app import listening
from tests.support.replies import fails
from tests.support.server_app import config, running_app, until
from tests.support.timeouts import HANG_SECONDS
from tts_server.app import serve as serving
from tts_server.config.schema import AuthConfig, AuthMode
from tts_server.http import protocol as connection
from tts_server.http.protocol import LARGEST_HEAD_BYTES, LONGEST_PATH_BYTES, MAX_PIPELINED, MOST_HEADERS
from tts_server.storage.protocol import new_key

BODY = json.dumps({"model": "tts-1", "voice": "alloy", "input": "Hello.", "response_format": "pcm"}).encode()
FRAMED = b"Content-Length: %d\r\n" % len(BODY)
# As Java's HttpClient sends it with every request, by default.
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAA\r\nUpgrade: h2c\r\n"
WEBSOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
SPEECH = b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
AUDIO_BYTES = 4800
"""Bytes of a tenth of a second of pcm."""


class Wire:
    """A client that sends what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        with suppress(ConnectionError):
            await self.writer.drain()

    async def reply(self) -> tuple[int, bytes]:
        """The next one's status and body, which has a length."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return int(head.split(b" ", 2)[1]), await self.reader.readexactly(length)

    async def is_closed(self) -> bool:
        try:
            return not await self.reader.read(1)
        except ConnectionError:
            return True


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    async with running_app(config(tmp_path)) as acme, listening(acme.application) as found:
        yield found


@asynccontextmanager
async def wire(port: int) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(HANG_SECONDS):
            yield Wire(reader, writer)
    finally:
        writer.close()


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
OFFERED: dict[str, tuple[bytes, bytes]] = {
    # what is sent                      the request                       what it was asked
    "with a length":                   (SPEECH + OFFER + FRAMED + b"\r\n" + BODY, b""),
    "in chunks":                       (SPEECH + OFFER + CHUNKED, b""),
    "without a body":                  (HEALTH + OFFER + b"\r\n", b'{"status":"ok"}'),
    "a websocket":                     (HEALTH + WEBSOCKET + b"\r\n", b'{"status":"ok"}'),
}  # fmt: skip


@pytest.mark.parametrize("split", [0, 40, -20])
@pytest.mark.parametrize(("request_", "expected"), OFFERED.values(), ids=OFFERED)
async def test_an_offer_of_another_protocol_is_passed_over(
    port: int, request_: bytes, expected: bytes, split: int
) -> None:
    async with wire(port) as client:
        for _ in range(2):
            for part in (request_[:split], request_[split:]):
                await client.send(part)
                await asyncio.sleep(0.01)  # a packet of its own: where it is split only matters, not whether it was
            status, body = await client.reply()
            assert status == 200
            assert body == expected or len(body) == AUDIO_BYTES
        await client.send(HEALTH + b"\r\n")
        assert (await client.reply())[0] == 200


async def test_an_offer_and_the_next_request_may_come_in_one_packet(port: int) -> None:
    async with wire(port) as client:
        await client.send(SPEECH + OFFER + FRAMED + b"\r\n" + BODY + HEALTH + b"\r\n")
        assert len((await client.reply())[1]) == AUDIO_BYTES
        assert (await client.reply())[1] == b'{"status":"ok"}'


async def test_an_offer_smuggles_nothing(port: int) -> None:
    """A request's body is never read as a request, whatever its headers offer."""
    inside = HEALTH + b"\r\n"
    async with wire(port) as client:
        await client.send(SPEECH + OFFER + b"Content-Length: %d\r\n\r\n" % len(inside) + inside)
        assert (await client.reply())[0] == 400
        await client.send(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.reply())[0] == 404


async def test_some_requests_may_be_sent_ahead_of_their_answers(port: int) -> None:
    async with wire(port) as client:
        for _ in range(2):
            await client.send((HEALTH + b"\r\n") * (MAX_PIPELINED + 1))
            for _ in range(MAX_PIPELINED + 1):
                assert (await client.reply())[1] == b'{"status":"ok"}'


async def test_of_a_packet_of_requests_the_first_are_answered(port: int) -> None:
    """Their sender is not authenticated yet: thousands would take megabytes, and block the event loop for a second."""
    async with wire(port) as client:
        await client.send((HEALTH + b"\r\n") * 2000)
        answers = [await client.reply() for _ in range(MAX_PIPELINED + 2)]
        assert [status for status, _ in answers] == [200] * (MAX_PIPELINED + 1) + [400]
        assert json.loads(answers[-1][1])["error"]["code"] == "invalid_http"
        assert await client.is_closed()


ENDLESS: dict[str, bytes] = {
    "one long header": HEALTH + b"A: " + b"a" * (10 * LARGEST_HEAD_BYTES),
    "many headers": HEALTH + b"".join(b"A%d: b\r\n" % number for number in range(50_000)),
    "a complete one": HEALTH + b"A: " + b"a" * LARGEST_HEAD_BYTES + b"\r\n\r\n",
    "a few too many": HEALTH + b"".join(b"A%d: b\r\n" % number for number in range(MOST_HEADERS + 1)) + b"\r\n",
}


@pytest.mark.parametrize("data", ENDLESS.values(), ids=ENDLESS)
async def test_headers_without_an_end_are_refused(port: int, data: bytes) -> None:
    async with wire(port) as client:
        await client.send(data)
        with suppress(ConnectionError, asyncio.IncompleteReadError):  # it may be reset while the rest is sent
            status, body = await client.reply()
            assert (status, json.loads(body)["error"]["code"]) == (431, "headers_too_large")
        assert await client.is_closed()


@pytest.mark.parametrize("query", [b"a" * LONGEST_PATH_BYTES, b"a?b=" + b"c" * (10 * LARGEST_HEAD_BYTES)])
async def test_a_path_that_is_too_long_has_an_answer_of_its_own(port: int, query: bytes) -> None:
    async with wire(port) as client:
        await client.send(b"GET /" + query + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        status, body = await client.reply()
        assert (status, json.loads(body)["error"]["code"]) == (414, "path_too_long")


async def test_a_path_may_be_as_long_as_the_limit(port: int) -> None:
    async with wire(port) as client:
        await client.send(b"GET /" + b"a" * (LONGEST_PATH_BYTES - 1) + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.reply())[0] == 404


async def test_as_many_headers_as_are_allowed_may_come_one_by_one(port: int) -> None:
    async with wire(port) as client:
        await client.send(HEALTH)
        for number in range(MOST_HEADERS - 1):
            await client.send(b"A%d: %s\r\n" % (number, b"b" * 200))
        await client.send(b"\r\n")
        assert (await client.reply())[0] == 200
        await client.send(SPEECH + FRAMED + b"\r\n" + BODY)
        assert (await client.reply())[0] == 200, "and the next request is counted by itself"


async def test_a_large_body_is_no_large_head(port: int) -> None:
    body = json.dumps(json.loads(BODY) | {"more": "x" * (LARGEST_HEAD_BYTES + 1000)}).encode()
    async with wire(port) as client:
        for _ in range(2):
            await client.send(SPEECH + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert (await client.reply())[0] == 200


TRAILED = SPEECH + CHUNKED.removesuffix(b"\r\n")
"""A request whose body has come; what comes now stands behind it."""


async def test_what_stands_behind_a_body_is_no_header(tmp_path: Path) -> None:
    """A proxy that checks, sets or removes headers has not seen it: it can name neither a key nor an address."""
    keys = AuthConfig(modes=(AuthMode.API_KEY,), keys_directory=keys_folder(tmp_path / "keys", app="key"))
    async with (
        running_app(config(tmp_path, auth=keys)) as acme,
        listening(acme.application) as port,
        wire(port) as client,
    ):
        await client.send(TRAILED + b"Authorization: Bearer key\r\n\r\n")
        assert (await client.reply())[0] == 401
        authorized = TRAILED.replace(b"\r\n", b"\r\nAuthorization: Bearer key\r\n", 1)
        await client.send(authorized + b"X-TTS-Priority: none\r\nX-Sum: 1\r\n\r\n")
        status, body = await client.reply()
        assert (status, len(body)) == (200, AUDIO_BYTES), "it is passed over"
        await client.send(HEALTH + b"\r\n")
        assert (await client.reply())[0] == 200, "and the next request has headers of its own"


BEHIND: dict[str, bytes] = {
    "one long line": b"A: " + b"a" * (10 * LARGEST_HEAD_BYTES),
    "many lines": b"".join(b"A%d: b\r\n" % number for number in range(50_000)),
}


@pytest.mark.parametrize("data", BEHIND.values(), ids=BEHIND)
@pytest.mark.parametrize("is_answered", [False, True], ids=["while it waits", "after its answer"])
async def test_what_stands_behind_a_body_has_an_end(tmp_path: Path, data: bytes, *, is_answered: bool) -> None:
    """Whoever sends it need not be let in: it must not be kept."""
    async with running_app(config(tmp_path)) as acme, listening(acme.application) as port, wire(port) as client:
        if is_answered:
            await client.send(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            assert (await client.reply())[0] == 404
        await client.send((b"0\r\n" if is_answered else TRAILED) + data)
        with suppress(ConnectionError, asyncio.IncompleteReadError):  # it may be reset while the rest is sent
            status, body = await client.reply()
            assert (status, json.loads(body)["error"]["code"]) == (431, "headers_too_large")
        assert await client.is_closed()


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n"])
async def test_what_is_no_http_is_answered_as_every_error_is(port: int, data: bytes) -> None:
    async with wire(port) as client:
        await client.send(data)
        status, body = await client.reply()
        error = json.loads(body)["error"]
        assert (status, error["code"], error["type"]) == (400, "invalid_http", "invalid_request_error")
        assert await client.is_closed()


async def test_an_answer_that_has_begun_ends_before_what_is_invalid_behind_it_is_refused(tmp_path: Path) -> None:
    async with running_app(config(tmp_path)) as acme, listening(acme.application) as port, wire(port) as client:
        tone = acme.engine_clients["tone"]
        tone.gate.clear()
        tone.gated_from = 1
        body = json.dumps(json.loads(BODY) | {"input": "One. Two."}).encode()
        await client.send(SPEECH + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await client.reader.readuntil(b"\r\n\r\n")
        await client.send(b"no request at all\r\n\r\n")
        await client.send(HEALTH + b"\r\n")  # nothing behind it is read
        tone.gate.set()
        audio, end, refusal = (await client.reader.read()).partition(b"\r\n0\r\n\r\n")
        assert end
        assert b"HTTP/1.1" not in audio
        assert refusal.startswith(b"HTTP/1.1 400 ")
        assert refusal.count(b"HTTP/1.1 ") == 1


async def test_an_answer_whose_own_body_is_invalid_is_cut(tmp_path: Path) -> None:
    """It has begun, so that nothing else may be written into it."""
    async with running_app(config(tmp_path)) as acme, listening(acme.application) as port, wire(port) as client:
        await client.send(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert (await client.reply())[0] == 404
        await client.send(b"no length of a chunk\r\n")
        assert b"200" not in await client.reader.read()


REFUSED: dict[str, tuple[bytes, tuple[int, str]]] = {
    # the case                   the request                                                    its answer
    "no host":                  (b"GET /healthz HTTP/1.1\r\n", (400, "invalid_http")),
    "two hosts":                (HEALTH + b"Host: y\r\n", (400, "invalid_http")),
    "the same host twice":      (HEALTH + b"Host: x\r\n", (400, "invalid_http")),
    "two hosts in HTTP/1.0":    (b"GET /healthz HTTP/1.0\r\nHost: x\r\nHost: y\r\n", (400, "invalid_http")),
    "a host with a path":       (b"GET /healthz HTTP/1.1\r\nHost: x/y\r\n", (400, "invalid_http")),
    "a host with a user":       (b"GET /healthz HTTP/1.1\r\nHost: me@x\r\n", (400, "invalid_http")),
    "two hosts in one header":  (b"GET /healthz HTTP/1.1\r\nHost: x, y\r\n", (400, "invalid_http")),
    "gzip before chunked":      (SPEECH + b"Transfer-Encoding: gzip, chunked\r\n",
                                 (501, "unsupported_transfer_encoding")),
    "gzip in a header before":  (SPEECH + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
                                 (501, "unsupported_transfer_encoding")),
    "chunked twice":            (SPEECH + b"Transfer-Encoding: chunked, chunked\r\n", (400, "invalid_http")),
    "a length and chunks":      (SPEECH + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
                                 (400, "invalid_http")),
}  # fmt: skip


@pytest.mark.parametrize(("head", "expected"), REFUSED.values(), ids=REFUSED)
async def test_a_head_that_a_proxy_may_read_otherwise_is_refused(
    port: int, head: bytes, expected: tuple[int, str]
) -> None:
    async with wire(port) as client:
        await client.send(head + b"\r\n")
        status, body = await client.reply()
        assert (status, json.loads(body)["error"]["code"]) == expected
        assert await client.is_closed()


@pytest.mark.parametrize("host", [b"x:8080", b"[::1]:8080", b"10.0.0.1", b"acme.team-acme.svc", b"", b"a_b.example"])
async def test_hosts_that_are_valid(port: int, host: bytes) -> None:
    async with wire(port) as client:
        await client.send(b"GET /healthz HTTP/1.1\r\nHost: %b\r\n\r\n" % host)
        assert (await client.reply())[0] == 200


TOO_LARGE = b"Content-Length: 5000000\r\n\r\n"


async def test_a_body_that_is_announced_as_too_large_is_refused_before_it_comes(port: int) -> None:
    async with wire(port) as client:
        await client.send(SPEECH + TOO_LARGE)
        status, body = await client.reply()
        assert (status, json.loads(body)["error"]["code"]) == (413, "body_too_large")
        await client.send(b" " * 5_000_000 + HEALTH + b"\r\n")
        assert (await client.reply())[0] == 200, "the body is passed over"


async def test_a_body_that_is_too_large_is_passed_over_up_to_a_limit(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "DISCARDED_BYTES", 1_000_000)
    async with wire(port) as client:
        await client.send(SPEECH + TOO_LARGE)
        assert (await client.reply())[0] == 413
        await client.send(b" " * 5_000_000)
        assert await client.is_closed()


async def test_who_asks_whether_to_send_a_large_body_is_told_not_to(port: int) -> None:
    async with wire(port) as client:
        await client.send(SPEECH + b"Expect: 100-continue\r\n" + TOO_LARGE)
        assert (await client.reply())[0] == 413
        assert await client.is_closed()


@pytest.mark.parametrize("requests", [1, 3])
async def test_a_half_closed_connection_gets_its_answers(tmp_path: Path, requests: int) -> None:
    async with running_app(config(tmp_path)) as acme, listening(acme.application) as port, wire(port) as client:
        tone = acme.engine_clients["tone"]
        tone.gate.clear()
        await client.send((SPEECH + FRAMED + b"\r\n" + BODY) * requests)
        client.writer.write_eof()
        await until(lambda: tone.spoken)
        if requests == 1:
            assert await client.reader.readuntil(b"\r\n\r\n") == connection.CONTINUE
        tone.gate.set()
        answers = [(await client.reply()) for _ in range(requests)]
        assert [(status, len(body)) for status, body in answers] == [(200, AUDIO_BYTES)] * requests
        assert await client.is_closed()


async def test_who_closes_both_halves_is_noticed_before_the_answer(tmp_path: Path) -> None:
    async with running_app(config(tmp_path)) as acme, listening(acme.application) as port:
        tone = acme.engine_clients["tone"]
        tone.gate.clear()
        async with wire(port) as client:
            await client.send(SPEECH + FRAMED + b"\r\n" + BODY)
            await until(lambda: tone.spoken)
        await until(lambda: tone.closed or acme.application.server.snapshot.requests == 0)  # type: ignore[union-attr]


async def test_half_a_request_with_an_end_is_given_up(port: int) -> None:
    async with wire(port) as client:
        await client.send(SPEECH + FRAMED + b"\r\n" + BODY[:5])
        client.writer.write_eof()
        assert await client.is_closed()


OLD = b"POST /v1/audio/speech HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize("fields", [{}, {"stream_format": "sse"}, {"response_format": "mp3"}], ids=str)
async def test_http_1_0_gets_bytes_as_they_come(tmp_path: Path, fields: dict[str, str]) -> None:
    async with running_app(config(tmp_path)) as acme, listening(acme.application) as port, wire(port) as client:
        tone = acme.engine_clients["tone"]
        tone.gate.clear()
        tone.gated_from = 2
        text = "First comes one sentence. Then comes another one. Then comes the last one."
        body = json.dumps(json.loads(BODY) | {"input": text} | fields).encode()
        await client.send(OLD % len(body) + body)
        head = (await client.reader.readuntil(b"\r\n\r\n")).lower()
        assert b"transfer-encoding" not in head
        assert b"content-length" not in head
        assert b"connection: close" in head
        first = await client.reader.read(100)
        assert first, "while the engine still speaks"
        tone.gate.set()
        rest = await client.reader.read()
        assert b"\r\n0\r\n\r\n" not in rest
        if fields == {}:
            assert len(first + rest) == pytest.approx(3 * AUDIO_BYTES, abs=8)


async def test_http_1_0_notices_an_answer_that_is_cut(tmp_path: Path) -> None:
    async with running_app(config(tmp_path)) as acme, listening(acme.application) as port, wire(port) as client:
        tone = acme.engine_clients["tone"]
        tone.gate.clear()
        tone.gated_from = 1
        tone.fail = fails(1, part=0, times=2)
        body = json.dumps(json.loads(BODY) | {"input": "First comes one sentence. Then comes another one."}).encode()
        await client.send(OLD % len(body) + body)
        await client.reader.readuntil(b"\r\n\r\n")
        tone.gate.set()
        with pytest.raises(ConnectionResetError):
            await client.reader.read()


async def test_http_1_0_gets_a_length_where_it_is_known(port: int) -> None:
    async with wire(port) as client:
        await client.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert await client.reply() == (200, b'{"status":"ok"}')
        assert await client.is_closed()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)


UNFINISHED: dict[str, tuple[bytes, int]] = {
    # what is sent, byte by byte         how many answers it gets first
    "half a line":                     (b"GET /heal", 0),
    "half the headers":                (HEALTH, 0),
    "half of the second one":          (HEALTH + b"\r\n" + HEALTH, 1),
    "a body nobody asked for":         (HEALTH + b"Content-Length: 1000\r\n\r\nab", 1),
}  # fmt: skip


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("data", "answers"), UNFINISHED.values(), ids=UNFINISHED)
async def test_a_caller_that_never_finishes_is_given_up(port: int, data: bytes, answers: int) -> None:
    async with wire(port) as client:
        await client.send(data)
        for _ in range(answers):
            assert (await client.reply())[0] == 200

        async def trickle() -> None:
            while True:  # something comes all the time, and is never all of it
                await client.send(b"a")
                await asyncio.sleep(0.05)

        trickling = asyncio.create_task(trickle())
        assert await client.is_closed()
        trickling.cancel()


async def test_a_caller_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "FIRST_BYTE_SECONDS", 0.3)
    async with running_app(config(tmp_path)) as acme, listening(acme.application) as port, wire(port) as client:
        assert await client.is_closed()


@pytest.mark.usefixtures("impatient")
async def test_who_begins_late_has_all_the_time(port: int) -> None:
    async with wire(port) as client:
        await asyncio.sleep(0.4)
        await client.send(HEALTH + b"\r\n")
        assert (await client.reply())[0] == 200


@pytest.mark.usefixtures("impatient")
async def test_who_asks_in_time_keeps_the_connection(port: int) -> None:
    async with wire(port) as client:
        for _ in range(3):
            await client.send(SPEECH + FRAMED + b"\r\n" + BODY)
            assert (await client.reply())[0] == 200
            await asyncio.sleep(0.4)  # longer than a head may take: between requests nothing is on its way


@pytest.mark.usefixtures("impatient")
async def test_a_body_may_end_after_its_answer(port: int) -> None:
    async with wire(port) as client:
        await client.send(HEALTH + b"Content-Length: 4\r\n\r\nab")
        assert (await client.reply())[0] == 200
        await client.send(b"cd")
        await asyncio.sleep(0.4)
        await client.send(HEALTH + b"\r\n")
        assert (await client.reply())[0] == 200


@pytest.mark.parametrize("stops", [False, True])
async def test_a_long_answer_is_taken_as_slowly_as_it_is_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, stops: bool
) -> None:
    """A file goes to the connection at once, which holds it for a player that reads on, and for nobody else."""
    monkeypatch.setattr(serving, "IDLE_SECONDS", 1)
    size, step = 24 * 1024 * 1024, 1024 * 1024
    async with running_app(config(tmp_path)) as acme, listening(acme.application) as port:
        key = new_key("team-acme.acme", "wav")
        await acme.application.server.store.keep(key, bytes(size))
        allowed = acme.application.server.links.allow(key, 60)
        query = f"expires={allowed.expires}&replica={allowed.replica}&signature={allowed.signature}"
        async with wire(port) as client:  # only now: it is idle until it asks
            await client.send(f"GET /v1/tts/audio/{key}?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await client.reader.readuntil(b"\r\n\r\n")
            taken = 0
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                for _ in range(size // step):
                    taken += len(await client.reader.readexactly(step))
                    await asyncio.sleep(3 if stops and taken == step else 0.1)
        assert (taken < size) if stops else (taken == size)


class Talker(asyncio.Protocol):
    """Says much, and knows when its connection is lost."""

    def __init__(self) -> None:
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(bytes(32 * 1024 * 1024))
        transport.close()  # which waits until all is taken

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux only")
async def test_what_nobody_takes_holds_a_connection_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "UNREAD_SECONDS", 1.0)
    talker = Talker()
    sock = serving._bound("127.0.0.1", 0)
    server = await asyncio.get_running_loop().create_server(lambda: talker, sock=sock)
    with socket.create_connection(sock.getsockname()):
        async with asyncio.timeout(20):
            assert isinstance(await talker.lost, TimeoutError)
    server.close()
