"""Flask behind gunicorn: each worker process speaks one whole request at a time."""

from __future__ import annotations

import io

import numpy as np
import soundfile
from flask import Flask, Response, request

from tts_server.engines.espeak import Espeak

app = Flask(__name__)
engine = Espeak()


@app.get("/readyz")
def ready() -> str:
    return "ready"


@app.post("/v1/audio/speech")
def speech() -> Response:
    body = request.get_json()
    sound = np.concatenate(list(engine.speak(body["input"], "en-us", None, 1.0)))
    file = io.BytesIO()
    soundfile.write(file, sound, engine.sample_rate_hz, format="WAV", subtype="PCM_16")
    return Response(file.getvalue(), mimetype="audio/wav")
