"""The process: alone on a laptop, on wrong command lines, when its engine dies, and when it is told to end."""

import asyncio
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.server_process import PROGRAM, Running, espeak_alone, running
from tests.support.timeouts import HANG_SECONDS
from tts_server.config.schema import MODEL_EXIT_CODE

BODY = {"model": "tts-1", "voice": "alloy", "input": "Hello from the laptop.", "response_format": "wav"}
LONG = BODY | {"input": "One sentence comes after the other. " * 100, "response_format": "pcm"}


def test_alone_it_speaks_and_says_what_it_has(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        reply = httpx.post(f"{server.url}/v1/audio/speech", json=BODY, timeout=HANG_SECONDS)
        assert reply.status_code == 200
        assert len(reply.content) > 30_000
        said = (tmp_path / "errors").read_text()
        assert said.startswith("heart: 1 voices in 1 languages: en-us\nespeak: ")
        assert " en-us " in said
        assert f"curl {server.url}/v1/audio/speech" in said
        link = httpx.post(
            f"{server.url}/v1/tts/synthesize", json={"text": "你好，世界。 Hello."}, timeout=HANG_SECONDS
        ).json()
        assert httpx.get(link["audio_url"], timeout=HANG_SECONDS).headers["content-type"] == "audio/mpeg"
        assert server.end() == 0


def test_what_few_servers_need_is_not_imported_before_it_is_needed() -> None:
    """Libraries that tell languages, write numbers and reach shared stores would take most of the time to start."""
    unneeded = "{'py3langid', 'wetext', 'kaldifst', 'contractions', 'redis', 'minio'}"
    program = (
        f"import sys, tts_server.app.build, tts_server.inference.worker.main; print({unneeded} & sys.modules.keys())"
    )
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout == b"set()\n"


def test_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    with running(tmp_path, espeak_alone(tmp_path)) as server, httpx.Client(timeout=HANG_SECONDS) as client:
        client.get(f"{server.url}/healthz")  # a connection that stays open
        begun = time.monotonic()
        assert server.end(signal.SIGINT) == 0
        assert time.monotonic() - begun < 20, "the connection would be closed after 75 s"


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROGRAM), "--port=0", "--metrics-port=0", *arguments],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), **environment},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"models":\n  [}', "is not valid JSON: see line 2"),
        ('{"models": []}', "models"),
        ('{"models": [{"name": "espeak"}], "colour": "red"}', "colour: unknown field"),
        (
            '{"models": [{"name": "espeak", "languages": "en"}, {}], "maxWaitSeconds": 0, "colour": "red"}',
            "models.0.languages: it should be a valid array; models.1.name: the field is required, add it; "
            "maxWaitSeconds: it should be greater than 0; colour: unknown field, remove it or correct its name",
        ),
        ('{"models": [{"name": "espeak"}], "voiceAliases": {"a": "b"}}', "voiceAliases"),
        (
            '{"models": [{"name": "espeak"}], "storage": {"s3": {"endpoint": "http://minio:port", "bucket": "abc",'
            ' "accessKeyFile": "a", "secretKeyFile": "s"}}}',
            "storage.s3.endpoint",
        ),
        (
            '{"models": [{"name": "espeak"}], "storage": {"s3": {"endpoint": "http://minio", "bucket": "abc",'
            ' "region": "eu 1", "accessKeyFile": "a", "secretKeyFile": "s"}}}',
            "storage.s3.region",
        ),
    ],
)
def test_a_broken_configuration_ends_it_with_a_reason(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "server.json"
    file.write_text(content)
    ended = run(tmp_path, f"--config={file}")
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout


def test_a_broken_configuration_is_told_before_the_server_is_imported(tmp_path: Path) -> None:
    (tmp_path / "fastapi.py").write_text("raise SystemExit('the server is imported')")
    (tmp_path / "server.json").write_text('{"models": []}')
    ended = run(tmp_path, f"--config={tmp_path / 'server.json'}", PYTHONPATH=str(tmp_path))
    assert (ended.returncode, "the configuration cannot be used" in ended.stderr) == (1, True), ended.stderr


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ('{"name": "espeak", "voices": [{"name": "nobody"}]}', "espeak has no voice that its engine has"),
        (
            '{"name": "heart", "engine": {"type": "Onnx", "onnx": {"family": "Hibari", "files": {"model": "/none"}}}}',
            "the engine does not start: There is no file /none",
        ),
    ],
)
def test_a_model_that_cannot_be_served_ends_it_with_an_exit_code_of_its_own(
    tmp_path: Path, model: str, said: str
) -> None:
    """The operator then quotes the sentence in the status of the TTSModel."""
    file = tmp_path / "server.json"
    file.write_text(f'{{"models": [{model}]}}')
    ended = run(tmp_path, f"--config={file}")
    assert (ended.returncode, said in ended.stderr) == (MODEL_EXIT_CODE, True), ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout


