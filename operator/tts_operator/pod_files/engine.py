"""Engine options of server.json."""

from tts_operator.api import TTSModel
from tts_operator.api.engine import OnnxFiles
from tts_operator.api.model import PrecisionOption
from tts_operator.objects import quantity
from tts_operator.pod_files.model_files import model_directory, revision, source_digest
from tts_operator.pod_files.serialize import digest, to_json
from tts_operator.pod_files.speech_server import speech_server_engine
from tts_operator.pod_files.torch_engines import LOAD_SECONDS, cosyvoice_config, index_tts_config
from tts_operator.resolve.resolved import Pool, Resolved
from tts_server.config.schema import LocalEngine, OnnxConfig, SpeechServerEngine


def server_image(resolved: Resolved, pool: Pool) -> str:
    """Image of the pool's pods: the model's, else the operator's default."""
    return pool.served[0].spec.image or resolved.settings.server_image


def engine_hash(pool: Pool) -> str:
    """Hash of the settings that need new pods.

    Voices, aliases, limits and the revision of a model's files are not among them: servers reload those.
    """
    model, precision = pool.served
    engine = own_engine(model, precision.name)
    if isinstance(engine, LocalEngine):
        engine = engine.model_copy(update={"revision": None})
    loaded = ",".join(sorted(pool.loaded))
    parts = [model.metadata.name, model.spec.engine.value, to_json(engine), loaded, str(model.spec.sample_rate_hz)]
    if model.spec.sidecar is not None:
        parts.append(to_json(model.spec.sidecar))
    if source := source_digest(model):
        parts.append(source)
    return digest(*parts)


def own_engine(model: TTSModel, precision: str) -> LocalEngine | SpeechServerEngine:
    """Engine settings of the pool that serves the model: a speech server's, or those of its own processes."""
    return speech_server_engine(model) or local_engine(model, precision)


def engine_processes(model: TTSModel, option: PrecisionOption) -> int:
    """Engine processes of a pod at one precision: as many as fit its CPU limit, 1 to 64; 1 on a device."""
    resources = option.resources
    if any("/" in name for name in resources.limits):
        return 1
    cores = quantity.parse(resources.limits.get("cpu", resources.requests.get("cpu", "1")))
    return min(max(int(cores / model.spec.threads), 1), 64)


def local_engine(model: TTSModel, precision: str) -> LocalEngine:
    """Engine settings of a pod."""
    option = next(option for option in model.spec.precisions if option.name == precision)
    limit = model.spec.memory_limit
    normalized = model.spec.normalized_languages
    onnx = onnx_config(model, option)
    cosyvoice, index_tts = cosyvoice_config(model, precision), index_tts_config(model, precision)
    return LocalEngine(
        type="Onnx" if onnx else "CosyVoice" if cosyvoice else "IndexTTS" if index_tts else "Espeak",
        onnx=onnx,
        cosy_voice=cosyvoice,
        index_tts=index_tts,
        load_seconds=LOAD_SECONDS if cosyvoice or index_tts else None,
        processes=engine_processes(model, option),
        threads=model.spec.threads,
        memory_limit_bytes=quantity.whole(limit) if limit else None,
        normalized_languages=None if normalized is None else tuple(each.value for each in normalized),
        revision=revision(model),
    )


def onnx_config(model: TTSModel, option: PrecisionOption) -> OnnxConfig | None:
    """Options of engine Onnx at one precision, with the paths of its files in pods; None for another engine."""
    if model.spec.onnx is None:
        return None
    files = (option.files or OnnxFiles()).over(model.spec.onnx.files)
    directory = model_directory(model)
    if directory is None:
        return OnnxConfig(family=model.spec.onnx.family.value)
    return OnnxConfig.model_validate(
        {"family": model.spec.onnx.family.value, "files": {name: str(directory / path) for name, path in files.items()}}
    )
