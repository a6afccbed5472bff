"""Compares this server with others on the same weights: fastkokoro on Kokoro-82M, and piper-tts[http] on joe.
Sentences of ten words as WAV, each new, without a cache; one engine process with one thread each. Both servers run at
once and are asked in turns. Overhead over the graph: CPU time of server and engine per sentence beside that of the
graph alone for the same sentences, in one process.

fastkokoro and piper-tts are for this measurement only: FASTKOKORO and PIPER_PYTHON name the program of the one, and the
Python of the other, in environments of their own. Without one its rows are left out.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.beside import SECONDS
from bench.figures import Figure
from bench.load import Endpoint, Heard, keep_asking
from bench.servers import SENTENCE, Running, free_ports, running, wait_listening
from bench.voices import GRAPHS, JOE, KOKORO, VOICES
from tts_server.engines.onnx.engine import FAMILIES

CALLERS = (1, 4, 16)
TURNS = int(os.environ.get("TURNS", "3"))
OVERHEAD_SENTENCES = 6
FASTKOKORO = os.environ.get("FASTKOKORO", "")
PIPER_PYTHON = os.environ.get("PIPER_PYTHON", "")
OVERHEAD_AIMS = {"kokoro": "aim: at most 5 %", "heart": "aim: at most 10 %"}
Bodies = Iterator[dict[str, Any]]


def measure() -> list[Figure]:
    figures = [Figure("load of the machine, before", os.getloadavg()[0], "", "1 minute")]
    if FASTKOKORO and "kokoro" in VOICES:
        figures += beside_ours("kokoro", "fastkokoro", fastkokoro, "/v1/audio/speech", openai_bodies("af_heart"))
    if PIPER_PYTHON:
        figures += beside_ours("joe", "piper-tts", piper, "/synthesize", piper_bodies())
    for model in ("kokoro", "heart"):
        if model in VOICES:
            figures += overhead(model)
    return [*figures, Figure("load of the machine, after", os.getloadavg()[0], "", "1 minute")]


def beside_ours(
    model: str, peer: str, start: Callable[[ExitStack], int], path: str, peer_bodies: Bodies
) -> Iterator[Figure]:
    """Rows of both servers, and how they compare, for each number of callers."""
    with ExitStack() as stack:
        endpoint = Endpoint(start(stack), path)
        server = stack.enter_context(ours(model))
        asked = {"ours": (Endpoint(server.port), openai_bodies(VOICES[model][1])), peer: (endpoint, peer_bodies)}
        for target, bodies in asked.values():  # opens what is opened once
            asyncio.run(keep_asking(target, bodies, callers=1, seconds=0.1))
        for callers in CALLERS:
            heard = {name: Heard() for name in asked}
            for _ in range(TURNS):
                for name, (target, bodies) in asked.items():
                    turn = asyncio.run(keep_asking(target, bodies, callers=callers, seconds=SECONDS / TURNS))
                    heard[name].answers += turn.answers
                    heard[name].seconds += turn.seconds
            yield from rows(model, callers, heard)


def rows(model: str, callers: int, heard: Mapping[str, Heard]) -> Iterator[Figure]:
    for name, found in heard.items():
        load = f"{model}, {callers} callers, {name}" if callers > 1 else f"{model}, 1 caller, {name}"
        others = f"{found.failed} failed, {len(found.answers) - len(found.spoken) - found.failed} refused by design"
        yield Figure(f"{load}: sentences", found.per_second, "/s", others)
        if found.spoken:
            yield Figure(f"{load}: first audio, P50", found.first_percentile(50) * 1e3, "ms")
            yield Figure(f"{load}: first audio, P95", found.first_percentile(95) * 1e3, "ms")


def openai_bodies(voice: str) -> Bodies:
    for number in itertools.count():
        text = f"{number} {SENTENCE}"
        yield {"model": "tts-1", "voice": voice, "input": text, "response_format": "wav"}


def piper_bodies() -> Bodies:
    for number in itertools.count():
        yield {"text": f"{number} {SENTENCE}"}


@contextmanager
def ours(model: str) -> Iterator[Running]:
    """This server with one model, whose files it is told: its cache folder is empty."""
    options, voice = VOICES[model]
    if model == "kokoro":
        files = {"model": "kokoro.int8.onnx", "voices": "voices", "vocabulary": "vocabulary.json"}
        options = {**options, "files": {name: str(KOKORO / file) for name, file in files.items()}}
    engine = {"type": "Onnx", "onnx": options}
    config = {
        "models": [{"name": model, "engine": engine, "firstAudioTimeoutSeconds": 60}],
        "modelAliases": {"tts-1": model},
        "voiceAliases": {"alloy": voice},
        "languageRouting": [{"language": "default", "voice": voice}],
        "cache": {"enabled": False},
    }
    with running(os.sched_getaffinity(0), config) as server:
        yield server


def fastkokoro(stack: ExitStack) -> int:
    """Start fastkokoro on the same files; return its port."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ttsfleet-bench-")))
    voices = {
        file.stem: np.fromfile(file, np.float32).reshape(-1, 1, 256) for file in (KOKORO / "voices").glob("*.bin")
    }
    with (folder / "voices.bin").open("wb") as file:
        np.savez(file, **voices)  # type: ignore[arg-type]  # numpy's stubs take a mapping for flags
    (port,) = free_ports(1)
    settings = {
        "MODEL_PATH": GRAPHS["kokoro"][0],
        "VOICES_PATH": folder / "voices.bin",
        "CACHE_DIR": folder / "cache",
        "HOST": "127.0.0.1",
        "PORT": port,
        "ONNX_INTRA_OP_NUM_THREADS": 1,
        "ONNX_AUTO_PROVIDERS": "false",
    }
    environment = {f"FASTKOKORO_{name}": str(value) for name, value in settings.items()}
    stack.enter_context(other_server([FASTKOKORO], port, {**environment, "HF_HUB_OFFLINE": "1"}))
    return port


