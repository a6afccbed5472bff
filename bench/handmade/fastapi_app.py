"""FastAPI and an executor: one process, the library behind a lock, since it cannot be used by two threads at once."""

from __future__ import annotations

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import soundfile
from fastapi import FastAPI, Response
from pydantic import BaseModel

from tts_server.engines.espeak import Espeak

app = FastAPI()
engine = Espeak()
executor = ThreadPoolExecutor(1)


class SpeechRequest(BaseModel):
    input: str


@app.get("/readyz")
async def ready() -> str:
    return "ready"


@app.post("/v1/audio/speech")
async def speech(body: SpeechRequest) -> Response:
    content = await asyncio.get_running_loop().run_in_executor(executor, spoken, body.input)
    return Response(content, media_type="audio/wav")


def spoken(text: str) -> bytes:
    sound = np.concatenate(list(engine.speak(text, "en-us", None, 1.0)))
    file = io.BytesIO()
    soundfile.write(file, sound, engine.sample_rate_hz, format="WAV", subtype="PCM_16")
    return file.getvalue()
