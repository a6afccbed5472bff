"""TTSModel: the platform team's catalogue. It alone may name images, arguments and resources."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from tts_operator.api.autoscaling import Autoscaling
from tts_operator.api.base import (
    APIModel,
    Decimal,
    DNSLabel,
    ImageReference,
    LabelSelector,
    Language,
    ModelName,
    ObjectMeta,
    ObjectName,
    ObjectReference,
    Quantity,
    Score,
    VoiceName,
    atomic,
    cel,
    field_cel,
    list_map,
    list_set,
    unique,
)
from tts_operator.api.engine import RemoteEngine, SidecarEngine, Source
from tts_operator.api.schedule import Schedule
from tts_operator.api.status import TTSModelStatus
from tts_operator.objects import quantity
from tts_operator.objects.names import API_VERSION


def _more_than_nothing(amount: str) -> str:
    if quantity.parse(amount) <= 0:
        raise ValueError(MORE_THAN_NOTHING[1])
    return amount


MORE_THAN_NOTHING = ("quantity(string(self)).isGreaterThan(quantity('0'))", "memoryLimit must be more than 0")
MemoryLimit = Annotated[Quantity, AfterValidator(_more_than_nothing), field_cel(MORE_THAN_NOTHING)]


class Engine(StrEnum):
    """What speaks."""

    ESPEAK = "Espeak"
    ONNX = "Onnx"
    COSYVOICE = "CosyVoice"
    INDEX_TTS = "IndexTTS"
    SIDECAR = "Sidecar"
    REMOTE = "Remote"


class Precision(StrEnum):
    """Numbers a model computes with; lower case because requests name them."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class Voice(APIModel):
    """One voice of the model."""

    name: VoiceName
    """As the engine knows it; requests name it so, or by an alias of the tenant."""
    languages: Annotated[tuple[Language, ...], Field(max_length=16), list_set()] = ()
    """Languages it speaks, of the model's. Default: all of them."""
    adapter: DNSLabel | None = None
    """Adapter to speak with, by name."""


class Adapter(APIModel):
    """A LoRA or domain adapter."""

    name: DNSLabel
    """Name, for `voices[].adapter`."""
    source: Source
    """Where it comes from."""


class ResourceRequirements(APIModel):
    """What one replica asks for, as in a pod."""

    model_config = cel(
        (
            "['cpu', 'memory'].all(r, (has(self.requests) && r in self.requests)"
            " || (has(self.limits) && r in self.limits))",
            "resources must name cpu and memory, in requests or in limits",
        ),
        (
            "!has(self.requests) || !has(self.limits) || self.requests.all(r, !(r in self.limits)"
            " || quantity(string(self.requests[r])).compareTo(quantity(string(self.limits[r]))) <= 0)",
            "resources.requests must not exceed resources.limits",
        ),
        *(
            (
                f"!has(self.{part}) || self.{part}.all(r, r.contains('/') || r.startsWith('hugepages-')"
                " || r in ['cpu', 'memory', 'ephemeral-storage'])",
                f"resources.{part} must be cpu, memory, ephemeral-storage, hugepages-..., or named with their domain,"
                " such as nvidia.com/gpu",
            )
            for part in ("requests", "limits")
        ),
    )

    requests: Annotated[dict[str, Quantity], Field(max_length=16)] = {}
    """What the scheduler reserves."""
    limits: Annotated[dict[str, Quantity], Field(max_length=16)] = {}
    """What the replica may not exceed. GPUs and MIG profiles are named here."""


class PrecisionOption(APIModel):
    """One precision that the model can speak with, and what it costs."""

    name: Precision
    """Value of `precision` in tenants and requests."""
    requests_per_second: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """Measured on one replica, for the planner. Recorded: nothing reads it in this version."""
    quality: Score | None = None
    """From 0 to 10, for the planner. Recorded: nothing reads it in this version."""
    hourly_cost: Decimal | None = None
    """Of one replica. Recorded: nothing reads it in this version."""
    resources: ResourceRequirements
    """Of one replica that computes with it."""


class Toleration(APIModel):
    """Lets pods onto nodes with a matching taint."""

    key: Annotated[str, StringConstraints(max_length=317)] | None = None
    """Key of the taint."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """How to compare."""
    value: Annotated[str, StringConstraints(max_length=63)] | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint. Default: every one."""
    toleration_seconds: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """How long a pod may stay beside a NoExecute taint. Default: for ever."""


class Accelerator(APIModel):
    """Where pods with an accelerator run; the device itself is named in resources."""

    node_selector: Annotated[dict[str, Annotated[str, StringConstraints(max_length=63)]], Field(max_length=16)] = {}
    """Labels of the nodes."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16), atomic()] = ()
    """Taints of the nodes that pods tolerate."""
    device_class_name: ObjectName | None = None
    """DeviceClass of dynamic resource allocation."""


class Batching(APIModel):
    """How requests share one pass of the engine."""

    max_size: Annotated[int, Field(ge=1, le=256)] = 8
    """Most utterances in a batch."""
    max_wait_milliseconds: Annotated[int, Field(ge=0, le=10_000)] = 50
    """Longest that the first waits for others, while others are spoken or queued."""


class ModelReference(APIModel):
    """Names a TTSModel."""

    name: ModelName
    """Name of the TTSModel."""


class FallbackVoice(APIModel):
    """Who speaks a language when the model cannot."""

    language: Language
    """Language of the text."""
    voice: VoiceName
    """Voice of the fallback model."""


class Fallback(APIModel):
    """Another model that speaks when this one cannot."""

    model_ref: ModelReference
    """The TTSModel to fall back to; it may have a fallback of its own, three in all.

    A tenant that does not list it gets a pool of it all the same, with one replica.
    """
    voices: Annotated[tuple[FallbackVoice, ...], Field(max_length=64), list_map("language")] = ()
    """Its voices by language. Default: its first voice for the language, else its first."""


class SharedPool(APIModel):
    """What Shared tenants of the model use together; the platform's, and its bill."""

    precision: Precision | None = None
    """Precision of the pool. Default: the model's first."""
    schedule: Schedule | None = None
    """Replica bounds by the clock."""
    autoscaling: Autoscaling | None = None
    """How load moves replicas between the bounds."""


