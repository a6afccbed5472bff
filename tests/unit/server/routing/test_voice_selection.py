"""Names select models and voices; languages select the voices that speak them."""

from typing import Any

import pytest

from tests.support.server_models import model
from tts_server.config.schema import LanguageRoute, ModelConfig, Precision, ServerConfig
from tts_server.engines.protocol import VoiceFeatures
from tts_server.errors import InvalidParameter, ModelNotFound, PrecisionNotAllowed, VoiceNotFound
from tts_server.routing.catalogue import Catalogue, CatalogueError, catalogue, missing_voices
from tts_server.routing.voice_selection import VoiceSelector, requested_model, route, select_voice
from tts_server.text import Segment, segments

TENANT = ServerConfig(
    models=(
        model("cosy", ("中文女", ["zh"]), ("英文女", ["en"]), languages=("zh", "en")),
        model("piper", ("amy", []), ("英文女", ["en"]), languages=("en", "de")),
    ),
    model_aliases={"tts-1": "cosy"},
    voice_aliases={"alloy": "中文女", "nova": "amy"},
    language_routing=(
        LanguageRoute(language="zh", voice="中文女"),
        LanguageRoute(language="de", voice="amy"),
        LanguageRoute(language="default", voice="英文女"),
    ),
)


def names(config: ServerConfig = TENANT) -> Catalogue:
    return catalogue(config, {})


def spoken(selector: VoiceSelector, *languages: str | None) -> list[str]:
    """The route of a segment of each language, as model/voice."""
    found = names()
    choice = select_voice(found, selector, requested_model(found, selector))
    said = route(found, choice, selector, [Segment("x", language) for language in languages])
    return [f"{line.model}/{line.utterance.voice}" for line in said]


ALLOY = VoiceSelector("tts-1", "alloy")
AMY = VoiceSelector("piper", "amy")
PIPER = VoiceSelector("piper", None)
NOTHING = VoiceSelector(None, None)
VOICE_ONLY = VoiceSelector(None, "amy")
ALIAS_ONLY = VoiceSelector(None, "nova")

STORIES: dict[str, tuple[VoiceSelector, list[str | None], str]] = {
    # the story                                selector     languages           who speaks
    "a voice speaks its language":            (ALLOY,       ["zh"],             "cosy/中文女"),
    "a route speaks what the voice does not": (ALLOY,       ["zh", "de"],       "cosy/中文女 piper/amy"),
    "without a route the voice tries":        (ALLOY,       ["fr", None],       "cosy/中文女 cosy/中文女"),
    "a regional tag finds its language":      (ALLOY,       ["zh-TW", "de-AT"], "cosy/中文女 piper/amy"),
    "a voice may have its model's languages": (AMY,         ["de", "en"],       "piper/amy piper/amy"),
    "a route's voice in the model itself":    (PIPER,       ["en"],             "piper/英文女"),
    "no voice: routes alone":                 (NOTHING,     ["zh", "de"],       "cosy/中文女 piper/amy"),
    "no model: the one that has the voice":   (VOICE_ONLY,  ["en"],             "piper/amy"),
    "no model: by alias too":                 (ALIAS_ONLY,  ["de"],             "piper/amy"),
}  # fmt: skip


@pytest.mark.parametrize(("selector", "languages", "expected"), STORIES.values(), ids=STORIES)
def test_who_speaks(selector: VoiceSelector, languages: list[str | None], expected: str) -> None:
    assert spoken(selector, *languages) == expected.split()