def piper(stack: ExitStack) -> int:
    """Start Piper's server; return its port."""
    (port,) = free_ports(1)
    command = [PIPER_PYTHON, "-m", "piper.http_server", "-m", str(JOE), "--host", "127.0.0.1", "--port", str(port)]
    stack.enter_context(other_server(command, port, {"OMP_NUM_THREADS": "1"}))
    return port


@contextmanager
def other_server(command: list[str], port: int, environment: Mapping[str, str]) -> Iterator[None]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log)
        try:
            wait_listening(process, port)
            yield
        except RuntimeError as error:
            log.seek(0)
            raise RuntimeError(f"{error}: {log.read()[-2000:].decode(errors='replace')}") from error
        finally:
            process.terminate()
            process.wait()


def overhead(model: str) -> Iterator[Figure]:
    """CPU time of a sentence through the server beside that of its graph."""
    bodies = openai_bodies(VOICES[model][1])
    texts = [str(next(bodies)["input"]) for _ in range(OVERHEAD_SENTENCES)]
    graph = graph_seconds(model, texts)
    with ours(model) as server:
        voice = VOICES[model][1]
        asyncio.run(ask_all(Endpoint(server.port), texts[:2], voice))
        before = sum(server.cpu_seconds())
        heard = asyncio.run(ask_all(Endpoint(server.port), texts, voice))
        served = (sum(server.cpu_seconds()) - before) / len(texts)
    if heard.failed:
        raise RuntimeError(f"{heard.failed} of {len(texts)} sentences failed")
    yield Figure(f"{model}: CPU time of a sentence's graph", graph * 1e3, "ms")
    yield Figure(f"{model}: CPU time of a sentence through the server", served * 1e3, "ms")
    yield Figure(f"{model}: overhead over the graph", (served / graph - 1) * 100, "%", OVERHEAD_AIMS[model])


async def ask_all(endpoint: Endpoint, texts: list[str], voice: str) -> Heard:
    bodies = ({"model": "tts-1", "voice": voice, "input": text, "response_format": "wav"} for text in texts)
    heard = Heard()
    for body in bodies:
        found = await keep_asking(endpoint, itertools.repeat(body), callers=1, seconds=0.0001)
        heard.answers += found.answers
        heard.seconds += found.seconds
    return heard


def graph_seconds(model: str, texts: list[str]) -> float:
    """CPU seconds of the graph per sentence: what is before and after it does not count."""
    options, voice = VOICES[model]
    family = FAMILIES[options["family"]](**{name: Path(file) for name, file in options.get("files", {}).items()})
    run, spent = family.session.run, [0.0]

    def timed(inputs: Any) -> Any:
        begun = time.process_time()
        try:
            return run(inputs)
        finally:
            spent[0] += time.process_time() - begun

    family.session.run = timed  # type: ignore[method-assign]
    for position, text in enumerate([texts[0], *texts]):
        for piece in family.phonemes(text, voice, None):
            family.render(piece, voice, 1.0)
        if position == 0:  # the first run is slower
            spent[0] = 0.0
    return spent[0] / len(texts)
