"""TTSModel: a model that the platform team publishes. Only it may set images, arguments and resources."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

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
    RelativePath,
    Score,
    VoiceName,
    atomic,
    cel,
    list_map,
    list_set,
    positive,
    unique,
)
from tts_operator.api.engine import OnnxEngine, OnnxFiles
from tts_operator.api.resources import ResourceRequirements
from tts_operator.api.schedule import Schedule
from tts_operator.api.source import ExternalSource, Source
from tts_operator.api.speech_server import RemoteEngine, SidecarEngine
from tts_operator.api.status import TTSModelStatus
from tts_operator.api.torch_engines import CosyVoiceEngine, IndexTTSEngine
from tts_operator.objects.names import API_VERSION

MemoryLimit = Annotated[Quantity, *positive("memoryLimit")]
AdapterMemory = Annotated[Quantity, *positive("memory")]


class NormalizedLanguage(StrEnum):
    """Language with a grammar for numbers."""

    EN = "en"
    ZH = "zh"


class Engine(StrEnum):
    """Engine type."""

    ESPEAK = "Espeak"
    ONNX = "Onnx"
    COSYVOICE = "CosyVoice"
    INDEX_TTS = "IndexTTS"
    SIDECAR = "Sidecar"
    REMOTE = "Remote"


class Precision(StrEnum):
    """Numeric precision; lower case because requests name it."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class Voice(APIModel):
    """Voice of the model."""

    name: VoiceName
    """Name of the voice in the engine. Requests use this name, or one of the tenant's `voiceAliases`."""
    languages: Annotated[tuple[Language, ...], Field(max_length=16), list_set()] = ()
    """Languages of the voice. Default: all languages of the model."""
    adapter: DNSLabel | None = None
    """Name of the adapter that the voice uses. An adapter is loaded with the model if a voice names it."""
    base_voice: VoiceName | None = None
    """Voice of the engine that the adapter changes into this one. Engine Onnx needs it for a voice with an adapter.

    Engines CosyVoice and IndexTTS do not have it: there `name` is a speaker or a prompt, who speaks with the adapter.
    """


class Adapter(APIModel):
    """Change of the model's weights, or a style, with which some of its voices speak."""

    model_config = cel(
        ("has(self.source) || has(self.path)", "set source, path, or both: the place of the adapter's files"),
    )

    name: DNSLabel
    """Name that `voices[].adapter` refers to."""
    source: ExternalSource | None = None
    """Source of the adapter's files. Default: the model's own source."""
    path: RelativePath | None = None
    """Path in the source. Engine Onnx: an archive by `numpy.savez`, a LoRA or a style. Engines CosyVoice and IndexTTS:
    a folder as PEFT writes it; default: the root of the adapter's source."""
    memory: AdapterMemory | None = None
    """Memory of the adapter in one engine process. It is added to the requests and limits of pods, and to
    `memoryLimit`. Default: these include it."""


class PrecisionOption(APIModel):
    """Numeric precision that the model supports, with the resources that it needs."""

    name: Precision
    """Precision, as tenants and requests name it."""
    requests_per_second: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """Measured throughput of one replica; `kubectl tts plan` computes with it."""
    quality: Score | None = None
    """Audio quality, from 0 to 10; `kubectl tts plan` compares precisions by it."""
    hourly_cost: Decimal | None = None
    """Price of one replica per hour. Default: the price of its resources, by the operator's settings."""
    files: OnnxFiles | None = None
    """Files of engine Onnx at this precision. Default, also of each single file: `onnx.files`."""
    resources: ResourceRequirements
    """Resource requests and limits of one replica at this precision."""


class Toleration(APIModel):
    """Toleration of a node taint, as in a pod."""

    key: Annotated[str, StringConstraints(max_length=317)] | None = None
    """Key of the taint."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """Exists matches any value of the taint, Equal only `value`."""
    value: Annotated[str, StringConstraints(max_length=63)] | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint. Default: all effects."""
    toleration_seconds: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """Time that a pod stays on a node with a NoExecute taint. Default: no limit."""