ENGINES_WITH_SOURCE = "['Onnx', 'CosyVoice', 'IndexTTS']"


class TTSModelSpec(APIModel):
    """A voice model and everything a pod needs to speak it."""

    model_config = cel(
        (
            f"!(self.engine in {ENGINES_WITH_SOURCE}) || has(self.source)",
            "engines Onnx, CosyVoice and IndexTTS need source",
        ),
        (
            f"self.engine in {ENGINES_WITH_SOURCE} || !has(self.source)",
            "only engines Onnx, CosyVoice and IndexTTS take source",
        ),
        ("has(self.remote) == (self.engine == 'Remote')", "remote goes with engine Remote, and only with it"),
        ("has(self.sidecar) == (self.engine == 'Sidecar')", "sidecar goes with engine Sidecar, and only with it"),
        (
            "!has(self.voices) || self.voices.all(v, !has(v.adapter) || "
            "(has(self.adapters) && self.adapters.exists(a, a.name == v.adapter)))",
            "voices[].adapter must name one of adapters",
        ),
        (
            "!has(self.voices) || self.voices.all(v, !has(v.languages) || v.languages.all(one, one in self.languages))",
            "voices[].languages must be among languages",
        ),
        (
            "!has(self.pool) || !has(self.pool.precision) || self.precisions.exists(p, p.name == self.pool.precision)",
            "pool.precision must be one of precisions",
        ),
    )

    engine: Engine
    """What speaks; the field of the same name holds its options."""
    image: ImageReference | None = None
    """Server image with the engine. Default: the operator's."""
    image_pull_secrets: Annotated[tuple[ObjectReference, ...], Field(max_length=8), list_map("name")] = ()
    """Names of Secrets expected in the pod's namespace."""
    source: Source | None = None
    """Where the weights come from."""
    remote: RemoteEngine | None = None
    """Options of engine Remote."""
    sidecar: SidecarEngine | None = None
    """Options of engine Sidecar."""
    languages: Annotated[tuple[Language, ...], Field(min_length=1, max_length=128), list_set()]
    """Languages that the model speaks, as BCP 47."""
    voices: Annotated[tuple[Voice, ...], Field(min_length=1, max_length=256), list_map("name")]
    """Voices that requests may name."""
    adapters: Annotated[tuple[Adapter, ...], Field(max_length=32), list_map("name")] = ()
    """LoRA or domain adapters."""
    sample_rate_hz: Annotated[int, Field(ge=8000, le=192_000)]
    """Sample rate that the engine yields."""
    precisions: Annotated[
        tuple[PrecisionOption, ...], Field(min_length=1, max_length=3), atomic(unique("name", "precisions"))
    ]
    """What the model can compute with; the first is the default."""
    accelerator: Accelerator | None = None
    """Where pods with an accelerator run."""
    batching: Batching | None = None
    """How requests share one pass of an engine that can batch, where that is measured to be quicker."""
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    """Threads of one engine process; there are as many processes as the CPU limit has room for."""
    memory_limit: MemoryLimit | None = None
    """Of one engine process: the watchdog recycles one that outgrows it."""
    first_audio_timeout_seconds: Annotated[int, Field(ge=1, le=600)] = 3
    """Longest that the first audio of a text may take."""
    fallback: Fallback | None = None
    """Who speaks when this model cannot."""
    load_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    """Measured time from a pod's start to its first sound: the default pre-warm.

    Recorded: nothing reads it in this version.
    """
    pool: SharedPool | None = None
    """What Shared tenants of the model use."""
    allowed_namespaces: LabelSelector | None = None
    """Namespaces that may use the model. Default: all."""
    runtime_class_name: ObjectName | None = None
    """RuntimeClass of the pods."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of the pods."""


class TTSModel(APIModel):
    """A voice model that tenants may use."""

    model_config = cel(
        (
            "self.metadata.name.size() <= 52 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name must be at most 52 lower-case letters, digits and dashes",
        ),
        (
            "!has(self.spec.fallback) || self.spec.fallback.modelRef.name != self.metadata.name",
            "spec.fallback must name another model",
        ),
    )

    api_version: Literal["ttsfleet.io/v1alpha1"] = API_VERSION  # type: ignore[assignment] # the constant is that literal
    kind: Literal["TTSModel"] = "TTSModel"
    metadata: ObjectMeta
    spec: TTSModelSpec
    status: TTSModelStatus | None = None


LONGEST_CHAIN = 3
"""Models, the first one included: as the server has it, because a caller waits for each of them."""


def fallback_of(model: TTSModel | None) -> str | None:
    """The model that this one names."""
    return model.spec.fallback.model_ref.name if model is not None and model.spec.fallback is not None else None
