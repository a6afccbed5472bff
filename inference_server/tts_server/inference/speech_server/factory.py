"""Builds the client of a speech server from its configuration."""

from tts_server.config.schema import SpeechServerEngine
from tts_server.inference.speech_server.client import ServerHooks, ServerOptions, SpeechServerClient
from tts_server.inference.speech_server.dashscope_exchange import SPEEDS as DASHSCOPE_SPEEDS
from tts_server.inference.speech_server.dashscope_exchange import DashScopeExchange
from tts_server.inference.speech_server.exchange import Exchange, ServerConnection
from tts_server.inference.speech_server.openai_exchange import SPEEDS as OPENAI_SPEEDS
from tts_server.inference.speech_server.openai_exchange import OpenAIExchange

SPEECH_PATH = "/audio/speech"


def speech_server_client(
    engine: SpeechServerEngine, model: str, *, first_audio_timeout_seconds: float, hooks: ServerHooks | None = None
) -> SpeechServerClient:
    """Return the client, not started. `model` is its name in this server's configuration."""
    options = ServerOptions(
        model=model,
        upstream_model=engine.model or "",
        voices=engine.voices,
        response_format=engine.response_format,
        sample_rate_hz=engine.sample_rate_hz,
        speeds=speeds_of(engine),
        fields=engine.request_fields,
        first_audio_timeout_seconds=first_audio_timeout_seconds,
        silence_timeout_seconds=engine.silence_timeout_seconds,
        max_concurrent_requests=engine.max_concurrent_requests,
        retries=engine.retries,
    )
    return SpeechServerClient(exchange_of(engine), options, hooks)


def speeds_of(engine: SpeechServerEngine) -> tuple[float, float]:
    """Return the range of speeds that the server is asked for."""
    if engine.speed == "Here":
        return 1.0, 1.0
    return DASHSCOPE_SPEEDS if engine.protocol == "DashScope" else OPENAI_SPEEDS


def exchange_of(engine: SpeechServerEngine) -> Exchange:
    """Return the exchange of the engine's protocol."""
    is_dashscope = engine.protocol == "DashScope"
    connection = ServerConnection(
        engine.url if is_dashscope else engine.url.rstrip("/") + engine.path_prefix + SPEECH_PATH,
        api_key_file=engine.api_key_file,
        ca_file=engine.ca_file,
        connect_timeout_seconds=engine.connect_timeout_seconds,
        refuse_local_addresses=engine.refuse_local_addresses,
    )
    return DashScopeExchange(connection) if is_dashscope else OpenAIExchange(connection)