class Accelerator(APIModel):
    """Node selector and tolerations for accelerator pods; `resources` requests the device."""

    node_selector: Annotated[dict[str, Annotated[str, StringConstraints(max_length=63)]], Field(max_length=16)] = {}
    """Labels that nodes must have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16), atomic()] = ()
    """Node taints that pods tolerate."""
    device_class_name: ObjectName | None = None
    """Name of a DeviceClass, for dynamic resource allocation."""


class Batching(APIModel):
    """Dynamic batching: several utterances in one pass of the engine."""

    max_size: Annotated[int, Field(ge=1, le=256)] = 8
    """Maximum number of utterances in a batch."""
    max_wait_milliseconds: Annotated[int, Field(ge=0, le=10_000)] = 50
    """Maximum time that an utterance waits for a batch to fill, while others run or are queued."""


PauseMilliseconds = Annotated[int, Field(ge=0, le=10_000)]


class Pauses(APIModel):
    """Silence at speed 1.0 between parts of a text that the engine synthesizes one by one.

    Silence at the ends of the engine's own audio counts. 0 adds none.
    """

    sentence_milliseconds: PauseMilliseconds = 300
    """Silence after a sentence.

    With 300, short sentences may be synthesized together: the engine itself then pauses between them.
    """
    clause_milliseconds: PauseMilliseconds = 160
    """Silence after a comma, colon or dash at which a long sentence is divided."""
    line_milliseconds: PauseMilliseconds = 300
    """Silence at a line break that follows no end of a sentence: a title, an item of a list."""
    paragraph_milliseconds: PauseMilliseconds = 540
    """Silence at an empty line."""


class ModelReference(APIModel):
    """Reference to a TTSModel."""

    name: ModelName
    """Name of the TTSModel."""


class FallbackVoice(APIModel):
    """Voice of the fallback model for one language."""

    language: Language
    """Language of the text, as BCP 47."""
    voice: VoiceName
    """Name of a voice of the fallback model."""


class Fallback(APIModel):
    """Model used when this model is unavailable."""

    model_ref: ModelReference
    """TTSModel to fall back to. It may have a fallback, too: a chain has at most three models.

    A tenant that does not list the model gets a pool for it, with one replica.
    """
    voices: Annotated[tuple[FallbackVoice, ...], Field(max_length=64), list_map("language")] = ()
    """Voices of the fallback model by language. Default: its first voice of the language, else its first voice."""


class SharedPool(APIModel):
    """Pool that the model's tenants with isolation Shared use."""

    precision: Precision | None = None
    """Precision of the pool. Default: the first of `precisions`."""
    schedule: Schedule | None = None
    """Replica bounds of the pool over time."""
    autoscaling: Autoscaling | None = None
    """Autoscaler between the bounds."""


ENGINES_WITH_SOURCE = "['Onnx', 'CosyVoice', 'IndexTTS']"
ONNX_NEEDS_OPTIONS = "onnx is required for engine Onnx, and not allowed for others"
SOURCE_REQUIRED = "source is required for engines Onnx, CosyVoice and IndexTTS"
_BUILT_IN = "(has(self.source) && has(self.source.builtIn))"
_MOUNTED = "(has(self.onnx) && has(self.source) && !has(self.source.builtIn))"


def _everywhere(file: str) -> str:
    """CEL: whether engine Onnx has this file at every precision."""
    return (
        f"(has(self.onnx.files) && has(self.onnx.files.{file}))"
        f" || self.precisions.all(p, has(p.files) && has(p.files.{file}))"
    )


def _in_store(files: str) -> str:
    """CEL: whether each of these files is one of the object store's."""
    names = ", ".join(f"?{files}.?{name}" for name in OnnxFiles.model_fields)
    return f"[{names}].all(path, self.source.s3.files.exists(f, f.path == path))"


def _holds_adapter(source: str) -> str:
    """CEL: whether this source, if it is an object store, has the file of adapter `a`."""
    return f"(!has({source}) || !has({source}.s3) || {source}.s3.files.exists(f, f.path == a.path))"