KOKORO = ServerConfig(
    models=(
        model("heart", ("heart", ["en-us", "en"])),
        model("kokoro", ("af_bella", ["en-us", "en"]), ("am_adam", ["en-us", "en"]), ("zm_yunxi", ["zh"])),
        model("espeak", ("cmn", ["cmn", "zh"]), ("de", ["de"]), ("en-gb", ["en-gb", "en"])),
    ),
    model_aliases={"tts-1": "heart"},
    voice_aliases={"alloy": "heart"},
    language_routing=(
        LanguageRoute(language="de", voice="de"),
        LanguageRoute(language="zh", voice="cmn"),
        LanguageRoute(language="default", voice="heart"),
    ),
)
NAMED_MODELS: dict[str, tuple[tuple[str | None, str | None], list[str | None], str]] = {
    # the story                              model and voice, languages, who speaks
    "a named model speaks":                  (("kokoro", None), [None, "en"], "kokoro/af_bella kokoro/af_bella"),
    "in each of its languages":              (("kokoro", None), ["zh", "de"], "kokoro/zm_yunxi espeak/de"),
    "whatever the route of a language is":   (("espeak", None), ["zh", None], "espeak/cmn espeak/en-gb"),
    "an alias leaves it to the routes":      (("tts-1", None), ["zh", "en"], "espeak/cmn heart/heart"),
    "English of a Chinese voice":            (("kokoro", "zm_yunxi"), ["zh", "en"], "kokoro/zm_yunxi kokoro/am_adam"),
    "the same without a model":              ((None, "zm_yunxi"), ["en", "de"], "kokoro/am_adam espeak/de"),
    "Chinese of an English voice":           (("kokoro", "af_bella"), ["zh"], "kokoro/zm_yunxi"),
    "that of OpenAI's names by its route":   (("tts-1", "alloy"), ["zh", "en-us"], "espeak/cmn heart/heart"),
}  # fmt: skip


@pytest.mark.parametrize(("names", "languages", "expected"), NAMED_MODELS.values(), ids=NAMED_MODELS)
def test_a_model_speaks_what_it_can_itself(
    names: tuple[str | None, str | None], languages: list[str | None], expected: str
) -> None:
    genders = {"af_bella": "female", "am_adam": "male", "zm_yunxi": "male"}
    found, selector = catalogue(KOKORO, {}, {"kokoro": VoiceFeatures(genders, blends=True)}), VoiceSelector(*names)
    choice = select_voice(found, selector, requested_model(found, selector))
    said = route(found, choice, selector, [Segment("x", language) for language in languages])
    assert [f"{line.model}/{line.utterance.voice}" for line in said] == expected.split()


def test_text_in_the_language_of_the_default_route_is_told_from_others() -> None:
    """English in a Chinese voice: without it, only German would be known of the languages in Latin letters."""
    found = catalogue(KOKORO, {})
    assert found.routed_languages == ("en-us", "de", "zh")
    chinese = select_voice(found, VoiceSelector("kokoro", "zm_yunxi"), found.models["kokoro"])
    (segment,) = segments(
        "Hello there.", default_language=chinese.default_language, routed_languages=chinese.routed_languages
    )
    assert segment.language == "en-us"


def test_text_without_a_language_is_the_voices_own() -> None:
    found = names()
    assert select_voice(found, VoiceSelector("tts-1", "alloy"), found.model("tts-1")).default_language == "zh"
    assert select_voice(found, VoiceSelector("tts-1", None), found.model("tts-1")).default_language == "en"


def test_unknown_names_are_refused_with_what_there_is() -> None:
    found = names()
    with pytest.raises(ModelNotFound, match="cosy, piper"):
        found.model("gpt-9")
    with pytest.raises(VoiceNotFound, match="amy, 英文女"):
        select_voice(found, VoiceSelector("piper", "alloy"), found.model("piper"))
    with pytest.raises(VoiceNotFound):
        spoken(VoiceSelector(None, "zoe"), "en")


SPARED = TENANT.model_copy(
    update={
        "models": (
            *TENANT.models[:1],
            model("piper", ("amy", ["de"]), ("英文女", ["en"]), offered=False),
        ),
        "voice_aliases": {},
        "language_routing": (),
    }
)


