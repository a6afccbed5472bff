"""Engines by name: those of this package, then the entry points of the group `ttsfleet.engines`."""

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module, metadata

from tts_server.engines.protocol import EngineFactory
from tts_server.errors import EngineUnavailable

GROUP = "ttsfleet.engines"

BUILT_IN: Mapping[str, str] = {"espeak": "tts_server.engines.espeak:Espeak"}
"""Found without a look at the installed packages, which would cost a worker's start more than eSpeak's loading."""


PACKAGES: Mapping[str, tuple[str, ...]] = {"espeak": ("ttsfleet", "espeakng-loader")}
"""What makes the sound of an engine that is built in: this package, and the one with its library and voices."""


def engine_factory(name: str) -> EngineFactory:
    """What makes the engine called `name`; `module:attribute` names one that is not registered.

    Raises `EngineUnavailable` for a name that nobody registered and for a module that does not import.
    """
    reference = name if ":" in name else BUILT_IN.get(name) or _entry_point(name)
    module, _, attribute = reference.partition(":")
    try:
        factory: EngineFactory = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise EngineUnavailable(f"Engine {name} does not load: {error}") from error
    return factory


def engine_names() -> list[str]:
    """Every registered name, sorted."""
    return sorted({*BUILT_IN, *(entry.name for entry in metadata.entry_points(group=GROUP))})


@cache
def engine_version(name: str) -> str:
    """Another one whenever the engine may sound otherwise: the versions of the packages that make its sound."""
    brought = [entry.dist for entry in metadata.entry_points(group=GROUP, name=name) if entry.dist is not None]
    versions = [f"{package.name} {package.version}" for package in brought]
    for package in PACKAGES.get(name, ()):
        with suppress(metadata.PackageNotFoundError):
            versions.append(f"{package} {metadata.version(package)}")
    return ", ".join(versions)


def _entry_point(name: str) -> str:
    for entry in metadata.entry_points(group=GROUP, name=name):
        return entry.value
    raise EngineUnavailable(f"No engine is called {name}; this installation has {', '.join(engine_names())}.")