class TTSModelSpec(APIModel):
    """Speech model, and what a pod needs to serve it."""

    model_config = cel(
        (
            f"!(self.engine in {ENGINES_WITH_SOURCE}) || has(self.source)",
            SOURCE_REQUIRED,
        ),
        (
            f"self.engine in {ENGINES_WITH_SOURCE} || !has(self.source)",
            "source is allowed only for engines Onnx, CosyVoice and IndexTTS",
        ),
        ("has(self.onnx) == (self.engine == 'Onnx')", ONNX_NEEDS_OPTIONS),
        (
            f"!has(self.onnx) || !{_BUILT_IN} || (self.source.builtIn == 'heart' && self.onnx.family == 'Hibari')"
            " || (self.source.builtIn == 'kokoro' && self.onnx.family == 'Kokoro')",
            "source.builtIn must be heart, with onnx.family Hibari, or kokoro, with onnx.family Kokoro",
        ),
        (
            f"!{_BUILT_IN} || ((!has(self.onnx) || !has(self.onnx.files)) && self.precisions.all(p, !has(p.files)))",
            "files are not allowed with source.builtIn: the server image contains them",
        ),
        (
            "has(self.onnx) || self.precisions.all(p, !has(p.files))",
            "precisions[].files are allowed only for engine Onnx",
        ),
        (
            f"!{_MOUNTED} || {_everywhere('model')}",
            "onnx.files.model is required: the path of the graph in the source; or files.model of every precision",
        ),
        (
            f"!{_MOUNTED} || self.onnx.family != 'Piper' || {_everywhere('config')}",
            "onnx.files.config is required for family Piper: the path of the voice's configuration in the source",
        ),
        (
            f"!{_MOUNTED} || !has(self.source.s3) || ((!has(self.onnx.files) || {_in_store('self.onnx.files')})"
            f" && self.precisions.all(p, !has(p.files) || {_in_store('p.files')}))",
            "every path in onnx.files and precisions[].files must be one of source.s3.files",
        ),
        (
            "has(self.cosyVoice) == (self.engine == 'CosyVoice')",
            "cosyVoice is required for engine CosyVoice, and not allowed for others",
        ),
        (
            "has(self.indexTTS) == (self.engine == 'IndexTTS')",
            "indexTTS is required for engine IndexTTS, and not allowed for others",
        ),
        (
            "!(self.engine in ['CosyVoice', 'IndexTTS']) || self.precisions.all(p, p.name != 'int8')",
            "engines CosyVoice and IndexTTS have the precisions fp32 and fp16",
        ),
        (
            "has(self.remote) == (self.engine == 'Remote')",
            "remote is required for engine Remote, and not allowed for others",
        ),
        (
            "has(self.sidecar) == (self.engine == 'Sidecar')",
            "sidecar is required for engine Sidecar, and not allowed for others",
        ),
        (
            "!has(self.voices) || self.voices.all(v, !has(v.adapter) || "
            "(has(self.adapters) && self.adapters.exists(a, a.name == v.adapter)))",
            "voices[].adapter must name one of adapters",
        ),
        (
            f"self.engine in {ENGINES_WITH_SOURCE} || !has(self.adapters) || self.adapters.size() == 0",
            "adapters are allowed only for engines Onnx, CosyVoice and IndexTTS",
        ),
        (
            "!has(self.onnx) || self.voices.all(v, has(v.adapter) == has(v.baseVoice))",
            "voices[] of engine Onnx must have adapter and baseVoice, or neither",
        ),
        (
            "has(self.onnx) || self.voices.all(v, !has(v.baseVoice))",
            "voices[].baseVoice is allowed only for engine Onnx",
        ),
        (
            "self.voices.all(v, !has(v.baseVoice) || v.baseVoice != v.name)",
            "voices[].baseVoice must be another voice: the voice with the adapter has a name of its own",
        ),
        (
            "!has(self.onnx) || !has(self.adapters) || self.adapters.all(a, has(a.path))",
            "adapters[].path is required for engine Onnx: the archive in the source",
        ),
        (
            f"!{_BUILT_IN} || !has(self.adapters) || self.adapters.all(a, has(a.source))",
            "adapters[].source is required with source.builtIn: the server image contains no adapters",
        ),
        (
            "!has(self.onnx) || !has(self.adapters) || self.adapters.all(a, !has(a.path)"
            f" || (has(a.source) ? {_holds_adapter('a.source')} : {_holds_adapter('self.source')}))",
            "adapters[].path must be one of the files of its source.s3",
        ),
        (
            "!has(self.adapters) || self.adapters.size() == 0 || !has(self.cosyVoice) || !self.cosyVoice.loadJit",
            "cosyVoice.loadJit must be false with adapters: it compiles the weights that they change",
        ),
        (
            "!has(self.voices) || self.voices.all(v, !has(v.languages) || v.languages.all(one, one in self.languages))",
            "voices[].languages must each be one of languages",
        ),
        (
            "!has(self.pool) || !has(self.pool.precision) || self.precisions.exists(p, p.name == self.pool.precision)",
            "pool.precision must be one of precisions",
        ),
    )

    engine: Engine
    """Engine type. Its options are in the field of the same name."""
    image: ImageReference | None = None
    """Server image with the engine. Default: `--server-image` of the operator."""
    image_pull_secrets: Annotated[tuple[ObjectReference, ...], Field(max_length=8), list_map("name")] = ()
    """Secrets with which the kubelet pulls the image; they must exist in the tenant's namespace."""
    source: Source | None = None
    """Source of the model's files."""
    onnx: OnnxEngine | None = None
    """Options of engine Onnx."""
    cosy_voice: CosyVoiceEngine | None = None
    """Options of engine CosyVoice."""
    index_tts: Annotated[IndexTTSEngine | None, Field(alias="indexTTS")] = None
    """Options of engine IndexTTS."""
    remote: RemoteEngine | None = None
    """Options of engine Remote."""
    sidecar: SidecarEngine | None = None
    """Options of engine Sidecar."""
    languages: Annotated[tuple[Language, ...], Field(min_length=1, max_length=128), list_set()]
    """Languages that the model supports, as BCP 47."""
    voices: Annotated[tuple[Voice, ...], Field(min_length=1, max_length=256), list_map("name")]
    """Voices that requests may use; the first is the default."""
    adapters: Annotated[tuple[Adapter, ...], Field(max_length=32), list_map("name")] = ()
    """Adapters that voices may use: LoRA, or styles of family Kokoro."""
    sample_rate_hz: Annotated[int, Field(ge=8000, le=192_000)]
    """Sample rate of the engine's audio, in hertz."""
    precisions: Annotated[
        tuple[PrecisionOption, ...], Field(min_length=1, max_length=3), atomic(unique("name", "precisions"))
    ]
    """Supported numeric precisions; the first is the default."""
    accelerator: Accelerator | None = None
    """Node selector and tolerations for accelerator pods."""
    batching: Batching | None = None
    """Dynamic batching, for engines that support it. Batches are used where they are measured to be faster."""
    pauses: Pauses | None = None
    """Silence between parts of a text that the engine synthesizes one by one. Default: that of eSpeak NG."""
    normalized_languages: Annotated[tuple[NormalizedLanguage, ...], Field(max_length=2), list_set()] | None = None
    """Languages whose numbers, dates, money and units are written in words before the engine gets them.

    Default: those that the engine reads badly, `en` and `zh` for Espeak. An empty list leaves every text as it is.
    """
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    """Threads of one engine process. A pod runs as many processes as fit its CPU limit."""
    memory_limit: MemoryLimit | None = None
    """Memory limit of one engine process. A process that exceeds it is restarted."""
    first_audio_timeout_seconds: Annotated[int, Field(ge=1, le=600)] = 3
    """Maximum time to the first audio of a text; a slower engine counts as failed."""
    fallback: Fallback | None = None
    """Model used when this model is unavailable."""
    load_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    """Measured time from the start of a pod to its first audio: the default of `spec.schedule.preWarmSeconds`."""
    pool: SharedPool | None = None
    """Shared pool, for tenants with isolation Shared."""
    allowed_namespaces: LabelSelector | None = None
    """Namespaces that may use the model, by label. Default: all."""
    runtime_class_name: ObjectName | None = None
    """Name of the pods' RuntimeClass."""
    priority_class_name: ObjectName | None = None
    """Name of the pods' PriorityClass."""

    @model_validator(mode="after")
    def _engine_has_its_parts(self) -> Self:
        """Check what pods are built from: the API server keeps objects that were stored before it had these rules."""
        if (self.engine is Engine.ONNX) != (self.onnx is not None):
            raise ValueError(ONNX_NEEDS_OPTIONS)
        if self.engine is Engine.ONNX and self.source is None:
            raise ValueError(SOURCE_REQUIRED)
        return self


