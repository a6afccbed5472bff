"""Every mistake of a client is a 4xx in one shape that names the field, before any engine is asked."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.replies import refusal
from tests.support.server_app import RunningApp, config, running_app
from tts_server.config.schema import QuotaConfig

SPEECH = "/v1/audio/speech"
NATIVE = "/v1/tts/synthesize"
JSON = {"Content-Type": "application/json"}
MEDIA = (415, None, "unsupported_media_type")
GOOD = {"model": "tts-1", "voice": "alloy", "input": "Hello."}


@pytest.fixture
async def acme(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with running_app(config(tmp_path), QuotaConfig(max_text_characters=100)) as running:
        yield running


SPEECH_FIELDS: dict[str, tuple[dict[str, Any], tuple[int, str | None, str]]] = {
    # the story                 what is sent in place        what comes back
    "no model":                 ({"model": ...},             (400, "model", "invalid_parameter")),
    "no text":                  ({"input": ...},             (400, "input", "invalid_parameter")),
    "no voice":                 ({"voice": ...},             (400, "voice", "invalid_parameter")),
    "unknown model":            ({"model": "gpt-9"},         (404, "model", "model_not_found")),
    "empty model":              ({"model": ""},              (400, "model", "invalid_parameter")),
    "model of another type":    ({"model": 7},               (400, "model", "invalid_parameter")),
    "null model":               ({"model": None},            (400, "model", "invalid_parameter")),
    "unknown voice":            ({"voice": "zoe"},           (400, "voice", "voice_not_found")),
    "unknown voice by id":      ({"voice": {"id": "zoe"}},   (400, "voice", "voice_not_found")),
    "voice without id":         ({"voice": {}},              (400, "voice", "invalid_parameter")),
    "voice with a number as id": ({"voice": {"id": 1}},      (400, "voice", "invalid_parameter")),
    "voice of another type":    ({"voice": ["alloy"]},       (400, "voice", "invalid_parameter")),
    "another model's voice":    ({"voice": "mei"},           (400, "voice", "voice_not_found")),
    "unknown format":           ({"response_format": "ogg"}, (400, "response_format", "invalid_parameter")),
    "format in capitals":       ({"response_format": "MP3"}, (400, "response_format", "invalid_parameter")),
    "format of another type":   ({"response_format": []},    (400, "response_format", "invalid_parameter")),
    "too slow":                 ({"speed": 0.24},            (400, "speed", "invalid_parameter")),
    "too fast":                 ({"speed": 4.01},            (400, "speed", "invalid_parameter")),
    "zero speed":               ({"speed": 0},               (400, "speed", "invalid_parameter")),
    "speed as a string":        ({"speed": "1"},             (400, "speed", "invalid_parameter")),
    "speed as a boolean":       ({"speed": True},            (400, "speed", "invalid_parameter")),
    "unknown stream format":    ({"stream_format": "ws"},    (400, "stream_format", "invalid_parameter")),
    "empty text":               ({"input": ""},              (400, "input", "text_rejected")),
    "blank text":               ({"input": " \n\t "},        (400, "input", "text_rejected")),
    "text of another type":     ({"input": ["Hello."]},      (400, "input", "invalid_parameter")),
    "text one too long":        ({"input": "a" * 101},       (400, "input", "text_rejected")),
    "tag that is never closed": ({"input": "<lang=zh>x"},    (400, "input", "text_rejected")),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), SPEECH_FIELDS.values(), ids=SPEECH_FIELDS)
async def test_a_wrong_field_is_named(acme: RunningApp, fields: dict[str, Any], expected: tuple[int, str, str]) -> None:
    body = {name: value for name, value in (GOOD | fields).items() if value is not ...}
    reply = await acme.client.post(SPEECH, json=body)
    assert refusal(reply) == expected
    assert acme.spoken == 0


NATIVE_FIELDS: dict[str, tuple[dict[str, Any], tuple[int, str | None, str]]] = {
    "no text":                ({"text": ...},                       (400, "text", "invalid_parameter")),
    "empty text":             ({"text": ""},                        (400, "text", "text_rejected")),
    "text too long":          ({"text": "a" * 101},                 (400, "text", "text_rejected")),
    "OpenAI's field":         ({"input": "Hello."},                 (400, "input", "invalid_parameter")),
    "unknown field":          ({"pitch": 2},                        (400, "pitch", "invalid_parameter")),
    "unknown option":         ({"options": {"seed": 2}},            (400, "options.seed", "invalid_parameter")),
    "options of another type": ({"options": "fp32"},                (400, "options", "invalid_parameter")),
    "unknown voice":          ({"voice": "zoe"},                    (400, "voice", "voice_not_found")),
    "unknown model":          ({"model": "gpt-9"},                  (404, "model", "model_not_found")),
    "unknown language":       ({"language": "fr"},                  (400, "language", "invalid_parameter")),
    "no language":            ({"language": "<en>"},                (400, "language", "invalid_parameter")),
    "unknown format":         ({"format": "ogg"},                   (400, "format", "invalid_parameter")),
    "rate of no format":      ({"sample_rate": 12345},              (400, "sample_rate", "invalid_parameter")),
    "rate as a string":       ({"sample_rate": "24000"},            (400, "sample_rate", "invalid_parameter")),
    "rate of another format": ({"sample_rate": 44100, "format": "opus"}, (400, "sample_rate", "invalid_parameter")),
    "unknown precision":      ({"options": {"precision": "fp8"}},   (400, "options.precision", "invalid_parameter")),
    "precision not allowed":  ({"options": {"precision": "fp16"}}, (400, "options.precision", "precision_not_allowed")),
    "too fast":               ({"speed": 5},                        (400, "speed", "invalid_parameter")),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), NATIVE_FIELDS.values(), ids=NATIVE_FIELDS)
async def test_the_native_route_names_it_too(
    acme: RunningApp, fields: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    body = {name: value for name, value in ({"text": "Hello."} | fields).items() if value is not ...}
    reply = await acme.client.post(NATIVE, json=body)
    assert refusal(reply) == expected
    assert acme.spoken == 0


TOO_LARGE = b'{"model": "tts-1", "voice": "alloy", "input": "Hello.", "speed": 1e999}'

BODIES: dict[str, tuple[bytes, dict[str, str], tuple[int, str | None, str]]] = {
    "empty":               (b"", JSON, (400, None, "invalid_request")),
    "no JSON":             (b"input=Hello", JSON, (400, None, "invalid_request")),
    "cut off":             (b'{"input": "Hel', JSON, (400, None, "invalid_request")),
    "an array":            (b"[1]", JSON, (400, None, "invalid_request")),
    "a string":            (b'"Hello."', JSON, (400, None, "invalid_request")),
    "null":                (b"null", JSON, (400, None, "invalid_request")),
    "not UTF-8":           (b'{"input": "\xff\xfe"}', JSON, (400, None, "invalid_request")),
    "UTF-16":              ('{"input": "Hi"}'.encode("utf-16"), JSON, (400, None, "invalid_request")),
    "NaN":                 (b'{"speed": NaN}', JSON, (400, None, "invalid_request")),
    "Infinity":            (b'{"speed": -Infinity}', JSON, (400, None, "invalid_request")),
    "a number too large":  (TOO_LARGE, JSON, (400, "speed", "invalid_parameter")),
    "ten thousand digits": (b'{"speed": ' + b"9" * 10_000 + b"}", JSON, (400, None, "invalid_request")),
    "a field twice":       (b'{"input": "a", "input": "b"}', JSON, (400, "input", "invalid_request")),
    "very deep":           (b"[" * 60_000, JSON, (400, None, "invalid_request")),
    "a deep object":       (b'{"a":' * 11_000 + b"1" + b"}" * 11_000, JSON, (400, None, "invalid_request")),
    "a form":              (b"input=Hello", {"Content-Type": "application/x-www-form-urlencoded"}, MEDIA),
    "no content type":     (json.dumps(GOOD).encode(), {}, MEDIA),
    "text":                (json.dumps(GOOD).encode(), {"Content-Type": "text/plain"}, MEDIA),
    "another charset":     (json.dumps(GOOD).encode(), {"Content-Type": "application/json; charset=latin-1"}, MEDIA),
    "compressed":          (b"\x1f\x8b", JSON | {"Content-Encoding": "gzip"}, MEDIA),
    "huge":                (b'{"input": "' + b"a" * 100_000 + b'"}', JSON, (413, None, "body_too_large")),
    "said to be huge":     (b"{}", JSON | {"Content-Length": "99999999999"}, (413, None, "body_too_large")),
}  # fmt: skip


@pytest.mark.parametrize("path", [SPEECH, NATIVE])
@pytest.mark.parametrize(("body", "headers", "expected"), BODIES.values(), ids=BODIES)
async def test_a_wrong_body_is_refused(
    acme: RunningApp, path: str, body: bytes, headers: dict[str, str], expected: tuple[int, str, str]
) -> None:
    reply = await acme.client.post(path, content=body, headers=headers)
    found = refusal(reply)
    assert found == expected or (path == NATIVE and found[0] == expected[0] == 400)
    assert acme.spoken == 0


ROUTES: dict[str, tuple[str, str, tuple[int, str | None, str]]] = {
    "no such route":         ("GET", "/v2/audio", (404, None, "not_found")),
    "the root":              ("GET", "/", (404, None, "not_found")),
    "speech by GET":         ("GET", SPEECH, (405, None, "method_not_allowed")),
    "synthesize by DELETE":  ("DELETE", NATIVE, (405, None, "method_not_allowed")),
    "models by POST":        ("POST", "/v1/models", (405, None, "method_not_allowed")),
    "readyz by PUT":         ("PUT", "/readyz", (405, None, "method_not_allowed")),
    "unknown model":         ("GET", "/v1/models/gpt-9", (404, "model", "model_not_found")),
    "a link without a sign": ("GET", "/v1/tts/audio/acme/x.mp3", (403, None, "permission_denied")),
    "a link out of its folder": ("GET", "/v1/tts/audio/..%2f..%2fetc%2fpasswd?expires=9", (410, None, "audio_gone")),
    "metrics":               ("GET", "/metrics", (404, None, "not_found")),
}  # fmt: skip


@pytest.mark.parametrize(("method", "path", "expected"), ROUTES.values(), ids=ROUTES)
async def test_a_wrong_address_is_refused(
    acme: RunningApp, method: str, path: str, expected: tuple[int, str, str]
) -> None:
    assert refusal(await acme.client.request(method, path)) == expected


async def test_whoever_forgot_the_version_is_reminded(acme: RunningApp) -> None:
    reply = await acme.client.post("/audio/speech", json={})
    assert refusal(reply) == (404, None, "not_found")
    assert "/v1/" in reply.json()["error"]["message"]


async def test_a_refused_method_says_which_one_is_right(acme: RunningApp) -> None:
    assert (await acme.client.get(SPEECH)).headers["allow"] == "POST"


async def test_a_huge_body_without_a_length_is_refused_while_it_comes(acme: RunningApp) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b" " * 100_000

    reply = await acme.client.post(SPEECH, content=body(), headers=JSON)
    assert refusal(reply) == (413, None, "body_too_large")


async def test_the_openai_route_ignores_what_it_does_not_know(acme: RunningApp) -> None:
    reply = await acme.speech(instructions="Cheerfully.", user=None, speed=None, stream_format=None)
    assert reply.status_code == 200


async def test_a_field_is_named_briefly_however_long_it_is(acme: RunningApp) -> None:
    reply = await acme.synthesize(**{"x" * 5000: 1})
    status, param, _ = refusal(reply)
    assert status == 400
    assert len(param or "") == 64


async def test_an_allowed_precision_is_listed_where_another_is_refused(acme: RunningApp) -> None:
    reply = await acme.synthesize(options={"precision": "fp16"})
    assert "fp32, int8" in reply.json()["error"]["message"]


@pytest.mark.parametrize("text", ["Hi \ud83d there.", "\ud800", "bad \ud800 half", "\ude00\ud83d", "a\udfff"])
@pytest.mark.parametrize(("path", "field"), [(SPEECH, "input"), (NATIVE, "text")])
async def test_half_of_a_surrogate_pair_is_refused(acme: RunningApp, path: str, field: str, text: str) -> None:
    body = (GOOD if path == SPEECH else {}) | {field: text}
    reply = await acme.client.post(path, content=json.dumps(body), headers=JSON)
    assert refusal(reply) == (400, field, "invalid_parameter")
    assert "surrogate" in reply.json()["error"]["message"]
    assert acme.spoken == 0


@pytest.mark.parametrize("text", ['"Hi \\ud83d\\ude00 there."', '"Grüße 😀"', '"\\u00e9"'])
async def test_a_whole_pair_is_a_character(acme: RunningApp, text: str) -> None:
    body = json.dumps(GOOD | {"input": 0}).replace('"input": 0', f'"input": {text}')
    assert (await acme.client.post(SPEECH, content=body.encode(), headers=JSON)).status_code == 200
    assert acme.engine_clients["tone"].spoken[0].text == json.loads(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([
    "model", "input", "voice", "response_format", "speed", "stream_format", "text", "language", "format",
    "sample_rate", "options", "precision",
])  # fmt: skip
LIKELY = st.sampled_from([
    "tts-1", "alloy", "Hello.", "mp3", "wav", "flac", "pcm", "sse", "audio", "zh", 1, 0.25, 24_000,
    {"precision": "int8"}, {"id": "alloy"}, "<lang=zh>你好</lang>", "</lang>", "\x00\ud800", "…", "١٢٣", "a b" * 20,
])  # fmt: skip
OBJECTS = st.dictionaries(NAMES | st.text(max_size=8), LIKELY | VALUES, max_size=10)
RAW = st.binary(max_size=200) | OBJECTS.map(lambda found: json.dumps(found).encode())
TYPES = st.sampled_from(
    ["application/json", "application/json; charset=utf-8", "text/plain", "application/x+json", "x"]
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from([SPEECH, NATIVE]), body=RAW, kind=TYPES, accept=st.sampled_from(["*/*", "audio/mpeg"]))
async def test_no_body_is_the_servers_fault(acme: RunningApp, path: str, body: bytes, kind: str, accept: str) -> None:
    reply = await acme.client.post(path, content=body, headers={"Content-Type": kind, "Accept": accept})
    assert reply.status_code == 200 or 400 <= refusal(reply)[0] < 500


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.dictionaries(NAMES, LIKELY | VALUES, max_size=4), path=st.sampled_from([SPEECH, NATIVE]))
async def test_no_field_is_the_servers_fault(acme: RunningApp, path: str, fields: dict[str, Any]) -> None:
    base = GOOD if path == SPEECH else {"text": "Hello."}
    reply = await acme.client.post(path, content=json.dumps(base | fields).encode(), headers=JSON)
    assert reply.status_code == 200 or 400 <= refusal(reply)[0] < 500


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["Authorization", "Accept", "X-Request-ID", "Host", "Content-Encoding", "Content-Length"]),
    value=st.binary(max_size=40),
)
@example(name="Content-Length", value="²".encode("latin-1"))  # a digit to Python, and no number
async def test_no_header_is_the_servers_fault(acme: RunningApp, name: str, value: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (name.encode(), value)]
    reply = await acme.client.post(NATIVE, content=b'{"text": "Hello."}', headers=headers)
    assert reply.status_code == 200 or 400 <= refusal(reply)[0] < 500


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.text(max_size=60), expires=st.text(max_size=20), signature=st.text(max_size=20), replica=st.text(max_size=9)
)
async def test_no_link_is_the_servers_fault(
    acme: RunningApp, key: str, expires: str, signature: str, replica: str
) -> None:
    known = acme.application.server.links.replica
    for claimed in (replica, known):
        query = {"expires": expires, "signature": signature, "replica": claimed}
        reply = await acme.client.get(f"/v1/tts/audio/{quote(key, errors='replace')}", params=query)
        assert 400 <= refusal(reply)[0] < 500
