"""Blends of voices: where a model has them, which names they have, and whose language."""

import pytest

from tests.support.server_models import model
from tts_server.config.schema import LanguageRoute, ServerConfig
from tts_server.engines.protocol import VoiceFeatures
from tts_server.errors import VoiceNotFound
from tts_server.http.errors import status_of
from tts_server.routing.catalogue import Catalogue, CatalogueError, catalogue, languages_of
from tts_server.routing.fallback import FallbackModel
from tts_server.routing.voice_selection import VoiceSelector, requested_model, reroute, route, select_voice
from tts_server.text import Segment

TENANT = ServerConfig(
    models=(
        model("heart", ("heart", ["en"]), languages=("en",)),
        model("kokoro", ("af_bella", ["en"]), ("af_sky", ["en"]), ("zf_xiaoxiao", ["zh"]), languages=("en", "zh")),
    ),
    voice_aliases={"alloy": "af_bella", "narrator": "af_bella(2)+af_sky"},
)
GENDERS = {"af_bella": "female", "am_adam": "male"}


def names(config: ServerConfig = TENANT) -> Catalogue:
    return catalogue(config, {}, {"kokoro": VoiceFeatures(GENDERS, blends=True)})


def spoken(voice: str, *languages: str | None, model: str | None = "kokoro") -> list[str]:
    found, selector = names(), VoiceSelector(model, voice)
    choice = select_voice(found, selector, requested_model(found, selector))
    said = route(found, choice, selector, [Segment("x", language) for language in languages])
    return [f"{line.model}/{line.utterance.voice}" for line in said]


EQUAL = "af_bella(0.5)+af_sky(0.5)"


@pytest.mark.parametrize("name", ["af_bella+af_sky", "af_bella(2)+af_sky(2)", "alloy + af_sky"])
def test_equal_blends_reach_the_engine_and_the_cache_under_one_name(name: str) -> None:
    assert spoken(name, "en", None) == [f"kokoro/{EQUAL}"] * 2


def test_an_alias_may_mean_a_blend() -> None:
    assert spoken("narrator", "en") == ["kokoro/af_bella(0.6667)+af_sky(0.3333)"]


def test_a_blend_of_one_voice_is_that_voice() -> None:
    assert spoken("af_bella(3)", "en") == ["kokoro/af_bella"]


def test_a_blend_without_a_model_finds_the_one_that_has_its_voices() -> None:
    assert spoken("af_bella+af_sky", "en", model=None) == [f"kokoro/{EQUAL}"]


def test_a_blend_speaks_the_language_of_its_first_voice() -> None:
    found = names()
    assert found.voice("af_bella+zf_xiaoxiao", found.models["kokoro"]).languages == ("en",)
    assert found.voice("zf_xiaoxiao+af_bella", found.models["kokoro"]).languages == ("zh",)


UNKNOWN = "Part 2 of the blend is no voice of model kokoro."
WEIGHT = "The weight of part 1 of the blend must be a number above 0"
REFUSED = {
    "of a model that has none": ("heart", "heart+af_sky", "Model heart has no blends of voices."),
    "of an unknown voice":      ("kokoro", "af_bella+nobody", f"{UNKNOWN} Its voices: alloy,"),
    "of another model's voice": ("kokoro", "af_bella+heart", UNKNOWN),
    "written wrong":            ("kokoro", "af_bella(x)+af_sky", WEIGHT),
    "of nothing":               ("kokoro", "af_bella(0)+af_sky", WEIGHT),
}  # fmt: skip


@pytest.mark.parametrize(("model", "name", "message"), REFUSED.values(), ids=REFUSED)
def test_a_blend_that_cannot_be_is_refused_with_a_reason(model: str, name: str, message: str) -> None:
    found = names()
    with pytest.raises(VoiceNotFound) as raised:
        found.voice(name, found.models[model])
    assert (raised.value.param, status_of(type(raised.value))) == ("voice", 400)
    assert message in raised.value.message
    assert "nobody" not in raised.value.message


@pytest.mark.parametrize("name", ["af_bella(2)+", "af_bella+nobody", "a+b+c"])
def test_a_blend_without_a_model_is_refused_by_one_that_has_blends(name: str) -> None:
    found, selector = names(), VoiceSelector(None, name)
    with pytest.raises(VoiceNotFound, match=r"^Part \d of the blend is"):
        select_voice(found, selector, requested_model(found, selector))


def test_an_alias_of_a_blend_that_no_model_has_is_refused_at_the_start() -> None:
    with pytest.raises(CatalogueError, match="narrator names voice af_bella"):
        names(TENANT.model_copy(update={"voice_aliases": {"narrator": "af_bella+nobody"}}))


def test_a_language_may_be_routed_to_a_blend() -> None:
    routes = (LanguageRoute(language="en", voice="af_bella+af_sky"),)
    assert names(TENANT.model_copy(update={"language_routing": routes})).routes["en"].name == EQUAL


def test_a_fallback_speaks_for_a_blend() -> None:
    found, selector = names(), VoiceSelector("kokoro", "af_bella+af_sky")
    choice = select_voice(found, selector, found.models["kokoro"])
    said = route(found, choice, selector, [Segment("x", None)])
    assert [line.utterance.voice for line in reroute(found, FallbackModel("heart", ()), said)] == ["heart"]


def test_voices_have_the_gender_that_the_engine_says() -> None:
    assert {voice.name: voice.gender for voice in names().models["kokoro"].voices.values()} == {
        "af_bella": "female", "af_sky": None, "zf_xiaoxiao": None,
    }  # fmt: skip


def test_a_model_lists_what_its_voices_speak_besides_their_own_languages() -> None:
    voices = [("en-us", "en"), ("en-gb", "en"), ("ja", "ko"), ("pt-br", "pt"), ()]
    assert languages_of(voices) == ["en-us", "en-gb", "ja", "pt-br", "ko"]
    assert names(TENANT).models["kokoro"].languages == ["en", "zh"], "those of the configuration"
