"""Options of engine Onnx."""

from enum import StrEnum

from tts_operator.api.base import (
    APIModel,
    RelativePath,
)


class OnnxFamily(StrEnum):
    """Architecture of an ONNX graph."""

    HIBARI = "Hibari"
    KOKORO = "Kokoro"
    PIPER = "Piper"


class OnnxDevice(StrEnum):
    """Device that computes a graph."""

    CPU = "CPU"
    CUDA = "CUDA"


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
    device: OnnxDevice | None = None
    """Device that computes the graph; CUDA needs an image with onnxruntime-gpu instead of onnxruntime.

    Default: CUDA in pods with a resource of nvidia.com or `accelerator.deviceClassName`, else CPU.
    """
