"""Addresses: slashes too many, links behind proxies, and pages of other origins."""

from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.support.server_app import RunningApp, config, running_app
from tts_server.config.schema import AuthConfig, AuthMode, CorsConfig, ServerConfig

PAGE = "https://app.example"
ASKING = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "speech.example", "X-Forwarded-Prefix": "/tts"}


@pytest.fixture
async def acme(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with running_app(config(tmp_path)) as running:
        yield running


@pytest.mark.parametrize("path", ["/v1/audio/speech/", "//v1/audio/speech", "/v1//audio/speech//"])
async def test_a_slash_too_many_leads_to_the_right_place(acme: RunningApp, path: str) -> None:
    body = {"model": "tts-1", "voice": "alloy", "input": "Hello."}
    assert (await acme.client.post(f"http://acme.test{path}", json=body)).status_code == 200


@pytest.mark.parametrize("path", ["//v1/models", "/v1/models/", "//healthz", "/v1/audio/voices/"])
async def test_so_it_does_for_what_is_read(acme: RunningApp, path: str) -> None:
    assert (await acme.client.get(f"http://acme.test{path}")).status_code == 200


async def test_an_encoded_slash_belongs_to_a_name(acme: RunningApp) -> None:
    assert (await acme.client.get("/v1/models/%2F")).json()["error"]["code"] == "model_not_found"


PROXY = AuthConfig(trusted_proxies=(ip_network("127.0.0.1/32"),))
ELSEWHERE = AuthConfig(trusted_proxies=(ip_network("10.0.0.0/8"),))
LINKS: dict[str, tuple[dict[str, object], dict[str, str], str]] = {
    "no proxy": ({}, {}, "http://acme.test/v1/"),
    "nobody is trusted": ({}, FORWARDED, "http://acme.test/v1/"),
    "another is trusted": ({"auth": ELSEWHERE}, FORWARDED, "http://acme.test/v1/"),
    "the proxy is trusted": ({"auth": PROXY}, FORWARDED, "https://speech.example/tts/v1/"),
    "a public URL": ({"public_url": "https://tts.example:8443/acme/"}, {}, "https://tts.example:8443/acme/v1/"),
    "it wins": ({"public_url": "https://tts.example", "auth": PROXY}, FORWARDED, "https://tts.example/v1/"),
}


@pytest.mark.parametrize(("changes", "headers", "expected"), LINKS.values(), ids=LINKS)
async def test_a_link_begins_as_the_caller_reached_the_server(
    tmp_path: Path, changes: dict[str, object], headers: dict[str, str], expected: str
) -> None:
    async with running_app(config(tmp_path, **changes)) as acme:
        reply = await acme.client.post("/v1/tts/synthesize", json={"text": "Hello."}, headers=headers)
        url: str = reply.json()["audio_url"]
        assert url.startswith(f"{expected}tts/audio/")
        path = url[len(expected) - len("/v1/") :]
        assert (await acme.client.get(path)).status_code == 200


@pytest.mark.parametrize("url", ["tts.example", "ftp://tts.example", "https://", "https://a?b=c", "https://me@a"])
def test_a_public_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="publicUrl"):
        ServerConfig.model_validate({"models": [{"name": "a"}], "publicUrl": url})


async def test_pages_of_other_origins_are_not_let_in_by_default(acme: RunningApp) -> None:
    assert (await acme.client.options("/v1/audio/speech", headers=ASKING)).status_code == 405
    reply = await acme.client.get("/v1/models", headers={"Origin": PAGE})
    assert not [name for name in reply.headers if name.startswith("access-control")]


async def test_an_allowed_page_may_ask_call_and_read_the_headers(tmp_path: Path) -> None:
    cors = CorsConfig(allowed_origins=(PAGE, "http://localhost:3000"), max_age_seconds=60)
    keys = AuthConfig(modes=(AuthMode.API_KEY,))  # whose refusals must be readable too
    async with running_app(config(tmp_path, cors=cors, auth=keys)) as acme:
        asked = ASKING | {"Access-Control-Request-Headers": "authorization,x-stainless-lang"}
        allowed = await acme.client.options("/v1/audio/speech", headers=asked)
        assert allowed.status_code == 204
        assert allowed.headers["access-control-allow-origin"] == PAGE
        assert "POST" in allowed.headers["access-control-allow-methods"]
        assert allowed.headers["access-control-allow-headers"] == "authorization,x-stainless-lang"
        assert allowed.headers["access-control-max-age"] == "60"
        reply = await acme.client.post("/v1/audio/speech", json={}, headers={"Origin": "http://localhost:3000"})
        assert reply.status_code == 401
        assert reply.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert "Origin" in reply.headers["vary"]
        exposed = reply.headers["access-control-expose-headers"].lower().split(", ")
        assert {"x-request-id", "retry-after", "ratelimit", "x-tts-status"} <= set(exposed)
        assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.parametrize("origin", ["https://evil.example", "https://app.example:8443", "http://app.example", "null"])
async def test_no_other_page_is_let_in(tmp_path: Path, origin: str) -> None:
    async with running_app(config(tmp_path, cors=CorsConfig(allowed_origins=(PAGE,)))) as acme:
        assert (await acme.client.options("/v1/audio/speech", headers=ASKING | {"Origin": origin})).status_code == 405
        reply = await acme.client.get("/v1/models", headers={"Origin": origin})
        assert "access-control-allow-origin" not in reply.headers
        assert reply.headers["vary"] == "Origin", "or a cache would give it the answer of an allowed one"


async def test_every_page_may_be_let_in(tmp_path: Path) -> None:
    async with running_app(config(tmp_path, cors=CorsConfig(allowed_origins=("*",)))) as acme:
        reply = await acme.client.get("/v1/models", headers={"Origin": "https://any.example"})
        assert reply.headers["access-control-allow-origin"] == "*"


async def test_an_alias_is_a_voice_with_a_name_of_its_own(acme: RunningApp) -> None:
    listed = (await acme.client.get("/v1/audio/voices")).json()
    names = ["ann", "bob", "mei", "alloy"]
    assert listed["voices"] == [{"id": name, "name": name} for name in names]
    assert [voice["id"] for voice in listed["data"]] == names


async def test_errors_list_aliases(acme: RunningApp) -> None:
    model = (await acme.speech(model="gpt-9")).json()["error"]["message"]
    assert "tone, bass, tts-1" in model
    voice = (await acme.speech(voice="nobody")).json()["error"]["message"]
    assert "alloy, ann, bob" in voice