def test_a_file_that_is_not_there_ends_it_with_a_reason(tmp_path: Path) -> None:
    ended = run(tmp_path, f"--quota={tmp_path / 'none.json'}")
    assert (ended.returncode, "No such file" in ended.stderr) == (1, True)


def test_a_port_that_is_taken_ends_it_with_a_reason(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for option, advice in ((f"--port={port}", "--port"), (f"--metrics-port={port}", "--metrics-port")):
            ended = run(tmp_path, option)
            assert ended.returncode == 1
            assert str(port) in ended.stderr
            assert advice in ended.stderr


def test_speech_and_metrics_do_not_share_a_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    ended = run(tmp_path, f"--port={port}", f"--metrics-port={port}")
    assert ended.returncode == 1
    said = f"port {port} cannot be used: Address already in use. Choose another one with --metrics-port."
    assert said in ended.stderr


def test_an_address_that_is_another_machines_ends_it_with_a_reason(tmp_path: Path) -> None:
    ended = run(tmp_path, "--host=192.0.2.1", "--port=0")
    assert ended.returncode == 1
    assert "192.0.2.1 is not an address of this machine: choose another one with --host." in ended.stderr


def test_without_espeak_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "espeakng_loader.py").write_text("raise ImportError('No module named espeakng_loader')")
    ended = run(tmp_path, PYTHONPATH=str(tmp_path))
    assert ended.returncode == MODEL_EXIT_CODE
    assert "pip install 'ttsfleet[server,espeak]'" in ended.stderr


HANGS_IN_ITS_IMPORT = """
import pathlib, time
pathlib.Path(__file__).with_name("here").touch()
while True:
    try:
        time.sleep(3600)
    except BaseException:
        pass
"""