def test_a_model_that_is_not_offered_is_no_name_of_a_request() -> None:
    found = names(SPARED)
    assert [name for name, _ in found.names()] == ["cosy", "tts-1"]
    assert requested_model(found, VoiceSelector(None, "amy")).name == "cosy"
    with pytest.raises(ModelNotFound) as refusal:
        requested_model(found, VoiceSelector("piper", None))
    assert "piper" not in refusal.value.message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_aliases": {"hd": "piper"}}, "modelAliases: hd"),
        ({"voice_aliases": {"nova": "amy"}}, "voiceAliases: nova"),
        ({"language_routing": (LanguageRoute(language="default", voice="amy"),)}, "voice amy"),
        ({"models": tuple(reversed(SPARED.models))}, "must be offered"),
    ],
)
def test_no_name_of_the_configuration_leads_to_a_model_that_is_not_offered(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(CatalogueError, match=message):
        names(SPARED.model_copy(update=changes))


def test_a_message_lists_no_hundred_voices() -> None:
    many = ServerConfig(models=(model("m", *((f"v{number}", ["en"]) for number in range(100))),))
    with pytest.raises(VoiceNotFound) as refused:
        names(many).voice("zoe", names(many).model("m"))
    assert "v19 and more" in refused.value.message


def test_a_language_nobody_speaks_is_refused_and_a_region_is_not() -> None:
    found = names()
    with pytest.raises(InvalidParameter, match="de, en, zh"):
        select_voice(found, VoiceSelector("tts-1", "alloy", language="fr"), found.model("tts-1"))
    select_voice(found, VoiceSelector("tts-1", "alloy", language="en-GB"), found.model("tts-1"))


def test_only_allowed_precisions_may_be_asked_for() -> None:
    config = model("m", ("v", ["en"]), precision=Precision.FP16, allowed_precisions=(Precision.FP16, Precision.INT8))
    found = names(ServerConfig(models=(config,)))
    only = found.model("m")
    assert only.precision(None) is Precision.FP16
    assert only.precision(Precision.INT8) is Precision.INT8
    with pytest.raises(PrecisionNotAllowed, match="fp16, int8"):
        only.precision(Precision.FP32)


def test_a_precision_is_asked_of_the_requests_model_only() -> None:
    config = TENANT.model_copy(
        update={
            "models": (TENANT.models[0].model_copy(update={"allowed_precisions": tuple(Precision)}), TENANT.models[1])
        }
    )
    found = names(config)
    selector = VoiceSelector("tts-1", "alloy", precision=Precision.INT8)
    said = route(
        found, select_voice(found, selector, found.model("tts-1")), selector, [Segment("x", "zh"), Segment("x", "de")]
    )
    assert [line.utterance.precision for line in said] == ["int8", "fp32"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": (model("m", ("v", [])), model("m", ("v", [])))}, "same name"),
        ({"model_aliases": {"a": "none"}}, "modelAliases"),
        ({"voice_aliases": {"a": "nobody"}}, "voiceAliases"),
        ({"language_routing": (LanguageRoute(language="default", voice="nobody"),)}, "languageRouting"),
    ],
)
def test_a_configuration_that_leads_nowhere_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CatalogueError, match=message):
        names(TENANT.model_copy(update=changes))


def test_the_engine_has_the_last_word_on_its_voices() -> None:
    config = ServerConfig(models=(model("m", ("here", ["en"]), ("away", ["de"])),))
    heard = {"here": ("en-us",), "more": ("fr",)}
    found = catalogue(config, {"m": heard})
    assert list(found.model("m").voices) == ["here"]
    assert missing_voices(config.models[0], heard) == ["away"]
    with pytest.raises(CatalogueError, match="no voice"):
        catalogue(config, {"m": {"other": ("en",)}})


def test_without_a_list_every_voice_of_the_engine_speaks() -> None:
    found = catalogue(ServerConfig(models=(ModelConfig(name="m"),)), {"m": {"a": ("en",), "b": ("de", "nl")}})
    assert [(voice.name, voice.languages) for voice in found.model("m").voices.values()] == [
        ("a", ("en",)), ("b", ("de", "nl")),
    ]  # fmt: skip
