"""The cache's keys: whatever changes a sound changes its key, and nothing else does."""

import string
from dataclasses import replace
from typing import Any

import pytest

from tts_server.cache import cache_key
from tts_server.cache import key as key_module
from tts_server.config.schema import LocalEngine, ModelConfig, PoolEngine, ServerConfig
from tts_server.engines.registry import engine_version
from tts_server.inference.client import Utterance
from tts_server.routing.voice_selection import RoutedUtterance

HELLO = RoutedUtterance("tone", Utterance("Hello.", "ann", "en", 1.0, "fp32"))
BYE = RoutedUtterance("bass", Utterance("再见。", "mei", "zh", 1.0, "fp32"))


def server(**changes: Any) -> ServerConfig:
    return ServerConfig(
        **{"tenant": "team-acme.acme", "tenant_uid": "uid-1"}
        | {"models": (ModelConfig(name="tone"), ModelConfig(name="bass"), ModelConfig(name="third"))}
        | changes
    )


def with_tone(**changes: Any) -> ServerConfig:
    return server(models=(ModelConfig(name="tone", **changes), ModelConfig(name="bass"), ModelConfig(name="third")))


def spoken(**changes: Any) -> RoutedUtterance:
    return replace(HELLO, utterance=replace(HELLO.utterance, **changes))


KEY = cache_key(server(), [HELLO, BYE], "mp3", (16_000, None))

OTHERS: dict[str, str] = {
    "another tenant": cache_key(server(tenant="team-acme.other"), [HELLO, BYE], "mp3", (16_000, None)),
    "a namesake": cache_key(server(tenant_uid="uid-2"), [HELLO, BYE], "mp3", (16_000, None)),
    "another text": cache_key(server(), [spoken(text="Hello!"), BYE], "mp3", (16_000, None)),
    "another voice": cache_key(server(), [spoken(voice="bob"), BYE], "mp3", (16_000, None)),
    "another language": cache_key(server(), [spoken(language="de"), BYE], "mp3", (16_000, None)),
    "no language": cache_key(server(), [spoken(language=None), BYE], "mp3", (16_000, None)),
    "another speed": cache_key(server(), [spoken(speed=1.5), BYE], "mp3", (16_000, None)),
    "another precision": cache_key(server(), [spoken(precision="int8"), BYE], "mp3", (16_000, None)),
    "another model": cache_key(server(), [replace(HELLO, model="third"), BYE], "mp3", (16_000, None)),
    "another order": cache_key(server(), [BYE, HELLO], "mp3", (16_000, None)),
    "fewer segments": cache_key(server(), [HELLO], "mp3", (16_000, None)),
    "another format": cache_key(server(), [HELLO, BYE], "opus", (16_000, None)),
    "another rate": cache_key(server(), [HELLO, BYE], "mp3", (16_000, 24_000)),
    "another engine's rate": cache_key(server(), [HELLO, BYE], "mp3", (24_000, None)),
    "other weights": cache_key(with_tone(weights_digest="sha256:1"), [HELLO, BYE], "mp3", (16_000, None)),
    "another pool": cache_key(with_tone(engine=PoolEngine(url="http://one:8080")), [HELLO, BYE], "mp3", (16_000, None)),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_what_changes_the_sound_changes_the_key(other: str) -> None:
    assert other != KEY


def test_all_of_them_differ() -> None:
    assert len(set(OTHERS.values())) == len(OTHERS)


@pytest.mark.parametrize("version", ["TEXT_VERSION", "ENCODING_VERSION"])
def test_a_version_that_is_raised_forgets_everything(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_module, version, getattr(key_module, version) + 1)
    assert cache_key(server(), [HELLO, BYE], "mp3", (16_000, None)) != KEY


def test_what_changes_no_sound_changes_no_key() -> None:
    for same in (
        server(drain_seconds=5, max_replicas=9, role="Member"),
        with_tone(engine=LocalEngine(processes=4, threads=2, memory_limit_bytes=10**9)),
        with_tone(first_audio_timeout_seconds=9.0),
    ):
        assert cache_key(same, [HELLO, BYE], "mp3", (16_000, None)) == KEY


def test_a_key_says_nothing_about_the_text() -> None:
    assert len(KEY) == 64
    assert set(KEY) <= set(string.hexdigits)


def test_a_built_in_engine_is_known_by_the_packages_that_make_its_sound() -> None:
    assert "ttsfleet " in engine_version("espeak")
    assert "espeakng-loader " in engine_version("espeak")
    assert engine_version("nobody-registered-this") == ""
