"""The configuration without a file, by what is installed."""

from collections.abc import Collection

import pytest

from tts_server.config.defaults import KOKORO_FILES, embedded_config


def models_with(*packages: str) -> list[str]:
    return [model.name for model in embedded_config(is_installed=set(packages).__contains__).models]


@pytest.mark.parametrize(
    ("packages", "models"),
    [
        (("hibari", "espeakng_loader"), ["heart", "espeak"]),
        (("hibari",), ["heart"]),
        (("espeakng_loader",), ["espeak"]),
        ((), ["heart"]),  # it fails to start, and says what to install
    ],
)
def test_the_neural_voice_is_the_default_where_it_is_installed(packages: Collection[str], models: list[str]) -> None:
    assert models_with(*packages) == models


def test_openai_names_lead_to_voices_that_exist_with_either_engine() -> None:
    neural = embedded_config(is_installed={"hibari"}.__contains__)
    assert set(neural.voice_aliases.values()) == {"heart"}
    assert set(neural.model_aliases.values()) == {"heart"}
    formant = embedded_config(is_installed={"espeakng_loader"}.__contains__)
    assert set(formant.voice_aliases.values()) == {"en-us", "en-gb"}


def test_the_neural_voice_falls_back_to_espeak_where_that_is_installed() -> None:
    both = embedded_config(is_installed={"hibari", "espeakng_loader"}.__contains__)
    assert both.models[0].fallback is not None
    assert both.models[0].fallback.model == "espeak"
    assert embedded_config(is_installed={"hibari"}.__contains__).models[0].fallback is None


def test_kokoro_is_offered_where_its_files_are_and_speaks_its_languages() -> None:
    config = embedded_config(is_installed=lambda _: True)
    assert [model.name for model in config.models] == ["heart", "kokoro", "espeak"]
    routes = {route.language: route.voice for route in config.language_routing}
    assert (routes["zh"], routes["ja"], routes["es"], routes["de"]) == ("zf_xiaoxiao", "jf_alpha", "ef_dora", "de")


def test_kokoro_without_espeak_keeps_to_the_languages_that_it_reads_itself() -> None:
    config = embedded_config(is_installed={"hibari", KOKORO_FILES}.__contains__)
    assert {route.language for route in config.language_routing} == {"zh", "ja", "ko", "default"}
    assert config.models[1].fallback is None
