"""Engine options of server.json."""

from tts_operator.api import TTSModel
from tts_operator.objects import quantity
from tts_operator.pod_files.serialize import digest, text
from tts_operator.resolve.resolved import Pool, Resolved
from tts_server.config.schema import LocalEngine


def image(resolved: Resolved, pool: Pool) -> str:
    """Of the pool's pods."""
    return pool.spoken[0].spec.image or resolved.settings.server_image


def engine_hash(pool: Pool) -> str:
    """Of all that the server settles at its start. Voices, aliases and limits are not: those it reads again."""
    model, choice = pool.spoken
    engine = local_engine(model, choice.name)
    loaded = ",".join(sorted(pool.loaded))
    return digest(model.metadata.name, model.spec.engine.value, text(engine), loaded, str(model.spec.sample_rate_hz))


def local_engine(model: TTSModel, precision: str) -> LocalEngine:
    """Engine processes of a pod: as many as its CPU limit has room for."""
    resources = next(option.resources for option in model.spec.precisions if option.name == precision)
    cores = quantity.parse(resources.limits.get("cpu", resources.requests.get("cpu", "1")))
    limit = model.spec.memory_limit
    return LocalEngine(
        processes=min(max(int(cores / model.spec.threads), 1), 64),
        threads=model.spec.threads,
        memory_limit_bytes=quantity.whole(limit) if limit else None,
    )
