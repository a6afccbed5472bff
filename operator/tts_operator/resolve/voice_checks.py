"""Checks that every voice that a tenant names exists."""

from collections.abc import Sequence

from tts_operator.api import TTSTenant
from tts_operator.objects.problem import Problem
from tts_operator.resolve.fallback import missing_voice_problems
from tts_operator.resolve.resolved import Pool
from tts_operator.resolve.suggestions import closest


def voice_problems(tenant: TTSTenant, pools: Sequence[Pool]) -> list[Problem]:
    """Aliases and routes to voices that do not exist; empty while a model is missing that may have the voice."""
    models = [pool.model for pool in pools if pool.model is not None]
    if len(models) < len(pools):
        return []
    voices = {voice.name for model in models for voice in model.spec.voices}
    aliases, routes = tenant.spec.voice_aliases, tenant.spec.language_routing
    unknown = [
        *((f"spec.voiceAliases[{alias}]", voice) for alias, voice in aliases.items() if voice not in voices),
        *(
            (f"spec.languageRouting[{route.language}]", route.voice)
            for route in routes
            if route.voice not in voices and aliases.get(route.voice) not in voices
        ),
    ]
    return [
        Problem(
            "VoiceNotFound",
            f"{field} names voice {voice}, which no model of the tenant has; their voices: {closest(voice, voices)}",
        )
        for field, voice in unknown
    ]


def fallback_voice_problems(pools: Sequence[Pool]) -> list[Problem]:
    """Voices in `spec.fallback.voices` of models that their fallback models do not have."""
    models = {pool.model_name: pool.model for pool in pools}
    return [
        problem
        for pool in pools
        if pool.model is not None and pool.fallback is not None
        if (fallback_model := models[pool.fallback]) is not None
        for problem in missing_voice_problems(pool.model, fallback_model)
    ]
