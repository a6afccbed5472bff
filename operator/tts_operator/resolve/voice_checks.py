"""Names of voices that lead nowhere."""

from collections.abc import Sequence

from tts_operator.api import TTSTenant
from tts_operator.objects.problem import Problem
from tts_operator.resolve.fallback import missing_voices
from tts_operator.resolve.resolved import Pool


def voice_problems(tenant: TTSTenant, pools: Sequence[Pool]) -> list[Problem]:
    """Aliases and routes that lead nowhere; nothing while a model is missing that may have the voice."""
    models = [each.model for each in pools if each.model is not None]
    if len(models) < len(pools):
        return []
    voices = {voice.name for model in models for voice in model.spec.voices}
    aliases, routes = tenant.spec.voice_aliases, tenant.spec.language_routing
    named = [
        *((f"spec.voiceAliases[{alias}]", voice) for alias, voice in aliases.items() if voice not in voices),
        *(
            (f"spec.languageRouting[{route.language}]", route.voice)
            for route in routes
            if route.voice not in voices and aliases.get(route.voice) not in voices
        ),
    ]
    return [
        Problem("VoiceNotFound", f"{where} names {voice}, a voice that no model here has") for where, voice in named
    ]


def fallback_voice_problems(pools: Sequence[Pool]) -> list[Problem]:
    """Voices by language that lead nowhere."""
    models = {each.model_name: each.model for each in pools}
    return [
        problem
        for each in pools
        if each.model is not None and each.fallback is not None and (standby := models[each.fallback]) is not None
        for problem in missing_voices(each.model, standby)
    ]