class TTSModel(APIModel):
    """Speech model that the platform team publishes for tenants."""

    model_config = cel(
        (
            "self.metadata.name.size() <= 52 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name must consist of at most 52 lower-case letters, digits and dashes",
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


def used_adapters(model: TTSModel) -> dict[str, Adapter]:
    """Adapters that a voice names, by name: the others are not loaded."""
    if not model.spec.adapters:
        return {}
    used = {voice.adapter for voice in model.spec.voices}
    return {adapter.name: adapter for adapter in model.spec.adapters if adapter.name in used}


def external_sources(model: TTSModel) -> dict[str, ExternalSource]:
    """Sources of files that the image does not have, by the adapter that they are of; an empty name is the model."""
    own = model.spec.source
    sources = {} if own is None or own.built_in is not None else {"": own}
    adapters = {name: adapter.source for name, adapter in sorted(used_adapters(model).items())}
    return {**sources, **{name: source for name, source in adapters.items() if source is not None}}


LONGEST_CHAIN = 3
"""Maximum number of models in a fallback chain, the first included; the server's limit is the same.

A caller may wait for each of them in turn.
"""


def fallback_of(model: TTSModel | None) -> str | None:
    """The name of the model's fallback, if it has one."""
    return model.spec.fallback.model_ref.name if model is not None and model.spec.fallback is not None else None
