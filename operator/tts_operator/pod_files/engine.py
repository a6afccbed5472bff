"""Engine options of server.json."""

from collections.abc import Sequence
from pathlib import PurePath

from tts_operator.api import TTSModel
from tts_operator.api.engine import OnnxDevice, OnnxFiles
from tts_operator.api.model import PrecisionOption, used_adapters
from tts_operator.objects import quantity
from tts_operator.pod_files.model_files import adapter_paths, model_directory, revision, sources_digests
from tts_operator.pod_files.serialize import digest, to_json
from tts_operator.pod_files.speech_server import speech_server_engine
from tts_operator.pod_files.torch_engines import LOAD_SECONDS, cosyvoice_config, index_tts_config
from tts_operator.resolve.accelerators import accelerator_count, computes_with_cuda, device_class
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
    engine = own_engine(model, precision.name, pool.loaded)
    if isinstance(engine, LocalEngine):
        engine = engine.model_copy(update={"revision": None})
    loaded = ",".join(sorted(pool.loaded))
    parts = [model.metadata.name, model.spec.engine.value, to_json(engine), loaded, str(model.spec.sample_rate_hz)]
    if model.spec.sidecar is not None:
        parts.append(to_json(model.spec.sidecar))
    if (claimed := device_class(model)) is not None:  # pods name the template of their claims, which keeps its name
        parts.append(claimed)
    return digest(*parts, *sources_digests(model))


def own_engine(model: TTSModel, precision: str, loaded: Sequence[str] = ()) -> LocalEngine | SpeechServerEngine:
    """Engine settings of the pool that serves the model: a speech server's, or those of its own processes.

    `loaded` are the precisions that requests may select; `precision` is the one of requests that select none.
    """
    return speech_server_engine(model) or local_engine(model, precision, loaded)


def engine_processes(model: TTSModel, option: PrecisionOption, loaded: Sequence[str] = ()) -> int:
    """Engine processes of a pod at one precision: as many as fit its CPU limit, 1 to 64.

    With an accelerator, as many as share it: one unless the model says otherwise.
    """
    resources = option.resources
    if accelerator_count(model, option.name.value, loaded):
        return model.spec.accelerator.engine_processes if model.spec.accelerator is not None else 1
    cores = quantity.parse(resources.limits.get("cpu", resources.requests.get("cpu", "1")))
    return min(max(int(cores / model.spec.threads), 1), 64)


def adapters_bytes(model: TTSModel) -> int:
    """Memory of the model's adapters in one engine process."""
    return sum(quantity.whole(each.memory) for each in used_adapters(model).values() if each.memory is not None)


def local_engine(model: TTSModel, precision: str, loaded: Sequence[str] = ()) -> LocalEngine:
    """Engine settings of a pod."""
    option = next(option for option in model.spec.precisions if option.name == precision)
    limit = model.spec.memory_limit
    normalized = model.spec.normalized_languages
    onnx = onnx_config(model, option, loaded)
    cuda = computes_with_cuda(model, precision, loaded)
    cosyvoice = cosyvoice_config(model, precision, cuda=cuda)
    index_tts = index_tts_config(model, precision, cuda=cuda)
    return LocalEngine(
        type="Onnx" if onnx else "CosyVoice" if cosyvoice else "IndexTTS" if index_tts else "Espeak",
        onnx=onnx,
        cosy_voice=cosyvoice,
        index_tts=index_tts,
        load_seconds=LOAD_SECONDS if cosyvoice or index_tts else None,
        processes=engine_processes(model, option, loaded),
        threads=model.spec.threads,
        memory_limit_bytes=quantity.whole(limit) + adapters_bytes(model) if limit else None,
        normalized_languages=None if normalized is None else tuple(each.value for each in normalized),
        revision=revision(model),
    )


def onnx_config(model: TTSModel, option: PrecisionOption, loaded: Sequence[str]) -> OnnxConfig | None:
    """Options of engine Onnx, with the paths of its files in pods; None for another engine.

    Of several loaded precisions, each has files of its own; `option` is the one that a pod computes with by default.
    """
    if model.spec.onnx is None:
        return None
    options: dict[str, object] = {"family": model.spec.onnx.family.value}
    if onnx_device(model, option, loaded) is OnnxDevice.CUDA:
        options["session_options"] = {"device": OnnxDevice.CUDA.value}
    if (directory := model_directory(model)) is not None:
        by_precision = {each.name.value: onnx_files(model, each, directory) for each in model.spec.precisions}
        several = {name: files for name, files in by_precision.items() if name in loaded} if len(loaded) > 1 else {}
        options |= {"precision_files": several} if several else {"files": by_precision[option.name]}
    if used := used_adapters(model):
        paths = adapter_paths(model)
        options["adapters"] = [
            {
                "name": name,
                "file": str(paths[name]),
                "voices": {voice.name: voice.base_voice for voice in model.spec.voices if voice.adapter == name},
            }
            for name in sorted(used)
        ]
    return OnnxConfig.model_validate(options)


def onnx_device(model: TTSModel, option: PrecisionOption, loaded: Sequence[str]) -> OnnxDevice:
    """Device of engine Onnx: the model's, else that of the pod."""
    if model.spec.onnx is not None and model.spec.onnx.device is not None:
        return model.spec.onnx.device
    return OnnxDevice.CUDA if computes_with_cuda(model, option.name.value, loaded) else OnnxDevice.CPU


def onnx_files(model: TTSModel, option: PrecisionOption, directory: PurePath) -> dict[str, str]:
    """Paths in pods of the files of one precision."""
    common = model.spec.onnx.files if model.spec.onnx else None
    return {name: str(directory / path) for name, path in (option.files or OnnxFiles()).over(common).items()}
