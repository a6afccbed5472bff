"""The statistical model that tells languages of one script apart: `py3langid`, 139 languages.

It takes a second of a core and 90 MB to load, so that only servers load it that route several languages of one script,
and not before a request needs it or `preload` is called. See docs/decisions/0044-language-of-a-text.md.
"""

import asyncio
from collections.abc import Mapping
from functools import cache

import structlog

from tts_server.text.language_detection import Identify

log = structlog.get_logger(__name__)


class StatisticalModel:
    """Loads the model once, in a thread. Belongs to one event loop; the function that it returns, to any thread."""

    def __init__(self) -> None:
        self._loading: asyncio.Task[Identify | None] | None = None

    def preload(self) -> None:
        """Begin to load."""
        if self._loading is None:
            self._loading = asyncio.get_running_loop().create_task(_load())

    async def identify(self) -> Identify | None:
        """Return the model once it is loaded; None if it cannot be, which is logged once."""
        self.preload()
        assert self._loading is not None  # noqa: S101 - preload sets it
        # Shielded: a client that disconnects must not end what others wait for.
        return self._loading.result() if self._loading.done() else await asyncio.shield(self._loading)


@cache
def load() -> Identify:
    """Load the model, once in a process: takes a second of a core."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier: LanguageIdentifier = LanguageIdentifier.from_model_file(MODEL_FILE)

    def identify(text: str) -> Mapping[str, float]:
        # Never restricted to some languages: that would be state, which threads and tenants would share.
        return dict(identifier.rank(text))

    return identify


async def _load() -> Identify | None:
    try:
        return await asyncio.to_thread(load)
    except Exception as error:  # without it, text is in the default language
        log.exception("statistical model of languages not loaded", error=type(error).__name__)
        return None
