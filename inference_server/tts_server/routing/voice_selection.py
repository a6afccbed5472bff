"""Selects voices: from a request and its segments to the utterances of models. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from tts_server.config.schema import PausesConfig, Precision
from tts_server.errors import InvalidParameter
from tts_server.inference.client import Utterance
from tts_server.routing.catalogue import Catalogue, Model, Voice
from tts_server.routing.fallback import FallbackModel
from tts_server.text import Pause, Segment
from tts_server.text.languages import match


@dataclass(frozen=True, slots=True)
class VoiceSelector:
    """The fields of a request that select model, voice and manner."""

    model: str | None
    voice: str | None
    language: str | None = None
    speed: float = 1.0
    precision: Precision | None = None


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """The model and voice of a request; `voice` is None if the language of each segment decides."""

    model: Model
    voice: Voice | None
    precision: Precision
    routed_languages: Collection[str]
    names_model: bool
    """Whether the request has the model's own name: an alias such as `tts-1` leaves languages to their routes."""
    default_language: str | None = None
    """Language used if detection finds none."""


@dataclass(frozen=True, slots=True)
class RoutedUtterance:
    """One utterance and the model that synthesizes it."""

    model: str
    utterance: Utterance
    pause_seconds: float = 0.0
    """Silence at speed 1.0 between it and the next utterance."""


def requested_model(catalogue: Catalogue, selector: VoiceSelector) -> Model:
    """Return the named model, else the one with the named voice, else the default. Raises `ModelNotFound`."""
    if selector.model is None and selector.voice is not None:
        return catalogue.model_with_voice(selector.voice)
    return catalogue.model(selector.model)


def select_voice(catalogue: Catalogue, selector: VoiceSelector, model: Model) -> RoutingDecision:
    """Resolve the other names. Raises `VoiceNotFound`, `PrecisionNotAllowed`, `InvalidParameter`."""
    decision = RoutingDecision(
        model=model,
        voice=None if selector.voice is None else catalogue.voice(selector.voice, model),
        precision=model.precision(selector.precision),
        routed_languages=catalogue.routed_languages,
        names_model=selector.model == model.name,
    )
    main_voice = _voice(catalogue, decision, None)
    if selector.language is not None:
        _check_language(selector.language, model, main_voice, catalogue)
    languages = main_voice.languages or model.config.languages
    return replace(decision, default_language=languages[0] if languages else None)


def route(
    catalogue: Catalogue, decision: RoutingDecision, selector: VoiceSelector, segments: Sequence[Segment]
) -> list[RoutedUtterance]:
    """Give each segment a voice: the requested one if it speaks the segment's language, else that language's route."""
    return [_route_segment(catalogue, decision, selector, segment) for segment in segments]


def model_for(catalogue: Catalogue, decision: RoutingDecision, language: str | None) -> str:
    """Return the model that synthesizes segments of `language`."""
    return _voice(catalogue, decision, language).model


def reroute(
    catalogue: Catalogue, fallback: FallbackModel, replaced: Sequence[RoutedUtterance]
) -> list[RoutedUtterance]:
    """Route the same texts to a fallback model: voices by language, in that model's own precision."""
    model = catalogue.models[fallback.model]
    return [_reroute_utterance(catalogue, fallback, model, routed) for routed in replaced]


def _reroute_utterance(
    catalogue: Catalogue, fallback: FallbackModel, model: Model, routed: RoutedUtterance
) -> RoutedUtterance:
    utterance = routed.utterance
    languages = catalogue.voice(utterance.voice, catalogue.models[routed.model]).languages
    language = utterance.language or (languages[0] if languages else None)
    by_language = {entry.language: entry.voice for entry in fallback.voices}
    mapped = match(language, by_language) if language is not None else None
    if mapped is not None:
        voice = by_language[mapped]
    else:
        speakers = model.speakers(language) if language is not None else []
        voice = (speakers[0] if speakers else model.default_voice).name
    rerouted = Utterance(utterance.text, voice, utterance.language, utterance.speed, model.config.precision)
    return RoutedUtterance(model.name, rerouted, routed.pause_seconds)


def _route_segment(
    catalogue: Catalogue, decision: RoutingDecision, selector: VoiceSelector, segment: Segment
) -> RoutedUtterance:
    voice = _voice(catalogue, decision, segment.language)
    model = catalogue.models[voice.model]
    precision = decision.precision if model is decision.model else model.config.precision
    utterance = Utterance(segment.text, voice.name, segment.language, selector.speed, precision)
    return RoutedUtterance(model.name, utterance, pause_seconds(model.config.pauses, segment.pause))


def pause_seconds(config: PausesConfig, pause: Pause) -> float:
    """Return the length of a pause at speed 1.0."""
    return {
        Pause.NONE: 0.0,
        Pause.CLAUSE: config.clause_seconds,
        Pause.LINE: config.line_seconds,
        Pause.SENTENCE: config.sentence_seconds,
        Pause.PARAGRAPH: config.paragraph_seconds,
    }[pause]


def _voice(catalogue: Catalogue, decision: RoutingDecision, language: str | None) -> Voice:
    """Return the requested voice if it speaks `language`, else one that does: of the requested model if possible.

    A route of the language itself precedes the model's other voices, unless the request names the model itself.
    """
    requested = decision.voice
    if requested is not None and (
        requested.speaks(language) or match(language or "", decision.routed_languages) is None
    ):
        return requested
    routed = catalogue.route(language, decision.model)
    own = _voice_of_model(catalogue, decision, routed, language)
    has_route = catalogue.has_route(language)
    own_first = decision.names_model or (requested is not None and not has_route)
    if own is not None and own_first:
        return own
    if routed is not None and (has_route or routed.speaks(language)):
        return routed
    return (
        own
        or requested
        or (decision.model.default_voice if decision.names_model else routed)
        or (decision.model.default_voice)
    )


def _voice_of_model(
    catalogue: Catalogue, decision: RoutingDecision, routed: Voice | None, language: str | None
) -> Voice | None:
    """Return the model's voice for `language`: the routed one, one of the requested voice's gender, or the first.

    Text whose language nobody knows is taken for one in the language of the default route.
    """
    default = catalogue.route(None, decision.model)
    wanted = language or (default.languages[0] if default is not None and default.languages else None)
    speakers = decision.model.speakers(wanted) or decision.model.speakers(language)
    if routed in speakers:
        return routed
    gender = decision.voice.gender if decision.voice is not None else None
    alike = (voice for voice in speakers if gender is not None and voice.gender == gender)
    return next(alike, speakers[0] if speakers else None)


def _check_language(language: str, model: Model, voice: Voice, catalogue: Catalogue) -> None:
    spoken = {*catalogue.routed_languages, *model.config.languages, *voice.languages}
    spoken.update(language for other in model.voices.values() for language in other.languages)
    if spoken and match(language, spoken) is None:
        raise InvalidParameter(
            f"No voice of this model speaks that language. Known languages: {', '.join(sorted(spoken))}.",
            param="language",
        )
