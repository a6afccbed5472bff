"""Engine options of server.json."""

from tts_operator.api import TTSModel
from tts_operator.objects import quantity
from tts_operator.pod_files.serialize import digest, to_json
from tts_operator.pod_files.speech_server import speech_server_engine
from tts_operator.resolve.resolved import Pool, Resolved
from tts_server.config.schema import LocalEngine, SpeechServerEngine


def server_image(resolved: Resolved, pool: Pool) -> str:
    """Image of the pool's pods: the model's, else the operator's default."""
    return pool.served[0].spec.image or resolved.settings.server_image


def engine_hash(pool: Pool) -> str:
    """Hash of the settings that need new pods. Voices, aliases and limits are not among them: servers reload those."""
    model, precision = pool.served
    engine = own_engine(model, precision.name)
    loaded = ",".join(sorted(pool.loaded))
    sidecar = () if model.spec.sidecar is None else (to_json(model.spec.sidecar),)
    return digest(
        model.metadata.name, model.spec.engine.value, to_json(engine), loaded, str(model.spec.sample_rate_hz), *sidecar
    )


def own_engine(model: TTSModel, precision: str) -> LocalEngine | SpeechServerEngine:
    """Engine settings of the pool that serves the model: a speech server's, or those of its own processes."""
    return speech_server_engine(model) or local_engine(model, precision)


def local_engine(model: TTSModel, precision: str) -> LocalEngine:
    """Engine settings of a pod: as many processes as fit its CPU limit, 1 to 64."""
    resources = next(option.resources for option in model.spec.precisions if option.name == precision)
    cores = quantity.parse(resources.limits.get("cpu", resources.requests.get("cpu", "1")))
    limit = model.spec.memory_limit
    normalized = model.spec.normalized_languages
    return LocalEngine(
        processes=min(max(int(cores / model.spec.threads), 1), 64),
        threads=model.spec.threads,
        memory_limit_bytes=quantity.whole(limit) if limit else None,
        normalized_languages=None if normalized is None else tuple(each.value for each in normalized),
    )
