"""Options of engine Onnx, and engines outside the server: remote ones and sidecars."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from tts_operator.api.base import (
    REACHABLE,
    URL,
    AbsolutePath,
    APIModel,
    ImageReference,
    ObjectReference,
    Port,
    RelativePath,
    atomic,
    list_map,
    list_set,
)


class OnnxFamily(StrEnum):
    """Architecture of an ONNX graph."""

    HIBARI = "Hibari"
    KOKORO = "Kokoro"
    PIPER = "Piper"


class OnnxFiles(APIModel):
    """Paths of a model's files in its source."""

    model: RelativePath | None = None
    """The ONNX graph."""
    voices: RelativePath | None = None
    """Voice vectors. Default: those in the server image, for the families whose voices it contains."""
    vocabulary: RelativePath | None = None
    """Numbers of the phonemes, as JSON. Default: those in the server image."""
    config: RelativePath | None = None
    """Configuration of the voice, as JSON; family Piper needs it."""

    def over(self, other: "OnnxFiles | None") -> dict[str, str]:
        """Paths by name: these, and those of the other that are not set here."""
        below = {} if other is None else other.model_dump(exclude_none=True)
        return {**below, **self.model_dump(exclude_none=True)}


class OnnxEngine(APIModel):
    """Options of engine Onnx, which runs ONNX graphs."""

    family: OnnxFamily
    """Architecture of the graph: how text becomes its input, and its output becomes audio."""
    files: OnnxFiles | None = None
    """Files of the model in its source. A precision may have files of its own. Not with `source.builtIn`."""


class RemoteEngine(APIModel):
    """Server outside the pod that implements OpenAI's audio API."""

    url: Annotated[URL, REACHABLE]
    """Base URL, without /v1."""
    model: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    """Model to name in requests to the server."""
    secret_ref: ObjectReference | None = None
    """Secret in the operator's namespace with `apiKey`."""


class EnvironmentVariable(APIModel):
    """One variable of a container."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
    """Name of the variable."""
    value: Annotated[str, StringConstraints(max_length=4096)] = ""
    """Value of the variable; references to other variables are not expanded."""


class SidecarEngine(APIModel):
    """Server in the same pod that implements OpenAI's audio API."""

    image: ImageReference
    """Image of the container."""
    port: Port
    """Port on which the container listens."""
    args: Annotated[tuple[Annotated[str, StringConstraints(max_length=1024)], ...], Field(max_length=64), atomic()] = ()
    """Arguments of the container."""
    env: Annotated[tuple[EnvironmentVariable, ...], Field(max_length=64), list_map("name")] = ()
    """Environment variables of the container."""
    model: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    """Model to name in requests to the server."""
    readiness_path: Annotated[str, StringConstraints(pattern=r"^/.*$", max_length=256)] = "/health"
    """Path that returns 200 when the container is ready."""
    run_as_user: Annotated[int, Field(ge=1, le=2_147_483_647)] | None = None
    """User ID of the container. Default: that of the server container."""
    writable_paths: Annotated[tuple[AbsolutePath, ...], Field(max_length=16), list_set()] = ()
    """Directories with a writable emptyDir volume; the rest of the file system is read-only."""
