"""The worker's side of normalization: numbers in words for engines that would read them badly."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tts_server.engines.protocol import Engine

if TYPE_CHECKING:
    from tts_server.text.spoken_forms import SpokenForms

_MAY_NEED_IT = re.compile(r"[\d½¼¾⅓⅔]")


class Normalization:
    """Rewrites the texts of one engine, in the languages that it asks for, or in those that the configuration names.

    The grammars are loaded with the first text that has a number: a worker starts without them. `on_loading` is called
    before that, which takes a quarter of a second of a core.
    """

    def __init__(self, engine: Engine, configured: Sequence[str] | None, on_loading: Callable[[], None]) -> None:
        own: Sequence[str] = getattr(engine, "normalized_languages", ())
        self._languages = tuple(own if configured is None else configured)
        self._voices = engine.voices
        self._on_loading = on_loading
        self._forms: SpokenForms | None = None

    def rewrite(self, wanted: dict[str, Any]) -> list[str]:
        """Replace the text of an utterance. Returns the reason of each part that stayed as it was."""
        if not self._languages or _MAY_NEED_IT.search(wanted["text"]) is None:
            return []
        if self._forms is None:
            self._on_loading()
            from tts_server.text.spoken_forms import SpokenForms

            self._forms = SpokenForms(self._languages)
        rewritten = self._forms.rewrite(wanted["text"], self._language(wanted["voice"], wanted["language"]))
        wanted["text"] = rewritten.text
        return list(rewritten.failures)

    def _language(self, voice: str, language: str | None) -> str | None:
        """Return the language that the voice will read the text in: of its own ones, that of the text or the first."""
        spoken = self._voices.get(voice, ())
        primary = (language or "").partition("-")[0]
        return next((each for each in spoken if each.partition("-")[0] == primary), next(iter(spoken), language))
