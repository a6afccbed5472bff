"""Traces: one for each request, over every pod that it passes, without a word of what was said."""

import asyncio
import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

import tts_server
from tests.support.server_app import SENTENCES, Call, RunningApp, ToneClient, config, running_app, until
from tests.support.server_process import Running, espeak_alone, running
from tests.support.timeouts import HANG_SECONDS
from tests.support.trace_collector import Collector, Seen, collector
from tts_server.config.schema import CacheConfig, FallbackConfig, QuotaConfig, ServerConfig
from tts_server.errors import EngineCrashed
from tts_server.telemetry.otel import OtelTracing
from tts_server.telemetry.tracing import NoTracing, span, trace_headers
from tts_server.telemetry.tracing_setup import open_tracing

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SECRETS = ("violets", "key-of-a-caller", "made-up", "between-pools")


@pytest.fixture
def seen() -> Iterator[Collector]:
    with collector() as listening:
        yield listening


@asynccontextmanager
async def traced(
    seen: Collector, config: ServerConfig, quota: QuotaConfig | None = None, **engine_clients: ToneClient
) -> AsyncIterator[RunningApp]:
    """An application whose spans are all at the collector when it has ended."""
    async with running_app(config, quota, config_file=None, replica="", **engine_clients) as here:
        here.application.server.tracing = OtelTracing(OTLPSpanExporter(endpoint=f"{seen.url}/v1/traces"), {})
        yield here


def request_span(seen: Collector) -> Seen:
    (only,) = seen.named("request")
    return only


async def test_a_request_is_one_trace_of_its_stages(seen: Collector, tmp_path: Path) -> None:
    settings = config(tmp_path, cache=CacheConfig(enabled=True))
    async with traced(seen, settings, QuotaConfig(requests_per_minute=10)) as here:
        await here.synthesize(text=SENTENCES, voice="alloy", format="wav")
    request = request_span(seen)
    assert request.parent_id == ""
    assert {each.trace_id for each in seen.spans} == {request.trace_id}
    assert {each.parent_id for each in seen.spans if each != request} == {request.span_id}
    names = [each.name for each in seen.spans]
    assert sorted(names) == sorted([
        "request", "admit", "text", "cache", "speak", "speak", "speak", "encode", "store", "settle",
    ])  # fmt: skip
    assert request.attributes == {
        "tts.tenant": "team-acme.acme", "tts.request_id": request.attributes["tts.request_id"],
        "http.route": "/v1/tts/synthesize", "http.response.status_code": 200, "tts.text_characters": len(SENTENCES),
        "tts.model": "tone", "tts.voice": "ann", "tts.audio_seconds": 0.3, "tts.cache": "miss",
    }  # fmt: skip
    assert {each.service for each in seen.spans} == {"tts-server"}
    for each in seen.named("speak"):
        assert each.attributes["tts.model"] == "tone"
        assert each.attributes["tts.voice"] == "ann"
        assert each.events == ("first audio",)
    assert sum(int(each.attributes["tts.text_characters"]) for each in seen.named("speak")) > 50
    (encode,) = seen.named("encode")
    assert 0 <= float(encode.attributes["tts.encode_seconds"]) <= encode.seconds


async def test_requests_at_the_same_time_do_not_mix(seen: Collector, tmp_path: Path) -> None:
    async with traced(seen, config(tmp_path)) as here:
        await asyncio.gather(*(here.speech(input=f"Number {number}.") for number in range(8)))
    requests = {each.trace_id: each.span_id for each in seen.named("request")}
    assert len(requests) == 8
    speaking = seen.named("speak")
    assert len(speaking) == 8
    assert {each.trace_id: each.parent_id for each in speaking} == requests


async def test_a_callers_trace_goes_on_and_its_state_does_not(seen: Collector, tmp_path: Path) -> None:
    async with traced(seen, config(tmp_path)) as here:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "x=violets", "baggage": "y=violets"}
        for sent in (headers, {"traceparent": "nonsense"}, {"traceparent": f"00-{TRACE}-{PARENT}-00"}):
            assert (await here.client.get("/v1/models", headers=sent)).status_code == 200
    first, second = seen.named("request")
    assert (first.trace_id, first.parent_id) == (TRACE, PARENT)
    assert second.trace_id != TRACE
    assert b"violets" not in b"".join(seen.received)


async def test_probes_leave_no_trace(seen: Collector, tmp_path: Path) -> None:
    async with traced(seen, config(tmp_path)) as here:
        for path in ("/healthz", "/readyz"):
            await here.client.get(path)
    assert seen.spans == []


