from __future__ import annotations

import sys
from pathlib import Path

from tts_server.app.engine_python import VARIABLE, engine_python
from tts_server.config.schema import LocalEngine
from tts_server.config.torch_engines import CosyVoiceConfig

COSYVOICE = CosyVoiceConfig(model_directory=Path("/models"))
IMAGE = {VARIABLE: "/opt/engine/bin/python"}


def test_an_image_names_the_interpreter_of_its_engine() -> None:
    assert engine_python(LocalEngine(type="CosyVoice", cosy_voice=COSYVOICE), IMAGE) == "/opt/engine/bin/python"
    assert engine_python(LocalEngine(), IMAGE) == sys.executable, "eSpeak NG is one of the server's own packages"


def test_the_configuration_goes_first() -> None:
    engine = LocalEngine(type="CosyVoice", cosy_voice=COSYVOICE, python=Path("/conda/bin/python"))
    assert engine_python(engine, IMAGE) == "/conda/bin/python"


def test_without_either_it_is_the_servers_own() -> None:
    assert engine_python(LocalEngine(type="CosyVoice", cosy_voice=COSYVOICE), {}) == sys.executable
