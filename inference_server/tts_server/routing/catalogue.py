"""Resolves the names of a request: models, voices, their aliases, and the voice that each language is routed to."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tts_server.config.schema import ModelConfig, Precision, ServerConfig
from tts_server.engines.protocol import VoiceFeatures
from tts_server.engines.voice_blend import BrokenBlend, is_blend, parse_blend
from tts_server.errors import ModelNotFound, PrecisionNotAllowed, VoiceNotFound
from tts_server.routing.fallback import BrokenChain, FallbackModel, chains
from tts_server.text.languages import match

LISTED_NAMES = 20
"""Most names listed in an error message: an engine may have hundreds of voices. Aliases come first."""
DEFAULT: Final = "default"
"""Language of the route for every language without one."""

EngineVoices = Mapping[str, tuple[str, ...]]
"""The voices that a model's engine lists, with their languages; empty if the engine cannot list them."""


class CatalogueError(ValueError):
    """The configuration names something that does not exist, or a model is left without a voice."""


class VoicesMissing(CatalogueError):  # noqa: N818 - names what is so
    """The engine has none of a model's voices."""


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice of one model. The first of `languages` is its own; empty if configuration and engine name none."""

    name: str
    model: str
    languages: tuple[str, ...]
    gender: str | None = None
    """`female` or `male`; None if the engine does not say."""

    def speaks(self, language: str | None) -> bool:
        """Whether it speaks `language`: true for None, and for a voice whose languages are unknown."""
        return language is None or not self.languages or match(language, self.languages) is not None


@dataclass(frozen=True, slots=True)
class Model:
    """A model and its voices, the default voice first."""

    config: ModelConfig
    voices: Mapping[str, Voice]
    blends_voices: bool = False
    """Whether a request may name a blend of its voices."""

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def default_voice(self) -> Voice:
        return next(iter(self.voices.values()))

    def speakers(self, language: str | None) -> list[Voice]:
        """Return the voices that speak `language`: those of this very tag first, then those of another region."""
        tag = (language or "").lower()

        def distance(voice: Voice) -> int:
            tags = [each.lower() for each in voice.languages]
            return tags.index(tag) if tag in tags else len(tags)

        return sorted((voice for voice in self.voices.values() if voice.speaks(language)), key=distance)

    @property
    def languages(self) -> list[str]:
        """The languages that the configuration names, else the own ones of its voices and others that they speak."""
        return list(self.config.languages) or languages_of(voice.languages for voice in self.voices.values())

    def find(self, name: str, aliases: Mapping[str, str]) -> Voice | None:
        """Return the voice, or the blend, of that name or alias; None if there is none. Raises `BrokenBlend`."""
        resolved = aliases.get(name, name)
        voice = self.voices.get(name) or self.voices.get(resolved)
        return self._blend(resolved, aliases) if voice is None and self.blends_voices and is_blend(resolved) else voice

    def first_unknown_part(self, name: str, aliases: Mapping[str, str]) -> int:
        """Return the number of the first part of a blend that names no voice, counted from 1."""
        blend = parse_blend(aliases.get(name, name))
        known = (aliases.get(part, part) in self.voices or part in self.voices for part, _ in blend)
        return next((number for number, each in enumerate(known, start=1) if not each), 1)

    def _blend(self, name: str, aliases: Mapping[str, str]) -> Voice | None:
        blend = parse_blend(name, lambda part: part if part in self.voices else aliases.get(part, part))
        if any(part not in self.voices for part, _ in blend):
            return None
        first = self.voices[blend[0].name]
        return first if len(blend) == 1 else Voice(str(blend), self.name, first.languages)

    def precision(self, requested: Precision | None) -> Precision:
        """Return the precision to compute with. Raises `PrecisionNotAllowed`, which lists the allowed ones."""
        if requested is None or requested is self.config.precision:
            return self.config.precision
        if requested not in self.config.allowed_precisions:
            allowed = ", ".join(self.config.allowed_precisions)
            raise PrecisionNotAllowed(
                f"Model {self.name} does not allow that precision. Allowed: {allowed}.", param="options.precision"
            )
        return requested


class Catalogue:
    """All names that a request may use, resolved once per configuration. Raises `CatalogueError`."""

    def __init__(self, models: Iterable[Model], config: ServerConfig) -> None:
        self.models: Mapping[str, Model] = {model.name: model for model in models}
        """All models by name, fallbacks included."""
        self.offered: Mapping[str, Model] = {name: model for name, model in self.models.items() if model.config.offered}
        """Models that a request may name."""
        if next(iter(self.offered), None) != next(iter(self.models), None):
            raise CatalogueError("models: the first is the default and must be offered")
        self.model_aliases = config.model_aliases
        self.voice_aliases = config.voice_aliases
        self.routes: Mapping[str, Voice] = {
            route.language: self._voice_of_any_model(route.voice) for route in config.language_routing
        }
        """The voice for each language that the requested voice does not speak."""
        self.routed_languages = _routed_languages(self.routes)
        """The languages of the routes, that of the default one first: text of another language cannot be told."""
        self.fallbacks = _checked_fallbacks(config, self.models)
        """The fallbacks of each model, in order."""
        for alias, name in config.model_aliases.items():
            if name not in self.offered:
                raise CatalogueError(f"modelAliases: {alias} names model {name}, which is not configured")
        for alias, name in config.voice_aliases.items():
            if all(_found(model, name) is None for model in self.offered.values()):
                raise CatalogueError(f"voiceAliases: {alias} names voice {name}, which no model has")

    @property
    def default_model(self) -> Model:
        return next(iter(self.models.values()))

    def model(self, name: str | None) -> Model:
        """Return the model of that name or alias, the default for None. Raises `ModelNotFound`."""
        if name is None:
            return self.default_model
        model = self.offered.get(self.model_aliases.get(name, name))
        if model is None:
            names = _listed([name for name, _ in self.names()], "/v1/models")
            raise ModelNotFound(f"No such model. Available models: {names}.", param="model")
        return model

    def voice(self, name: str, model: Model) -> Voice:
        """Return the voice of that name or alias in `model`. Raises `VoiceNotFound`."""
        try:
            voice = model.find(name, self.voice_aliases)
        except BrokenBlend as error:
            raise VoiceNotFound(str(error), param="voice") from None
        if voice is None:
            blends = is_blend(name) and name not in self.voice_aliases
            if blends and not model.blends_voices:
                raise VoiceNotFound(f"Model {model.name} has no blends of voices.", param="voice")
            aliases = [alias for alias, name in self.voice_aliases.items() if name in model.voices]
            listed = _listed(list(dict.fromkeys([*aliases, *model.voices])), "/v1/audio/voices")
            if not blends:
                raise VoiceNotFound(f"Model {model.name} has no such voice. Its voices: {listed}.", param="voice")
            number = model.first_unknown_part(name, self.voice_aliases)
            raise VoiceNotFound(
                f"Part {number} of the blend is no voice of model {model.name}. Its voices: {listed}.", param="voice"
            )
        return voice

    def model_with_voice(self, name: str) -> Model:
        """Return the first model with that voice, else the first that could have it: its error is to the point."""
        if is_blend(name) and name not in self.voice_aliases:  # one that is written wrong is nobody's
            blending = next((model for model in self.offered.values() if model.blends_voices), self.default_model)
        else:
            blending = self.default_model
        holders = (model for model in self.offered.values() if _found(model, name, self.voice_aliases) is not None)
        return next(holders, blending)

    def route(self, language: str | None, model: Model) -> Voice | None:
        """Return the voice that `language` is routed to, else the default route's; of `model`, if it has that voice."""
        routed = match(language, self.routed_languages) if language is not None else None
        voice = self.routes.get(routed or DEFAULT) or self.routes.get(DEFAULT)
        return model.voices.get(voice.name, voice) if voice is not None else None

    def has_route(self, language: str | None) -> bool:
        """Whether the configuration names a voice for this language, and not only the default."""
        return language is not None and match(language, self.routes.keys() - {DEFAULT}) is not None

    def names(self) -> Iterator[tuple[str, Model]]:
        """Yield every name that a request may use for a model, aliases last."""
        yield from self.offered.items()
        for alias, name in self.model_aliases.items():
            if alias not in self.offered:
                yield alias, self.offered[name]

    def _voice_of_any_model(self, name: str) -> Voice:
        for model in self.offered.values():
            voice = _found(model, name, self.voice_aliases)
            if voice is not None:
                return voice
        raise CatalogueError(f"languageRouting names voice {name}, which no model has")