async def test_only_what_we_did_wrong_has_failed(seen: Collector, tmp_path: Path) -> None:
    tone = ToneClient()

    def crash(utterance: int, part: int) -> None:
        raise EngineCrashed("It is gone.")

    async with traced(seen, config(tmp_path), tone=tone) as here:
        assert (await here.speech(voice="made-up")).status_code == 400
        tone.fail = crash
        assert (await here.speech()).status_code == 502
    refused, broken = seen.named("request")
    assert (refused.failed, refused.attributes["tts.error"]) == (False, "voice_not_found")
    assert (broken.failed, broken.attributes["error.type"]) == (True, "engine_crashed")
    assert all(each.failed for each in seen.named("speak"))


async def test_a_reply_by_another_model_shows_both_that_spoke(seen: Collector, tmp_path: Path) -> None:
    tone = ToneClient()

    def crash(utterance: int, part: int) -> None:
        raise EngineCrashed("It is gone.")

    tone.fail = crash
    plain = config(tmp_path)
    models = (plain.models[0].model_copy(update={"fallback": FallbackConfig(model="bass")}), plain.models[1])
    async with traced(seen, config(tmp_path, models=models), tone=tone) as here:
        assert (await here.speech()).headers["x-tts-status"] == "degraded"
    assert [(each.attributes["tts.model"], each.failed) for each in seen.named("speak")] == [
        ("tone", True),
        ("bass", False),
    ]
    assert request_span(seen).attributes["tts.spoken_by"] == "bass"


async def test_a_caller_that_leaves_in_the_middle_is_no_failure(seen: Collector, tmp_path: Path) -> None:
    many = "One. <lang=de>Zwei.</lang> " * 140
    async with traced(seen, config(tmp_path)) as here:
        call = Call(here, {"model": "tone", "voice": "ann", "input": many, "response_format": "pcm"})
        running_call = asyncio.create_task(call.run())
        await until(lambda: call.parts)
        call.gone.set()
        await running_call
    request = request_span(seen)
    assert (request.failed, request.attributes["tts.error"]) == (False, "hung_up")


async def test_a_caller_that_hangs_up_is_seen_to(seen: Collector, tmp_path: Path) -> None:
    tone = ToneClient()
    tone.gate.clear()
    async with traced(seen, config(tmp_path), tone=tone) as here:
        call = Call(here, {"model": "tone", "voice": "ann", "input": "Hello."})
        running_call = asyncio.create_task(call.run())
        await until(lambda: tone.spoken)
        call.gone.set()
        await running_call
        tone.gate.set()
    (speak,) = seen.named("speak")
    assert speak.attributes["tts.cancelled"] is True
    assert not speak.failed
    assert request_span(seen).attributes["http.response.status_code"] == 499


