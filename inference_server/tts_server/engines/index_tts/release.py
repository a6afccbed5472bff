"""Releases of IndexTTS: which class of upstream speaks with a model directory, and which files it reads."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tts_server.engines.pytorch.checkout import require_files
from tts_server.errors import EngineUnavailable

CONFIG_FILE = "config.yaml"


@dataclass(frozen=True)
class Release:
    """The differences between releases."""

    module: str
    class_name: str
    precision_option: str
    """Keyword of the constructor for 16 bit weights: bfloat16 since 2.5."""
    sample_rate_hz: int
    settings: tuple[str, ...]
    """Keys of the configuration that name files of the model directory."""
    files: tuple[str, ...] = ()
    """Further files of the model directory."""
    streams: bool = True
    """Whether upstream yields each part of a text as soon as it is computed."""
    takes_language: bool = False
    """Whether upstream takes the language, and a factor for the duration."""


AUXILIARY = (
    "hf_cache/w2v-bert-2.0/config.json",
    "hf_cache/w2v-bert-2.0/preprocessor_config.json",
    "hf_cache/campplus_cn_common.bin",
    "hf_cache/bigvgan/config.json",
    "hf_cache/bigvgan/bigvgan_generator.pt",
)
"""Weights of other projects, where upstream's `ensure_models_available` puts them."""
SEMANTIC_CODEC = "hf_cache/semantic_codec_model.safetensors"
_SECOND = ("gpt_checkpoint", "w2v_stat", "s2mel_checkpoint", "emo_matrix", "spk_matrix")

FIRST = Release(
    "indextts.infer", "IndexTTS", "use_fp16", 24_000, ("gpt_checkpoint", "bigvgan_checkpoint", "bpe_model"),
    streams=False,
)  # fmt: skip
SECOND = Release(
    "indextts.infer_v2", "IndexTTS2", "use_fp16", 22_050, (*_SECOND, "bpe_model"), (*AUXILIARY, SEMANTIC_CODEC)
)
SECOND_AND_A_HALF = Release(
    "indextts.infer_v2_5", "IndexTTS2", "use_bf16", 22_050, _SECOND, (*AUXILIARY, "codec.pth"), takes_language=True
)


def read_release(directory: Path) -> Release:
    """Return the release of a model directory, all of whose files are there. Raises `EngineUnavailable`."""
    require_files(directory, (CONFIG_FILE,), "IndexTTS")
    config = (directory / CONFIG_FILE).read_text("utf-8", "replace")
    version = re.search(r"^version:[ \t]*[\"']?([0-9]+(?:\.[0-9]+)?)", config, re.MULTILINE)
    release = _of_version(float(version[1]) if version else 1.0)
    settings = _file_settings(config)
    for name in release.settings:
        if name not in settings:
            raise EngineUnavailable(f"{directory / CONFIG_FILE} has no {name}, which {release.class_name} reads.")
    require_files(directory, (*(settings[name] for name in release.settings), *release.files), release.class_name)
    return release


def auxiliary_paths(directory: Path) -> dict[str, str]:
    """Return upstream's `aux_paths` of IndexTTS 2: with them it does not look for downloads."""
    cache = directory / "hf_cache"
    return {
        "w2v_bert": str(cache / "w2v-bert-2.0"),
        "semantic_codec": str(directory / SEMANTIC_CODEC),
        "campplus": str(cache / "campplus_cn_common.bin"),
        "bigvgan": str(cache / "bigvgan"),
    }


def _of_version(version: float) -> Release:
    if version < 2.0:
        return FIRST
    return SECOND if version < 2.5 else SECOND_AND_A_HALF


def _file_settings(config: str) -> Mapping[str, str]:
    """Read `key: value` lines of any depth. The worker has no YAML reader before upstream's packages are loaded."""
    return dict(re.findall(r"^[ \t]*([a-z0-9_]+):[ \t]*[\"']?([^\s\"'#]+)", config, re.MULTILINE))
