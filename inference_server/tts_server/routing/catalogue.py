"""What this server can be asked for: models, voices and their aliases, as names in a request find them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tts_server.config.schema import ModelConfig, Precision, ServerConfig
from tts_server.errors import ModelNotFound, PrecisionNotAllowed, VoiceNotFound
from tts_server.routing.fallback import BrokenChain, FallbackModel, chains
from tts_server.text.languages import match

LISTED_VOICES = 20
"""In a message: an engine may have hundreds."""
DEFAULT: Final = "default"
"""The language of the route that stands for all others."""

Spoken = Mapping[str, tuple[str, ...]]
"""A model's voices as its engine lists them, with their languages; empty where the engine cannot say."""


class CatalogueError(ValueError):
    """The configuration names what does not exist, or nothing could speak."""


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice of one model. `languages` is never empty where anything is known about it; the first is its own."""

    name: str
    model: str
    languages: tuple[str, ...]

    def speaks(self, language: str | None) -> bool:
        """True for its languages, for none in particular, and where nobody said what it speaks."""
        return language is None or not self.languages or match(language, self.languages) is not None


@dataclass(frozen=True, slots=True)
class Model:
    """A model and its voices, the default one first."""

    config: ModelConfig
    voices: Mapping[str, Voice]

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def default_voice(self) -> Voice:
        return next(iter(self.voices.values()))

    def precision(self, asked: Precision | None) -> Precision:
        """What to compute with. Raises `PrecisionNotAllowed`, which lists what may be asked for."""
        if asked is None or asked is self.config.precision:
            return self.config.precision
        if asked not in self.config.allowed_precisions:
            allowed = ", ".join(self.config.allowed_precisions)
            raise PrecisionNotAllowed(f"Model {self.name} may be asked for {allowed}.", param="options.precision")
        return asked


class Catalogue:
    """Every name a request may hold, resolved once per configuration."""

    def __init__(self, models: Iterable[Model], config: ServerConfig) -> None:
        self.models: Mapping[str, Model] = {model.name: model for model in models}
        """Everybody who may speak, standbys too."""
        self.offered: Mapping[str, Model] = {name: model for name, model in self.models.items() if model.config.offered}
        """Those that callers can name."""
        if next(iter(self.offered), None) != next(iter(self.models), None):
            raise CatalogueError("models: the first is the default, and so must be offered")
        self.model_aliases = config.model_aliases
        self.voice_aliases = config.voice_aliases
        self.routes: Mapping[str, Voice] = {
            route.language: self._anywhere(route.voice) for route in config.language_routing
        }
        """Which voice speaks a language that the request's own voice does not."""
        self.routed_languages = tuple(language for language in self.routes if language != DEFAULT)
        self.fallbacks = _standbys(config, self.models)
        """Who speaks for whom, in order."""
        for alias, name in config.model_aliases.items():
            if name not in self.offered:
                raise CatalogueError(f"modelAliases: {alias} stands for {name}, which is no model here")
        for alias, name in config.voice_aliases.items():
            if all(name not in model.voices for model in self.offered.values()):
                raise CatalogueError(f"voiceAliases: {alias} stands for {name}, which no model has")

    @property
    def default_model(self) -> Model:
        return next(iter(self.models.values()))

    def model(self, name: str | None) -> Model:
        """The model of that name or alias; None is the default one. Raises `ModelNotFound`."""
        if name is None:
            return self.default_model
        model = self.offered.get(self.model_aliases.get(name, name))
        if model is None:
            raise ModelNotFound(f"No such model here. This server has {', '.join(self.offered)}.", param="model")
        return model

    def voice(self, name: str, model: Model) -> Voice:
        """The voice of that name or alias in `model`. Raises `VoiceNotFound`."""
        voice = model.voices.get(name) or model.voices.get(self.voice_aliases.get(name, name))
        if voice is None:
            listed = ", ".join(list(model.voices)[:LISTED_VOICES])
            more = " and more: see /v1/audio/voices" if len(model.voices) > LISTED_VOICES else ""
            raise VoiceNotFound(f"Model {model.name} has no such voice. It has {listed}{more}.", param="voice")
        return voice

    def model_with_voice(self, name: str) -> Model:
        """The first model with that voice, else the default one, whose refusal names what there is."""
        resolved = self.voice_aliases.get(name, name)
        holders = (model for model in self.offered.values() if name in model.voices or resolved in model.voices)
        return next(holders, self.default_model)

    def route(self, language: str | None, model: Model) -> Voice | None:
        """Who speaks `language` here, or everything without a route of its own; `model`'s own voice if it is one."""
        known = match(language, self.routed_languages) if language is not None else None
        voice = self.routes.get(known or DEFAULT)
        return model.voices.get(voice.name, voice) if voice is not None else None

    def names(self) -> Iterator[tuple[str, Model]]:
        """Every name that callers may use for a model, aliases last."""
        yield from self.offered.items()
        for alias, name in self.model_aliases.items():
            if alias not in self.offered:
                yield alias, self.offered[name]

    def _anywhere(self, name: str) -> Voice:
        for model in self.offered.values():
            voice = model.voices.get(name) or model.voices.get(self.voice_aliases.get(name, name))
            if voice is not None:
                return voice
        raise CatalogueError(f"languageRouting names voice {name}, which no model has")


def catalogue(config: ServerConfig, spoken: Mapping[str, Spoken]) -> Catalogue:
    """Names of `config`, as far as the engines have them. Raises `CatalogueError` where a name leads nowhere."""
    names = [model.name for model in config.models]
    if len(set(names)) != len(names):
        raise CatalogueError("models: a name occurs twice")
    return Catalogue([_model(model, spoken.get(model.name, {})) for model in config.models], config)


def _standbys(config: ServerConfig, models: Mapping[str, Model]) -> Mapping[str, tuple[FallbackModel, ...]]:
    try:
        found = chains(config.models)
    except BrokenChain as error:
        raise CatalogueError(str(error)) from None
    for model in config.models:
        for entry in model.fallback.voices if model.fallback is not None else ():
            if entry.voice not in models[found[model.name][0].model].voices:
                raise CatalogueError(
                    f"models: the fallback of {model.name} names voice {entry.voice}, "
                    f"which {found[model.name][0].model} does not have"
                )
    return found


def missing_voices(config: ModelConfig, spoken: Spoken) -> list[str]:
    """Configured voices that the engine lacks: worth a line in the log, and refused when asked for."""
    return [voice.name for voice in config.voices if spoken and voice.name not in spoken]


def _model(config: ModelConfig, spoken: Spoken) -> Model:
    if config.voices:
        listed = {voice.name: voice.languages or config.languages for voice in config.voices}
    else:
        listed = dict(spoken)
    voices = {
        name: Voice(name, config.name, tuple(languages))
        for name, languages in listed.items()
        if not spoken or name in spoken
    }
    if not voices:
        raise CatalogueError(f"models: {config.name} has no voice that its engine can speak")
    return Model(config, voices)
