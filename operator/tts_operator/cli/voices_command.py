"""`kubectl tts voices`: the voices of all models, with a command to listen to each."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from tts_operator.cli.arguments import object_name
from tts_operator.cli.command import Answer
from tts_operator.cli.common_flags import JSON, TABLE, WIDE, YAML, add_output_flag, add_scope_flags, as_data
from tts_operator.cli.tables import table
from tts_operator.fleet.kubectl import Kubectl
from tts_operator.fleet.model_view import MODELS, ModelView, VoiceView
from tts_operator.fleet.tenant_view import TenantView

HEADER = ("VOICE", "LANGUAGES", "GENDER", "LICENCE", "MODEL", "ENGINE", "LISTEN")
MOST_LANGUAGES = 4
SENTENCES = {
    "de": "Guten Morgen, so klingt diese Stimme.",
    "en": "Good morning, this is how the voice sounds.",
    "es": "Buenos días, así suena esta voz.",
    "fr": "Bonjour, voici le son de cette voix.",
    "it": "Buongiorno, questa voce suona così.",
    "ja": "おはようございます。この声をお聞きください。",
    "ko": "안녕하세요, 이 목소리를 들어 보세요.",
    "pt": "Bom dia, esta voz soa assim.",
    "zh": "早上好，请听听这个声音。",
}


def add_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument("--language", metavar="TAG", help="Only voices of a language, such as zh or en-GB.")
    command.add_argument("--model", type=object_name, metavar="NAME", help="Only voices of a TTSModel.")
    add_scope_flags(command)
    add_output_flag(command, (TABLE, WIDE, JSON, YAML))


def run(options: argparse.Namespace) -> Answer:
    """The voices, with a command for those that a tenant of the chosen namespaces speaks."""
    kubectl = Kubectl.of(options)
    models = sorted(map(ModelView, kubectl.items(MODELS)), key=lambda model: model.name)
    voices = chosen((voice for model in models for voice in model.voices()), options.language, options.model)
    speakers = speakers_of(map(TenantView, kubectl.permitted_items("ttstenants.ttsfleet.io") or ()))
    if options.output in (JSON, YAML):
        return Answer(as_data(options.output, [summary(voice, speakers) for voice in voices]))
    if not voices:
        return Answer.of("There are no such voices.\n")
    return Answer(table([HEADER, *(cells(voice, speakers, wide=options.output == WIDE) for voice in voices)]))


def chosen(voices: Iterable[VoiceView], language: str | None, model: str | None) -> list[VoiceView]:
    """Voices of a language and of a model; `zh` takes zh-CN and cmn, too."""
    return [
        voice
        for voice in voices
        if model in (None, voice.model)
        and (language is None or any(speaks(each, language) for each in voice.languages))
    ]


def speaks(tag: str, wanted: str) -> bool:
    """Whether a language tag is the wanted one, or a narrower one."""
    return tag.lower() == wanted.lower() or tag.lower().startswith(f"{wanted.lower()}-")


def speakers_of(tenants: Iterable[TenantView]) -> dict[str, TenantView]:
    """A tenant for each model, with ready replicas if there is one."""
    found: dict[str, tuple[bool, TenantView]] = {}
    for tenant in tenants:
        for pool in tenant.pools:
            serves = int(pool.get("ready") or 0) > 0 and pool.get("role") != "Fallback"
            name = str(pool.get("model"))
            if name not in found or (serves and not found[name][0]):
                found[name] = (serves, tenant)
    return {name: tenant for name, (_, tenant) in found.items()}


def listen(voice: VoiceView, speakers: Mapping[str, TenantView]) -> str:
    """Command that plays a sentence in the voice; empty where no tenant has its model."""
    tenant = speakers.get(voice.model)
    if tenant is None:
        return ""
    language = next((tag.partition("-")[0] for tag in voice.languages), "en")
    text = SENTENCES.get({"cmn": "zh"}.get(language, language), SENTENCES["en"])
    words = ["kubectl", "tts", "say", tenant.name, text, "-n", tenant.namespace]
    return shlex.join([*words, "--model", voice.model, "--voice", voice.name, "--play"])


def cells(voice: VoiceView, speakers: Mapping[str, TenantView], *, wide: bool = False) -> tuple[str, ...]:
    """One line of the table."""
    languages = voice.languages if wide else voice.languages[:MOST_LANGUAGES]
    more = len(voice.languages) - len(languages)
    return (
        voice.name,
        ",".join(languages) + (f" and {more} more" if more else ""),
        voice.gender or "-",
        voice.license or "-",
        voice.model,
        voice.engine,
        listen(voice, speakers) or "-",
    )


def summary(voice: VoiceView, speakers: Mapping[str, TenantView]) -> dict[str, Any]:
    """One voice for programs."""
    return {
        "name": voice.name,
        "model": voice.model,
        "engine": voice.engine,
        "languages": list(voice.languages),
        "gender": voice.gender or None,
        "license": voice.license or None,
        "listen": listen(voice, speakers) or None,
    }
