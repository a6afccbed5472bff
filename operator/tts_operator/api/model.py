"""TTSModel: an entry of the platform team's catalogue."""

from typing import Annotated, Literal

from pydantic import Field

from tts_operator.api.apimodel import ATOMIC, APIModel, cel, list_map, list_set, unique_names
from tts_operator.api.autoscaling import Autoscaling
from tts_operator.api.engine import Adapter, Remote, Sidecar, Source
from tts_operator.api.metadata import ObjectMeta, is_label
from tts_operator.api.names import (
    API_VERSION,
    DNSLabel,
    DNSSubdomain,
    ImageReference,
    LabelKey,
    Labels,
    LabelValue,
    Languages,
    LanguageTag,
    ModelReference,
    Money,
    Named,
    Precision,
    Quantity,
    Score,
    Text,
)
from tts_operator.api.schedule import Schedule
from tts_operator.api.status import TTSModelStatus

EngineName = Literal["Espeak", "Onnx", "CosyVoice", "IndexTTS", "Sidecar", "Remote"]
NEED_A_SOURCE = ("Onnx", "CosyVoice", "IndexTTS")

ResourceList = Annotated[dict[LabelKey, Quantity], Field(max_length=16)]


class Voice(APIModel):
    """One voice of a model."""

    name: Text
    """What requests, aliases and routes call it, in any script."""
    languages: Annotated[tuple[LanguageTag, ...], Field(min_length=1, max_length=32), list_set()] | None = None
    """Languages it speaks, of the model's. Unset: all of the model's."""
    adapter: DNSLabel | None = None
    """Name of the adapter it is spoken with."""


class Resources(APIModel):
    """What one replica asks for and may use, as in a container."""

    requests: ResourceList = {}
    """What a node must have free."""
    limits: ResourceList = {}
    """What it may use at most. Extended resources, such as GPUs, belong here."""

    @cel(
        "['cpu', 'memory'].all(name, (has(self.requests) && name in self.requests)"
        " || (has(self.limits) && name in self.limits))",
        "resources must name cpu and memory, in requests or in limits",
    )
    def names_cpu_and_memory(self) -> bool:
        return {"cpu", "memory"} <= self.requests.keys() | self.limits.keys()


class ModelPrecision(APIModel):
    """A precision the model is offered in, with what it needs and what was measured."""

    name: Precision
    """fp32, fp16 or int8, as requests call it."""
    requests_per_second: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = None
    """Measured on one replica. A fact for planning: nothing is scaled by it."""
    quality: Score | None = None
    """Measured, from 0 to 10, as a decimal string. A fact for planning."""
    hourly_cost: Money | None = None
    """Price of one replica per hour, as a decimal string. A fact for planning."""
    resources: Resources
    """What one replica needs."""


class Toleration(APIModel):
    """A taint that pods of the model may run beside, as in a pod."""

    key: LabelKey | None = None
    """Key of the taint. Unset, with operator Exists: every taint."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """How `value` is compared."""
    value: LabelValue | None = None
    """Value of the taint, for operator Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Unset: every effect."""
    toleration_seconds: Annotated[int, Field(strict=True, ge=0, le=31_536_000)] | None = None
    """How long a pod stays beside a NoExecute taint. Unset: for ever."""


class Accelerator(APIModel):
    """Where the devices are. The device itself, such as a GPU, is named in `resources`."""

    node_selector: Labels = {}
    """Labels of nodes with the device."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16), ATOMIC] = ()
    """Taints of those nodes."""
    device_class_name: DNSSubdomain | None = None
    """DeviceClass of dynamic resource allocation."""


class Batching(APIModel):
    """How requests are spoken together, where the engine gains by it."""

    max_size: Annotated[int, Field(strict=True, ge=1, le=256)] = 8
    """Requests in one batch."""
    max_wait_milliseconds: Annotated[int, Field(strict=True, ge=0, le=10_000)] = 50
    """Longest that the first one waits for others."""


class FallbackVoice(APIModel):
    """Which voice of the fallback speaks a language."""

    language: LanguageTag
    """BCP 47 primary subtag."""
    voice: Text
    """A voice of the fallback."""


class Fallback(APIModel):
    """Who speaks when this model cannot."""

    model_ref: ModelReference
    """The next model. Chains have at most 3 models; a cycle is reported in a condition."""
    voices: Annotated[tuple[FallbackVoice, ...], Field(max_length=128), list_map("language")] = ()
    """Voices of the fallback by language."""


class SharedPool(APIModel):
    """The pool that Shared tenants of this model use: the platform's, and its bill."""

    precision: Precision | None = None
    """Unset: the model's first."""
    schedule: Schedule | None = None
    """Replica bounds of the pool. Unset: one replica."""
    autoscaling: Autoscaling | None = None
    """What moves the pool's replicas."""


class NamespaceSelector(APIModel):
    """Namespaces by their labels."""

    match_labels: Labels = {}
    """All of these must be on the namespace. Empty: every namespace."""


