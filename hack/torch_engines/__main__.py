"""Speaks with the real code of CosyVoice or IndexTTS and small random weights, on a CPU, through a worker pool.

It shows that a checkout, its requirements and the engine fit together: audio comes, streams, can be cancelled. Random
weights sound like noise. Nothing runs this but a person with an interpreter that has the requirements.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tts_server.errors import EngineError
from tts_server.inference.client import Utterance
from tts_server.inference.pool.worker_pool import WorkerPool

FOLDER = Path(__file__).parent
SERVER = FOLDER.parents[1] / "inference_server"
TEXT = "One two three four five."
LONG_TEXT = f"{TEXT} " * 8


def main(arguments: list[str] | None = None) -> int:
    """Build the weights in a temporary folder, and speak."""
    parser = argparse.ArgumentParser(prog="python -m hack.torch_engines", description=__doc__)
    parser.add_argument("engine", choices=["cosyvoice", "index-tts"])
    parser.add_argument("--checkout", type=Path, required=True, help="checkout of the project, with its submodules")
    parser.add_argument("--python", required=True, help="interpreter with the project's requirements, and onnx")
    parser.add_argument("--version", type=int, default=1, choices=[1, 2, 3], help="of CosyVoice (default: 1)")
    chosen = parser.parse_args(arguments)
    os.environ["PYTHONPATH"] = str(SERVER)  # the worker's half of this project, and none of its dependencies
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "recording.wav"
        noise = np.random.default_rng(0).standard_normal(3 * 16_000) * 0.1
        soundfile.write(recording, noise, 16_000)
        options = _weights(chosen, Path(folder) / "weights", recording)
        name = chosen.engine.replace("-", "")
        return asyncio.run(_speak(WorkerPool(
            name, options=options, python=chosen.python, first_audio_timeout_seconds=600, load_timeout_seconds=3600
        )))  # fmt: skip


def _weights(chosen: argparse.Namespace, directory: Path, recording: Path) -> Mapping[str, Any]:
    """Write the weights with the engine's interpreter, and return the engine's options."""
    checkout = str(chosen.checkout.resolve())
    options = {"model_directory": str(directory), "code_directory": checkout}
    if chosen.engine == "cosyvoice":
        program = [str(FOLDER / "tiny_cosyvoice.py"), checkout, str(chosen.version), str(directory)]
        prompts = {"clone": {"wav": str(recording), "text": "Hello."}}
    else:
        program = [str(FOLDER / "tiny_index_tts.py"), checkout, str(directory)]
        prompts = {"clone": {"wav": str(recording)}}
    subprocess.run([chosen.python, *program], check=True)
    return {**options, "prompts": prompts}


async def _speak(pool: WorkerPool) -> int:
    begun = time.monotonic()
    await pool.start()
    try:
        _say(f"loaded in {time.monotonic() - begun:.1f} s: {pool.sample_rate_hz} Hz, {', '.join(pool.voices)}")
        for voice in pool.voices:
            for speed in (1.0, 2.0):
                begun = time.monotonic()
                parts = [part async for part in pool.speak(Utterance(TEXT, voice, language="en", speed=speed))]
                seconds = sum(part.size for part in parts) / pool.sample_rate_hz
                _say(f"{voice} at speed {speed:g}: {seconds:.2f} s of audio in {len(parts)} parts, "
                     f"computed in {time.monotonic() - begun:.1f} s")  # fmt: skip
                if not seconds:
                    return 1
        before = pool.pids
        task = asyncio.create_task(_spoken(pool, Utterance(LONG_TEXT, next(iter(pool.voices)), language="en")))
        await asyncio.wait([task], timeout=1.0)
        task.cancel()
        await asyncio.wait([task])
        await _spoken(pool, Utterance(TEXT, next(iter(pool.voices)), language="en"))
        _say(f"cancelled after 1 s: {'the same process spoke on' if pool.pids == before else 'the process was killed'}")
    except EngineError as error:
        _say(f"failed: {error.message}")
        return 1
    finally:
        await pool.stop()
    return 0


async def _spoken(pool: WorkerPool, utterance: Utterance) -> int:
    return sum([part.size async for part in pool.speak(utterance)])


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