def _routed_languages(routes: Mapping[str, Voice]) -> tuple[str, ...]:
    named = tuple(language for language in routes if language != DEFAULT)
    default = routes[DEFAULT].languages[:1] if DEFAULT in routes else ()
    return (*(language for language in default if match(language, named) is None), *named)


def languages_of(voices: Iterable[Sequence[str]]) -> list[str]:
    """Return each voice's own language, then what some speak besides: no further tag of a language that is named."""
    listed = list(voices)
    found = dict.fromkeys(language for languages in listed for language in languages[:1])
    primaries = {language.partition("-")[0] for language in found}
    for languages in listed:
        found.update(dict.fromkeys(tag for tag in languages[1:] if tag.partition("-")[0] not in primaries))
    return list(found)


def catalogue(
    config: ServerConfig,
    engine_voices: Mapping[str, EngineVoices],
    features: Mapping[str, VoiceFeatures] = MappingProxyType({}),
) -> Catalogue:
    """Return the names of `config` that its engines have. Raises `CatalogueError` for a name that refers to nothing."""
    names = [model.name for model in config.models]
    if len(set(names)) != len(names):
        raise CatalogueError("models: two have the same name")
    return Catalogue(
        [
            _model(model, engine_voices.get(model.name, {}), features.get(model.name, VoiceFeatures()))
            for model in config.models
        ],
        config,
    )