class TTSModelSpec(APIModel):
    """What the model is, what it needs, and who may use it."""

    engine: EngineName
    """What speaks. Remote and Sidecar have options of their own in the field of that name."""
    image: ImageReference | None = None
    """Server image with the engine. Unset: the operator's server image."""
    source: Source | None = None
    """Where weights come from. Onnx, CosyVoice and IndexTTS need one; Remote takes none."""
    remote: Remote | None = None
    """Options of engine Remote."""
    sidecar: Sidecar | None = None
    """Options of engine Sidecar."""
    languages: Languages
    """Languages the model speaks, as BCP 47 primary subtags."""
    voices: Annotated[tuple[Voice, ...], Field(min_length=1, max_length=512), list_map("name")]
    """Voices of the model."""
    adapters: Annotated[tuple[Adapter, ...], Field(max_length=32), list_map("name")] = ()
    """LoRA and domain adapters that voices may name."""
    sample_rate_hz: Annotated[int, Field(strict=True, ge=8_000, le=192_000)]
    """Samples per second that the engine yields."""
    precisions: Annotated[
        tuple[ModelPrecision, ...], Field(min_length=1, max_length=3), ATOMIC, unique_names("precisions")
    ]
    """Precisions it is offered in. The first is the default."""
    accelerator: Accelerator | None = None
    """Where its devices are."""
    batching: Batching | None = None
    """How requests are spoken together."""
    threads: Annotated[int, Field(strict=True, ge=1, le=64)] = 1
    """Threads of one engine process. A pod has as many processes as its CPU limit holds of them; one on a GPU."""
    memory_limit: Quantity | None = None
    """Resident memory at which an engine process is replaced. Unset: the pod's limit alone."""
    first_audio_timeout_seconds: Annotated[int, Field(strict=True, ge=1, le=600)] = 3
    """Longest wait for the first sound; later than that, the engine has failed."""
    fallback: Fallback | None = None
    """Who speaks when this model cannot."""
    load_seconds: Annotated[int, Field(strict=True, ge=0, le=3600)] | None = None
    """Measured time to load the weights. The default of `preWarmSeconds`; a fact for planning until then."""
    pool: SharedPool | None = None
    """What Shared tenants of this model use."""
    allowed_namespaces: NamespaceSelector | None = None
    """Whose tenants may use it. Unset: everyone's."""
    runtime_class_name: DNSSubdomain | None = None
    """RuntimeClass of its pods."""
    priority_class_name: DNSSubdomain | None = None
    """PriorityClass of its pods."""
    image_pull_secrets: Annotated[tuple[Named, ...], Field(max_length=16), list_map("name")] = ()
    """Secrets for its images, expected in the pod's namespace."""

    @cel(
        "(self.engine == 'Remote') == has(self.remote)",
        "remote belongs to engine Remote, which needs it",
    )
    def remote_belongs_to_its_engine(self) -> bool:
        return (self.engine == "Remote") == (self.remote is not None)

    @cel(
        "(self.engine == 'Sidecar') == has(self.sidecar)",
        "sidecar belongs to engine Sidecar, which needs it",
    )
    def sidecar_belongs_to_its_engine(self) -> bool:
        return (self.engine == "Sidecar") == (self.sidecar is not None)

    @cel(
        "!(self.engine in ['Onnx', 'CosyVoice', 'IndexTTS']) || (has(self.source) && (has(self.source.persistentVolumeClaim)"
        " || has(self.source.image) || has(self.source.s3) || has(self.source.builtIn)))",
        "engines Onnx, CosyVoice and IndexTTS need a source",
    )
    def weights_have_a_source(self) -> bool:
        return self.engine not in NEED_A_SOURCE or (self.source is not None and self.source.chosen != ())

    @cel(
        "self.engine != 'Remote' || !has(self.source)",
        "engine Remote takes no source: its weights are elsewhere",
    )
    def remote_has_no_source(self) -> bool:
        return self.engine != "Remote" or self.source is None

    @cel(
        "self.voices.all(voice, !has(voice.adapter)"
        " || (has(self.adapters) && self.adapters.exists(one, one.name == voice.adapter)))",
        "a voice's adapter must be one of spec.adapters",
    )
    def adapters_exist(self) -> bool:
        known = {adapter.name for adapter in self.adapters}
        return all(voice.adapter is None or voice.adapter in known for voice in self.voices)

    @cel(
        "self.voices.all(voice, !has(voice.languages) || voice.languages.all(one, one in self.languages))",
        "a voice's languages must be among spec.languages",
    )
    def voices_speak_the_models_languages(self) -> bool:
        return all(set(voice.languages or ()) <= set(self.languages) for voice in self.voices)

    @cel(
        "!has(self.pool) || !has(self.pool.precision) || self.precisions.exists(one, one.name == self.pool.precision)",
        "pool.precision must be one of spec.precisions",
    )
    def pool_precision_is_offered(self) -> bool:
        if self.pool is None or self.pool.precision is None:
            return True
        return any(one.name == self.pool.precision for one in self.precisions)


class TTSModel(APIModel):
    """A model that tenants may speak with: an entry of the platform team's catalogue."""

    api_version: Literal["ttsfleet.io/v1alpha1"] = API_VERSION
    kind: Literal["TTSModel"] = "TTSModel"
    metadata: ObjectMeta
    spec: TTSModelSpec
    """What the model is, what it needs, and who may use it."""
    status: TTSModelStatus = TTSModelStatus()
    """What the operator found."""

    @cel(
        "size(self.metadata.name) <= 52 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "a model's name is a DNS label of at most 52 characters",
    )
    def name_fits(self) -> bool:
        return is_label(self.metadata.name, 52)

    @cel(
        "!has(self.spec.fallback) || self.spec.fallback.modelRef.name != self.metadata.name",
        "a model cannot be its own fallback",
    )
    def fallback_is_another(self) -> bool:
        return self.spec.fallback is None or self.spec.fallback.model_ref.name != self.metadata.name
