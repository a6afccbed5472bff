"""Engine options of server.json."""

from tts_operator.api import TTSModel
from tts_operator.objects import quantity
from tts_operator.pod_files.serialize import digest, to_json
from tts_operator.pod_files.torch_engines import LOAD_SECONDS, cosyvoice_config, index_tts_config
from tts_operator.resolve.resolved import Pool, Resolved
from tts_server.config.schema import LocalEngine


def server_image(resolved: Resolved, pool: Pool) -> str:
    """Image of the pool's pods: the model's, else the operator's default."""
    return pool.served[0].spec.image or resolved.settings.server_image


def engine_hash(pool: Pool) -> str:
    """Hash of the settings that need new pods. Voices, aliases and limits are not among them: servers reload those."""
    model, precision = pool.served
    engine = local_engine(model, precision.name)
    loaded = ",".join(sorted(pool.loaded))
    return digest(model.metadata.name, model.spec.engine.value, to_json(engine), loaded, str(model.spec.sample_rate_hz))


def local_engine(model: TTSModel, precision: str) -> LocalEngine:
    """Engine settings of a pod: as many processes as fit its CPU limit, 1 to 64; 1 on a device."""
    resources = next(option.resources for option in model.spec.precisions if option.name == precision)
    cores = quantity.parse(resources.limits.get("cpu", resources.requests.get("cpu", "1")))
    limit = model.spec.memory_limit
    cosyvoice, index_tts = cosyvoice_config(model, precision), index_tts_config(model, precision)
    has_device = any("/" in name for name in resources.limits)
    return LocalEngine(
        type="CosyVoice" if cosyvoice else "IndexTTS" if index_tts else "Espeak",
        cosy_voice=cosyvoice,
        index_tts=index_tts,
        load_seconds=LOAD_SECONDS if cosyvoice or index_tts else None,
        processes=1 if has_device else min(max(int(cores / model.spec.threads), 1), 64),
        threads=model.spec.threads,
        memory_limit_bytes=quantity.whole(limit) if limit else None,
    )
