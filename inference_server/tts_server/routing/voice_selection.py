"""Who speaks what: from a request and its segments to utterances of voices. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tts_server.config.schema import Precision
from tts_server.errors import InvalidParameter
from tts_server.inference.client import Utterance
from tts_server.routing.catalogue import Catalogue, Model, Voice
from tts_server.routing.fallback import FallbackModel
from tts_server.text import Segment
from tts_server.text.languages import match


@dataclass(frozen=True, slots=True)
class VoiceSelector:
    """The part of a request that says who speaks."""

    model: str | None
    voice: str | None
    language: str | None = None
    speed: float = 1.0
    precision: Precision | None = None


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """The request's own model and voice: `voice` is None where languages alone decide."""

    model: Model
    voice: Voice | None
    precision: Precision
    default_language: str | None
    """Of text that gives no language away."""
    routed_languages: Collection[str]


@dataclass(frozen=True, slots=True)
class RoutedUtterance:
    """One utterance, and the model that speaks it."""

    model: str
    utterance: Utterance


def wished_model(catalogue: Catalogue, wish: VoiceSelector) -> Model:
    """The model that is named, else the one that has the voice, else the default one. Raises `ModelNotFound`."""
    if wish.model is None and wish.voice is not None:
        return catalogue.model_with_voice(wish.voice)
    return catalogue.model(wish.model)


def choose(catalogue: Catalogue, wish: VoiceSelector, model: Model) -> RoutingDecision:
    """Resolve the other names. Raises `VoiceNotFound`, `PrecisionNotAllowed`, `InvalidParameter`."""
    voice = None if wish.voice is None else catalogue.voice(wish.voice, model)
    engine_client = voice or catalogue.route(None, model) or model.default_voice
    if wish.language is not None:
        _check_language(wish.language, model, engine_client, catalogue)
    languages = engine_client.languages or model.config.languages
    return RoutingDecision(
        model=model,
        voice=voice,
        precision=model.precision(wish.precision),
        default_language=languages[0] if languages else None,
        routed_languages=catalogue.routed_languages,
    )


def lines(
    catalogue: Catalogue, choice: RoutingDecision, wish: VoiceSelector, segments: Sequence[Segment]
) -> list[RoutedUtterance]:
    """Give each segment its voice: the request's own as long as it speaks the language, else the language's route."""
    return [_line(catalogue, choice, wish, segment) for segment in segments]


def model_for(catalogue: Catalogue, choice: RoutingDecision, language: str | None) -> str:
    """Who speaks segments of a language."""
    return _voice(catalogue, choice, language).model


def standby_lines(
    catalogue: Catalogue, standby: FallbackModel, replaced: Sequence[RoutedUtterance]
) -> list[RoutedUtterance]:
    """The same words from the standby model: voices by language, in its own precision."""
    model = catalogue.models[standby.model]
    return [_standby_line(catalogue, standby, model, line) for line in replaced]


def _standby_line(catalogue: Catalogue, standby: FallbackModel, model: Model, line: RoutedUtterance) -> RoutedUtterance:
    said = line.utterance
    languages = catalogue.models[line.model].voices[said.voice].languages
    language = said.language or (languages[0] if languages else None)
    by_language = {entry.language: entry.voice for entry in standby.voices}
    mapped = match(language, by_language) if language is not None else None
    if mapped is not None:
        voice = by_language[mapped]
    else:
        engine_clients = (voice for voice in model.voices.values() if language is not None and voice.speaks(language))
        voice = next(engine_clients, model.default_voice).name
    return RoutedUtterance(model.name, Utterance(said.text, voice, said.language, said.speed, model.config.precision))


def _line(catalogue: Catalogue, choice: RoutingDecision, wish: VoiceSelector, segment: Segment) -> RoutedUtterance:
    voice = _voice(catalogue, choice, segment.language)
    model = catalogue.models[voice.model]
    precision = choice.precision if model is choice.model else model.config.precision
    return RoutedUtterance(model.name, Utterance(segment.text, voice.name, segment.language, wish.speed, precision))


def _voice(catalogue: Catalogue, choice: RoutingDecision, language: str | None) -> Voice:
    if choice.voice is not None:
        if choice.voice.speaks(language) or match(language or "", choice.routed_languages) is None:
            return choice.voice
        return catalogue.route(language, choice.model) or choice.voice
    routed = catalogue.route(language, choice.model)
    if routed is not None and routed.speaks(language):
        return routed
    engine_clients = (voice for voice in choice.model.voices.values() if voice.speaks(language))
    return next(engine_clients, routed or choice.model.default_voice)


def _check_language(language: str, model: Model, voice: Voice, catalogue: Catalogue) -> None:
    known = {*catalogue.routed_languages, *model.config.languages, *voice.languages}
    known.update(language for other in model.voices.values() for language in other.languages)
    if known and match(language, known) is None:
        raise InvalidParameter(
            f"No voice here speaks that language. Known: {', '.join(sorted(known))}.", param="language"
        )
