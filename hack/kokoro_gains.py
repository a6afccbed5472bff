"""`python -m hack.kokoro_gains` measures each voice of Kokoro and writes the gains that make them equally loud.

It takes minutes on an idle machine, and needs what `tts-install-kokoro` installs and the extra `espeak`.
"""

import json
import sys
from pathlib import Path

import numpy as np

from tts_server.engines.onnx.family import FloatSamples
from tts_server.engines.onnx.hibari import Hibari
from tts_server.engines.onnx.kokoro import Kokoro
from tts_server.engines.onnx.loudness import GAINS_FILE, gain
from tts_server.engines.voice_blend import parse_blend
from tts_server.synthesis.loudness import float_loudness_lkfs

TARGET_LUFS = -20.0
"""Loudness of every voice after its gain."""
# Two sentences in each language: a statement and a question, without digits.
TEXTS = {
    "en": ("Heavy rain is expected tonight along the coast.", "Could you tell me where I can find the post office?"),
    "zh": ("今天天气很好，我们一起去公园散步吧。", "请问最近的地铁站在哪里？"),
    "ja": ("今日は天気がいいので、公園を散歩しましょう。", "すみません、駅はどこですか？"),
    "es": ("El tren sale a las diez de la mañana.", "¿Dónde está la oficina de correos más cercana?"),
    "fr": ("Le train part dans une demi-heure.", "Bonjour, où est le bureau de poste le plus proche ?"),
    "it": ("Il treno parte dal secondo binario.", "Mi sa dire dove si trova l'ufficio postale?"),
    "pt": ("O trem sai da segunda plataforma.", "Onde fica a agência dos correios mais próxima?"),
    "hi": ("आज मौसम बहुत अच्छा है।", "सबसे नज़दीकी डाकघर कहाँ है?"),
}


def main() -> int:
    """Write the table. Returns 0."""
    kokoro = Kokoro()
    measured: dict[str, float] = {}
    for voice, tags in kokoro.voices.items():
        texts = TEXTS[tags[0].partition("-")[0]]
        parts = [kokoro.render(piece, voice, 1.0) for text in texts for piece in kokoro.phonemes(text, voice, tags[0])]
        samples = np.concatenate(parts) / np.float32(gain(parse_blend(voice)))
        measured[voice] = _loudness_lufs(samples, kokoro.sample_rate_hz)
        print(f"{voice} {measured[voice]:.2f} LUFS, highest sample {np.abs(samples).max():.2f}", flush=True)
    table = {
        "command": "python -m hack.kokoro_gains",
        "target_lufs": TARGET_LUFS,
        "gains_decibels": {voice: round(TARGET_LUFS - lufs, 1) for voice, lufs in sorted(measured.items())},
    }
    Path(GAINS_FILE).write_text(json.dumps(table, indent=2) + "\n", "utf-8")
    print(f"heart of Hibari with its gain: {_loudness_of_heart():.2f} LUFS")
    return 0


def _loudness_of_heart() -> float:
    heart = Hibari()
    parts = [heart.render(piece, "heart", 1.0) for text in TEXTS["en"] for piece in heart.phonemes(text, "heart", "en")]
    return _loudness_lufs(np.concatenate(parts), heart.sample_rate_hz)


def _loudness_lufs(samples: FloatSamples, sample_rate_hz: int) -> float:
    found = float_loudness_lkfs(samples, sample_rate_hz)  # LUFS and LKFS are two names of one unit
    if found is None:
        raise ValueError("the voice is silent")
    return found


if __name__ == "__main__":
    sys.exit(main())