@pytest.mark.parametrize("module", ["pydantic", "structlog", "fastapi", "uvicorn", "numpy"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_imports_ends_it_at_once(tmp_path: Path, module: str, number: signal.Signals) -> None:
    """Exit code 0 tells that a handler ended it: process 1 of a container is not ended without one."""
    (tmp_path / f"{module}.py").write_text(HANGS_IN_ITS_IMPORT)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    process = subprocess.Popen([str(PROGRAM), "--port=0", "--metrics-port=0"], env=environment)
    try:
        deadline = time.monotonic() + HANG_SECONDS
        while not (tmp_path / "here").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(HANG_SECONDS) == 0
    finally:
        process.kill()
        process.wait()


NOBODY_CATCHES = """
import asyncio, threading
from tts_server.app.serve import run
from tts_server.telemetry.logging import configure_logging, log_crashes

async def fail(how):
    loop = asyncio.get_running_loop()
    if how == "task":
        await asyncio.wait([loop.create_task(fail("now"))])
    elif how == "callback":
        loop.call_soon(int, "secret words")
        await asyncio.sleep(0)
    elif how == "thread":
        thread = threading.Thread(target=int, args=["secret words"])
        thread.start()
        thread.join()
    else:
        int("secret words")

configure_logging("debug")
log_crashes()
run(fail("{how}"))
"""


@pytest.mark.parametrize(
    ("how", "event", "code"),
    [
        ("task", "failed in the background", 0),
        ("callback", "failed in the background", 0),
        ("thread", "a thread crashed", 0),
        ("main", "crashed", 1),
    ],
)
def test_what_nobody_catches_says_no_more(how: str, event: str, code: int) -> None:
    command = [sys.executable, "-c", NOBODY_CATCHES.replace("{how}", how)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    (line,) = [json.loads(line) for line in ended.stdout.splitlines()]
    assert (line["event"], line["error"], ended.returncode) == (event, "ValueError", code)
    assert "secret" not in ended.stdout
    assert ended.stderr == ""


def test_a_scraper_that_does_not_wait_is_a_line_of_the_log(tmp_path: Path) -> None:
    with running(tmp_path, espeak_alone(tmp_path)) as server:
        with socket.create_connection(("127.0.0.1", server.metrics_port)) as scraper:
            scraper.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() resets it
            scraper.sendall(b"GET /metrics HTTP/1.1\r\n")
        deadline = time.monotonic() + HANG_SECONDS
        while not (told := [line for line in server.lines() if line["event"] == "metrics not sent"]):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert told[0]["error"] == "ConnectionResetError"
        assert "Traceback" not in (tmp_path / "errors").read_text()


def test_a_log_that_cannot_be_written_fails_nobody(tmp_path: Path) -> None:
    """As `tts-server | head` has it, or a full disk."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    reader, writer = os.pipe()
    os.close(reader)
    errors = tmp_path / "errors"
    with errors.open("wb") as err:
        command = [str(PROGRAM), f"--port={port}", "--metrics-port=0"]
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        process = subprocess.Popen(command, stdout=writer, stderr=err, env=environment)
    os.close(writer)
    try:
        deadline = time.monotonic() + HANG_SECONDS
        while "Listening on" not in errors.read_text():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for _ in range(2):
            assert (
                httpx.post(f"http://127.0.0.1:{port}/v1/audio/speech", json=BODY, timeout=HANG_SECONDS).status_code
                == 200
            )
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        assert "Traceback" not in errors.read_text()
    finally:
        process.kill()
        process.wait()


def test_an_entry_pool_speaks_through_a_member_pool(tmp_path: Path) -> None:
    """Two pools of one tenant: the entry prepares and counts, the member only speaks, and only for the entry."""
    internal, voices = tmp_path / "internal", [{"name": "en-us"}, {"name": "cmn"}]
    internal.mkdir()
    (internal / "token").write_text("between-pools")

    def configure(folder: Path, **changes: object) -> str:
        folder.mkdir()
        config = {
            "tenant": "team-acme.acme",
            "auth": {"modes": ["None"], "internalDirectory": str(internal)},
            "storage": {"directory": str(folder / "audio")},
        }
        (folder / "server.json").write_text(json.dumps(config | changes))
        return f"--config={folder / 'server.json'}"

    patient = {"firstAudioTimeoutSeconds": HANG_SECONDS}
    model = {"name": "heavy", "languages": ["en", "zh"], "voices": voices, **patient}
    member_config = configure(tmp_path / "member", role="Member", models=[model])
    with running(tmp_path / "member", member_config) as member:
        url = {"type": "Pool", "url": member.url}
        entry_config = configure(tmp_path / "entry", models=[{"name": "light", **patient}, model | {"engine": url}])
        with running(tmp_path / "entry", entry_config) as entry:
            text = "Hello from two pools. And <lang=zh> is text here."
            asked = {"model": "heavy", "voice": "en-us", "input": text, "response_format": "wav"}
            reply = httpx.post(f"{entry.url}/v1/audio/speech", json=asked, timeout=HANG_SECONDS)
            assert reply.status_code == 200
            assert reply.headers["x-tts-engine"] == "heavy"
            assert len(reply.content) > 24_000 * 2 * 2
            assert httpx.post(f"{member.url}/v1/audio/speech", json=asked, timeout=HANG_SECONDS).status_code == 401
            heard = [line for line in member.lines() if line["event"] == "request" and line["status"] == 200]
            assert sum(line["text_len"] for line in heard) == len(text) - 1, "segment by segment"
            member.end()
            assert httpx.post(f"{entry.url}/v1/audio/speech", json=asked, timeout=HANG_SECONDS).status_code == 502
            asked = asked | {"model": "light"}
            assert httpx.post(f"{entry.url}/v1/audio/speech", json=asked, timeout=HANG_SECONDS).status_code == 200


def test_an_engine_that_is_killed_is_replaced(tmp_path: Path) -> None:
    patient = {"firstAudioTimeoutSeconds": HANG_SECONDS}
    heart = {"name": "heart", "engine": {"type": "Onnx", "onnx": {"family": "Hibari"}}, **patient}
    models = {"models": [heart, {"name": "espeak", **patient}], "modelAliases": {"tts-1": "heart"}}
    rest = {"voiceAliases": {"alloy": "heart"}, "storage": {"directory": str(tmp_path / "audio")}}
    (tmp_path / "server.json").write_text(json.dumps(models | rest | {"maxWaitSeconds": HANG_SECONDS}))
    with running(tmp_path, f"--config={tmp_path / 'server.json'}") as server:
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        # The one that waits for work is found dead and replaced: the next caller notices nothing.
        assert httpx.post(f"{server.url}/v1/audio/speech", json=BODY, timeout=HANG_SECONDS).status_code == 200
        assert 'tts_engine_restarts_total{model="espeak",reason="crashed"} 1.0' in server.metrics()
        assert httpx.get(f"{server.url}/readyz", timeout=HANG_SECONDS).status_code == 200


def raw(server: Running, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=HANG_SECONDS) as connection:
        connection.sendall(data)
        received = b""
        while part := connection.recv(65_536):
            received += part
        return received


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nzz\r\n",
        b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_no_500(tmp_path_factory: pytest.TempPathFactory, server: Running, data: bytes) -> None:
    received = raw(server, data)
    assert b" 500 " not in received.partition(b"\r\n")[0]
    assert httpx.get(f"{server.url}/healthz", timeout=HANG_SECONDS).status_code == 200


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    with running(folder, espeak_alone(folder)) as running_server:
        yield running_server


def test_a_huge_body_is_answered_although_the_client_sends_on(server: Running) -> None:
    reply = httpx.post(
        f"{server.url}/v1/audio/speech",
        content=b" " * 6_000_000,
        headers={"Content-Type": "application/json"},
        timeout=HANG_SECONDS,
    )
    assert reply.status_code == 413
    assert reply.json()["error"]["code"] == "body_too_large"


async def test_a_caller_that_hangs_up_frees_the_engine(server: Running) -> None:
    async with httpx.AsyncClient(timeout=HANG_SECONDS) as client:
        async with client.stream("POST", f"{server.url}/v1/audio/speech", json=LONG) as reply:
            async for _ in reply.aiter_bytes():
                break
        assert (await client.post(f"{server.url}/v1/audio/speech", json=BODY)).status_code == 200
    async with asyncio.timeout(HANG_SECONDS):
        while 'tts_inflight_requests{tenant="local"} 0.0' not in server.metrics():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)


async def test_sigterm_under_load_drops_nothing(tmp_path: Path) -> None:
    """Callers keep asking, each over its connection, until that is closed: a cluster leads the next one elsewhere."""
    with running(tmp_path, espeak_alone(tmp_path)) as server:
        outcomes: list[str] = []

        async def keep_asking(client: httpx.AsyncClient) -> None:
            told = False
            while not told:
                reply = await client.post(f"{server.url}/v1/audio/speech", json=BODY)
                told = reply.headers.get("connection") == "close"
                outcomes.append("ok" if reply.status_code == 200 and len(reply.content) > 30_000 else str(reply))

        async with asyncio.TaskGroup() as group:
            for _ in range(6):
                group.create_task(_with_client(keep_asking))
            while len(outcomes) < 30:  # noqa: ASYNC110 - the callers count
                await asyncio.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            before = len(outcomes)
        assert set(outcomes) == {"ok"}
        assert len(outcomes) > before, "it went on while callers had connections"
        assert server.process.wait(HANG_SECONDS) == 0
        events = [line["event"] for line in server.lines()]
        assert events.index("draining") < events.index("stopped")


async def test_a_long_reply_ends_whole_after_sigterm(tmp_path: Path) -> None:
    with running(tmp_path, espeak_alone(tmp_path, drainSeconds=int(HANG_SECONDS))) as server:
        async with (
            httpx.AsyncClient(timeout=30) as client,
            client.stream("POST", f"{server.url}/v1/audio/speech", json=LONG) as reply,
        ):
            parts = reply.aiter_bytes()
            received = len(await anext(parts))
            server.process.send_signal(signal.SIGTERM)
            async for part in parts:
                received += len(part)
        assert received > 24_000 * 2 * 100
        assert server.process.wait(HANG_SECONDS) == 0


async def test_readiness_falls_first_and_connections_are_told(tmp_path: Path) -> None:
    with running(tmp_path, espeak_alone(tmp_path)) as server:
        async with httpx.AsyncClient(timeout=HANG_SECONDS) as client:
            assert (await client.get(f"{server.url}/readyz")).status_code == 200
            server.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(HANG_SECONDS):
                while (reply := await client.get(f"{server.url}/readyz")).status_code == 200:
                    pass
            assert reply.json()["error"]["code"] == "draining"
            assert reply.headers["connection"] == "close"
        assert server.process.wait(HANG_SECONDS) == 0


async def test_a_reply_that_nobody_reads_does_not_hold_the_end(tmp_path: Path) -> None:
    with running(tmp_path, espeak_alone(tmp_path, drainSeconds=1)) as server:
        text = {"model": "espeak", "voice": "en-us", "response_format": "wav", "input": "Many words. " * 340}
        body = json.dumps(text).encode()
        request = (
            b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(request % len(body) + body)
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
            begun = time.monotonic()
            assert server.end(within_seconds=40) == 0
            assert time.monotonic() - begun < 30, "the reply would take longer"


async def _with_client(work: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        await work(client)
