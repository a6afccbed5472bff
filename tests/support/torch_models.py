"""Model directories of CosyVoice and IndexTTS whose files are empty of weights, for the fake checkout."""

import json
import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tts_server.engines.cosyvoice.engine import CLASSES, FILES
from tts_server.engines.index_tts.release import AUXILIARY, SEMANTIC_CODEC

CHECKOUT = Path(__file__).parent / "fake_upstream"
CHECKPOINTS = ("gpt_checkpoint", "bigvgan_checkpoint", "w2v_stat", "s2mel_checkpoint", "emo_matrix", "spk_matrix")


def cosyvoice_options(folder: Path, version: int = 1, **changes: Any) -> dict[str, Any]:
    """Options of engine CosyVoice over a new model directory; version 1 has two speakers of its own."""
    directory = folder / "cosyvoice"
    yaml = next(file for file, (number, _) in CLASSES.items() if number == version)
    for name in (yaml, *FILES[version]):
        written(directory / name, "weights")
    if version == 1:
        written(directory / "spk2info.pt", "中文女 英文女")
    prompts = {"clone": {"wav": str(recording(folder / "prompt.wav")), "text": "Hello."}}
    return {"model_directory": str(directory), "code_directory": str(CHECKOUT), "prompts": prompts, **changes}


def index_tts_options(folder: Path, version: str = "2.0", **changes: Any) -> dict[str, Any]:
    """Options of engine IndexTTS over a new model directory, with two voices."""
    directory = folder / "index_tts"
    settings = {name: f"{name}.pth" for name in CHECKPOINTS} | {"bpe_model": "bpe.model"}
    for name in (*settings.values(), *AUXILIARY, SEMANTIC_CODEC, "codec.pth"):
        written(directory / name, "weights")
    lines = [f"version: {version}", "dataset:", *(f"    {name}: {file}" for name, file in settings.items())]
    written(directory / "config.yaml", "\n".join(lines))
    prompts = {name: {"wav": str(recording(folder / f"{name}.wav"))} for name in ("anna", "bert")}
    return {"model_directory": str(directory), "code_directory": str(CHECKOUT), "prompts": prompts, **changes}


def written(file: Path, content: str) -> Path:
    """Write a file with its folders, and return it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, "utf-8")
    return file


def recording(file: Path) -> Path:
    """Write a second of silence as a WAV file, and return it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(file), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(bytes(32_000))
    return file


def adapter(folder: Path, a: NDArray[Any], b: NDArray[Any], **config: Any) -> Path:
    """Write the adapter of one module, as PEFT does, and return its folder."""
    settings = {"peft_type": "LORA", "r": a.shape[0], "lora_alpha": a.shape[0], **config}
    written(folder / "adapter_config.json", json.dumps(settings))
    prefix = "base_model.model.layers.0.proj.lora_"
    tensors = {f"{prefix}A.weight": a.astype("<f4"), f"{prefix}B.weight": b.astype("<f4")}
    header, data = {}, b""
    for name, values in tensors.items():
        end = len(data) + values.nbytes
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [len(data), end]}
        data += np.ascontiguousarray(values).tobytes()
    encoded = json.dumps(header).encode()
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(encoded)) + encoded + data)
    return folder