@pytest.fixture
def pools(tmp_path: Path, seen: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Running, Running]]:
    """An entry pool and the member that speaks for it, both real."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", seen.url)
    internal, keys = tmp_path / "internal", tmp_path / "keys"
    internal.mkdir()
    keys.mkdir()
    (internal / "token").write_text("between-pools")
    (keys / "someone").write_text(hashlib.sha256(b"key-of-a-caller").hexdigest())
    auth = {"modes": ["APIKey"], "keysDirectory": str(keys), "internalDirectory": str(internal)}
    model: dict[str, Any] = {"name": "heavy", "voices": [{"name": "en-us"}]}

    def configure(name: str, **changes: object) -> tuple[Path, str]:
        folder = tmp_path / name
        folder.mkdir()
        settings = {"tenant": "team-acme.acme", "auth": auth, "storage": {"directory": str(folder / "audio")}}
        (folder / "server.json").write_text(json.dumps(settings | changes))
        return folder, f"--config={folder / 'server.json'}"

    folder, file = configure("member", role="Member", models=[model])
    with running(folder, file) as member:
        engine = {"type": "Pool", "url": member.url}
        folder, file = configure("entry", models=[model | {"engine": engine}])
        with running(folder, file) as entry:
            yield entry, member


def test_one_trace_spans_both_pods_and_holds_no_word_of_it(pools: tuple[Running, Running], seen: Collector) -> None:
    entry, member = pools
    reply = httpx.post(
        f"{entry.url}/v1/tts/synthesize",
        json={"text": "Roses are red. And violets are blue.", "voice": "en-us"},
        headers={"Authorization": "Bearer key-of-a-caller", "traceparent": f"00-{TRACE}-{PARENT}-01"},
        timeout=HANG_SECONDS,
    )
    assert reply.status_code == 200
    refused = {"text": "violets", "voice": "made-up", "model": "made-up"}
    for key in ("key-of-a-caller", "key-of-a-caller-that-is-none"):
        httpx.post(
            f"{entry.url}/v1/tts/synthesize",
            json=refused,
            headers={"Authorization": f"Bearer {key}"},
            timeout=HANG_SECONDS,
        )
    httpx.get(f"{entry.url}/made-up?violets", timeout=HANG_SECONDS)
    for pool in (entry, member):
        assert pool.end() == 0, "what waits is sent before the end"
    ours = [each for each in seen.spans if each.trace_id == TRACE]
    by_id = {each.span_id: each for each in ours}
    requests = [each for each in ours if each.name == "request"]
    (outer,) = [each for each in requests if each.parent_id == PARENT]
    inner = [each for each in requests if each is not outer]
    assert len(inner) == 2, "segment by segment"
    for each in inner:
        assert by_id[each.parent_id].name == "speak"
        assert by_id[each.parent_id].parent_id == outer.span_id
        assert [child.name for child in ours if child.parent_id == each.span_id and child.name == "speak"]
    assert {"admit", "text", "queue", "speak", "encode", "store", "settle"} <= {each.name for each in ours}
    sent = b"".join(seen.received)
    assert [secret for secret in SECRETS if secret.encode() in sent] == []
    lines = [line for pool in (entry, member) for line in pool.lines() if line.get("trace_id") == TRACE]
    assert len(lines) == 3


def test_metrics_name_a_trace_as_example_and_engines_know_no_collector(
    tmp_path: Path, seen: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", seen.url)
    with running(tmp_path, espeak_alone(tmp_path)) as server:
        body = {"model": "tts-1", "voice": "alloy", "input": "Hello."}
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        assert (
            httpx.post(f"{server.url}/v1/audio/speech", json=body, headers=headers, timeout=HANG_SECONDS).status_code
            == 200
        )
        engines = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        assert engines
        assert not any(b"OTEL_" in Path(f"/proc/{engine}/environ").read_bytes() for engine in engines)
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        metrics = httpx.get(
            f"http://127.0.0.1:{server.metrics_port}/metrics", headers=accept, timeout=HANG_SECONDS
        ).text
    examples = [line.split("{")[0] for line in metrics.splitlines() if f'# {{trace_id="{TRACE}"}}' in line]
    assert sorted(examples) == ["tts_first_audio_seconds_bucket", "tts_request_latency_seconds_bucket"]


def test_a_collector_that_hangs_costs_no_request(
    tmp_path: Path, seen: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", seen.url)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "32")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    seen.answers.clear()
    with (
        running(tmp_path, espeak_alone(tmp_path)) as server,
        httpx.Client(base_url=server.url, timeout=HANG_SECONDS) as client,
    ):
        begun = time.monotonic()
        for _ in range(40):  # more spans than the queue holds
            assert client.get("/v1/models").status_code == 200
        assert time.monotonic() - begun < 10, "it hangs for ten seconds, each time"
        begun = time.monotonic()
        assert server.end(within_seconds=60) == 0
        assert time.monotonic() - begun < 30, "four batches would take forty seconds"


async def test_a_collector_that_is_away_costs_no_request(tmp_path: Path) -> None:
    async with running_app(config(tmp_path)) as here:
        here.application.server.tracing = OtelTracing(OTLPSpanExporter(endpoint="http://127.0.0.1:9/v1/traces"), {})
        for _ in range(8):
            assert (await here.speech()).status_code == 200


def test_nothing_asked_for_is_nothing_paid() -> None:
    assert isinstance(open_tracing({}), NoTracing)
    with span("anything") as outer, span("else", current=True) as inner:
        assert not outer.is_recording()
        assert not inner.is_recording()
        assert trace_headers() == {}
    names = "'tts_server.telemetry.otel', 'opentelemetry.exporter'"
    program = f"import sys, tts_server.cli; print([name for name in ({names}) if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout == b"[]\n"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "the only supported protocol is http/protobuf"),
        ({"OTEL_TRACES_EXPORTER": "jaeger"}, "OTEL_TRACES_EXPORTER"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "me:pa55word@collector:4318"}, "must be an address"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:43180000/v1/traces"}, "must be an address"),
        ({"OTEL_TRACES_EXPORTER": "none"}, ""),
        ({"OTEL_SDK_DISABLED": "true"}, ""),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, "OTEL_"),
    ],
)
def test_what_cannot_be_sent_is_said_and_nothing_else_stops(
    variables: dict[str, str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"} | variables
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert isinstance(open_tracing(environment), NoTracing)
    heard = capsys.readouterr().out
    assert ("traces not sent" in heard) == bool(said)
    assert said in heard


def test_without_the_extra_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tts_server.telemetry.otel", None)
    assert isinstance(open_tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}), NoTracing)
    assert "pip install 'ttsfleet[tracing]'" in capsys.readouterr().out


def test_only_the_module_that_sends_traces_needs_the_sdk() -> None:
    """The import contracts see `opentelemetry` as a whole: its API, which every server has, and the SDK."""
    extra = re.compile(r"^\s*(from|import) opentelemetry\.(sdk|exporter|proto)\b", re.MULTILINE)
    package = Path(tts_server.__path__[0])
    importers = [file for file in package.rglob("*.py") if extra.search(file.read_text(encoding="utf-8"))]
    assert [str(file.relative_to(package)) for file in importers] == ["telemetry/otel.py"]