def _found(model: Model, name: str, aliases: Mapping[str, str] = MappingProxyType({})) -> Voice | None:
    """Return the voice of that name in `model`; None also for a blend that is not written as one."""
    try:
        return model.find(name, aliases)
    except BrokenBlend:
        return None


def _listed(names: Sequence[str], route: str) -> str:
    more = f" and more, see {route}" if len(names) > LISTED_NAMES else ""
    return ", ".join(names[:LISTED_NAMES]) + more


def _checked_fallbacks(config: ServerConfig, models: Mapping[str, Model]) -> Mapping[str, tuple[FallbackModel, ...]]:
    try:
        fallbacks = chains(config.models)
    except BrokenChain as error:
        raise CatalogueError(str(error)) from None
    for model in config.models:
        for entry in model.fallback.voices if model.fallback is not None else ():
            if entry.voice not in models[fallbacks[model.name][0].model].voices:
                raise CatalogueError(
                    f"models: the fallback of {model.name} names voice {entry.voice}, "
                    f"which {fallbacks[model.name][0].model} does not have"
                )
    return fallbacks


def missing_voices(config: ModelConfig, engine_voices: EngineVoices) -> list[str]:
    """Return configured voices that the engine lacks: they are logged at start, and requests for them are refused."""
    return [voice.name for voice in config.voices if engine_voices and voice.name not in engine_voices]


def _model(config: ModelConfig, engine_voices: EngineVoices, features: VoiceFeatures) -> Model:
    if config.voices:
        listed = {voice.name: voice.languages or config.languages for voice in config.voices}
    else:
        listed = dict(engine_voices)
    voices = {
        name: Voice(name, config.name, tuple(languages), features.genders.get(name))
        for name, languages in listed.items()
        if not engine_voices or name in engine_voices
    }
    if not voices:
        raise VoicesMissing(f"models: {config.name} has no voice that its engine has")
    return Model(config, voices, features.blends)
