"""Engine options of server.json for another speech server."""

from typing import Literal

from tts_operator.api import TTSModel
from tts_operator.api.speech_server import SpeechServer
from tts_server.config.schema import SpeechServerEngine

LOOPBACK = "127.0.0.1"


def speech_server_engine(model: TTSModel) -> SpeechServerEngine | None:
    """Settings of engine Remote or Sidecar; None for other engines.

    A host that the platform names may not mean the node or its cloud either: the server refuses such an address.
    """
    remote, sidecar = model.spec.remote, model.spec.sidecar
    if remote is not None:
        engine = shared_options(model, remote, "Remote", remote.url)
        return engine.model_copy(update={"protocol": remote.protocol, "refuse_local_addresses": True})
    if sidecar is not None:
        return shared_options(model, sidecar, "Sidecar", f"http://{LOOPBACK}:{sidecar.port}")
    return None


def shared_options(
    model: TTSModel, server: SpeechServer, kind: Literal["Remote", "Sidecar"], url: str
) -> SpeechServerEngine:
    """The options that both engines have."""
    return SpeechServerEngine(
        type=kind,
        url=url,
        path_prefix=server.path_prefix,
        model=server.model,
        voices=server.voices,
        response_format=server.response_format,
        sample_rate_hz=model.spec.sample_rate_hz,
        speed=server.speed,
        silence_timeout_seconds=server.silence_timeout_seconds,
        max_concurrent_requests=server.max_concurrent_requests,
        retries=server.retries,
    )
