"""Parts of a live TTSModel as people read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tts_operator.fleet.tenant_view import Body, Shown, conditions_of, plain
from tts_operator.objects.kinds import MODEL
from tts_operator.objects.labels import ROLLOUT_MODE
from tts_operator.objects.names import GROUP
from tts_operator.rollout.situation import Mode, mode_of

MODELS = f"{MODEL.plural}.{GROUP}"
"""Resource of TTSModels, as kubectl takes it."""


@dataclass(frozen=True)
class VoiceView:
    """One voice of a model."""

    name: str
    model: str
    engine: str
    languages: tuple[str, ...]
    gender: str
    license: str
    """Licence as an SPDX expression; empty where the model names none."""


@dataclass(frozen=True)
class ModelView:
    """One TTSModel, read-only."""

    body: Body

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def spec(self) -> Body:
        return self.body.get("spec") or {}

    @property
    def status(self) -> Body:
        return self.body.get("status") or {}

    @property
    def annotation(self) -> str:
        """Value of the annotation that sets the mode of rollouts; empty without one."""
        return str((self.body["metadata"].get("annotations") or {}).get(ROLLOUT_MODE, ""))

    @property
    def mode(self) -> Mode:
        """How its pools roll out shared changes."""
        return mode_of({ROLLOUT_MODE: self.annotation})

    @property
    def tenants(self) -> tuple[int | None, int | None]:
        """Tenants that run its last change, and all that use it; None where no operator has counted."""
        return self.status.get("updatedTenants"), self.status.get("tenants")

    def condition(self, type_: str) -> Shown | None:
        """A condition by its type."""
        return next(iter(conditions_of(self.status, type_)), None)

    def voices(self) -> Iterator[VoiceView]:
        """Its voices; the first is the default."""
        languages = tuple(map(str, self.spec.get("languages") or ()))
        for voice in self.spec.get("voices") or ():
            own = tuple(map(str, voice.get("languages") or ())) or languages
            yield VoiceView(
                plain(voice.get("name") or ""),
                self.name,
                str(self.spec.get("engine") or ""),
                own,
                plain(voice.get("gender") or ""),
                plain(voice.get("license") or self.spec.get("license") or ""),
            )
