"""Engines outside the server: another speech server, in another place or in the same pod."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tts_operator.api.base import (
    REACHABLE,
    AbsolutePath,
    APIModel,
    BaseURL,
    ImageReference,
    ObjectReference,
    Port,
    VoiceName,
    atomic,
    cel,
    field_cel,
    list_map,
    list_set,
)
from tts_operator.api.resources import ResourceRequirements
from tts_server.config.schema import HTTP_PORT, METRICS_PORT

RemoteModelName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
ServerVoices = Annotated[
    dict[str, VoiceName],
    Field(max_length=256),
    field_cel(("self.all(voice, voice.size() >= 1 && voice.size() <= 128)", "a voice must have 1 to 128 characters")),
]
Word = Annotated[str, StringConstraints(max_length=1024)]


class SpeechServer(APIModel):
    """How to ask a speech server with OpenAI's audio API."""

    path_prefix: Annotated[str, StringConstraints(pattern=r"^(/[^/?#\s]+)*$", max_length=256)] = "/v1"
    """Path before `/audio/speech`."""
    model: RemoteModelName | None = None
    """Model to name in requests to the server. Default: the TTSModel's name."""
    voices: ServerVoices = {}
    """The server's voices by those of `spec.voices`. Default: the same names."""
    response_format: Literal["wav", "pcm"] = "wav"
    """Format to ask for: `wav`, whose header states the sample rate, or `pcm` at `spec.sampleRateHz`."""
    speed: Literal["Passed", "Here"] = "Passed"
    """Place where the speed is changed: Passed leaves it to the server, Here stretches its audio."""
    max_concurrent_requests: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Maximum requests of one replica at the same time; more are queued. Default: no limit."""
    silence_timeout_seconds: Annotated[int, Field(ge=1, le=600)] = 10
    """Maximum wait between two parts of the audio. `spec.firstAudioTimeoutSeconds` limits the wait for the first."""
    retries: Annotated[int, Field(ge=0, le=3)] = 1
    """Further attempts after a connection that fails before the server answers."""


class RemoteEngine(SpeechServer):
    """Speech server outside the pod."""

    url: Annotated[BaseURL, REACHABLE]
    """Base URL, without /v1. Pods of the model may reach this host, and no other one for it."""
    protocol: Literal["OpenAI", "DashScope"] = "OpenAI"
    """API of the server: OpenAI's, or DashScope's for Sambert of Alibaba Cloud."""
    secret_ref: ObjectReference | None = None
    """Secret in the operator's namespace with `apiKey`."""


class EnvironmentVariable(APIModel):
    """One variable of a container."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
    """Name of the variable."""
    value: Annotated[str, StringConstraints(max_length=4096)] = ""
    """Value of the variable; references to other variables are not expanded."""


class SidecarEngine(SpeechServer):
    """Speech server in the same pod. It starts before the server, and ends after it."""

    model_config = cel(
        (
            f"!(self.port in [{HTTP_PORT}, {METRICS_PORT}])",
            f"port must not be {HTTP_PORT} or {METRICS_PORT}, on which the server container listens",
        )
    )

    image: ImageReference
    """Image of the container. It contains the weights: the pod may reach no other host for them."""
    port: Port
    """Port on which the container listens, on all addresses: the kubelet probes it, and a NetworkPolicy closes it."""
    command: Annotated[tuple[Word, ...], Field(max_length=64), atomic()] = ()
    """Command of the container. Default: that of the image."""
    args: Annotated[tuple[Word, ...], Field(max_length=64), atomic()] = ()
    """Arguments of the container."""
    env: Annotated[tuple[EnvironmentVariable, ...], Field(max_length=64), list_map("name")] = ()
    """Environment variables of the container."""
    resources: ResourceRequirements
    """Resource requests and limits of the container. Those of the server beside it are in `spec.precisions`."""
    readiness_path: Annotated[str, StringConstraints(pattern=r"^/.*$", max_length=256)] = "/health"
    """Path that returns 200 when the container is ready."""
    run_as_user: Annotated[int, Field(ge=1, le=2_147_483_647)] | None = None
    """User ID of the container. Default: that of its image, which must be a number other than 0."""
    writable_paths: Annotated[tuple[AbsolutePath, ...], Field(max_length=16), list_set()] = ()
    """Directories with a writable emptyDir volume; the rest of the file system is read-only."""
