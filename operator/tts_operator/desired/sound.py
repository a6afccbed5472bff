"""What a pool's pods sound like: the engine that they start, and a name for its sound, under which audio is cached."""

import hashlib
import json

from pydantic import BaseModel

from tts_operator import live, quantity
from tts_operator.api import TTSModel
from tts_operator.freshness import number
from tts_operator.manifest import Body
from tts_operator.resolved import Pool, Resolved
from tts_operator.rollout_budget import annotation, finished
from tts_server.config import LocalEngine

ENGINE_HASH = "ttsfleet.io/engine-hash"
"""Annotation of the pod template: what the server reads once, at its start, and so has to roll for."""
REVISION = "deployment.kubernetes.io/revision"
"""Annotation of a Deployment, of its controller: it counts rollouts."""


def image(resolved: Resolved, pool: Pool) -> str:
    """Of the pool's pods."""
    return pool.spoken[0].spec.image or resolved.settings.server_image


def engine_hash(pool: Pool) -> str:
    """Of all that the server settles at its start. Voices, aliases and limits are not: those it reads again."""
    model, choice = pool.spoken
    engine = local_engine(model, choice.name)
    loaded = ",".join(sorted(pool.loaded))
    return digest(model.metadata.name, model.spec.engine.value, text(engine), loaded, str(model.spec.sample_rate_hz))


def weights_digest(resolved: Resolved, pool: Pool, told: str | None) -> str:
    """Names the sound of the pods that answer now: another one whenever it may differ.

    It comes from what the pods are made of, image and engine, and not from what they ought to be made of: a pool that
    waits its turn sounds as before. While old and new pods answer side by side the name is one that nothing else has.
    ``told`` is the present one: it holds until the Deployment's controller has seen what is asked of it.
    An image's tag stands for what it named first: who pushes another image under it keeps the old audio, too.
    """
    wanted = digest(image(resolved, pool), engine_hash(pool))
    found = live.deployment(resolved.observed, pool.name)
    if found is None:
        return wanted
    running = sound_of(found)
    if pool.waits:
        return running
    revision = number(annotation(found, REVISION))
    if running != wanted:
        return digest(wanted, "rollout", str(revision + 1))
    if live.count(found, "observedGeneration") < int(found["metadata"].get("generation", 0)):
        return told or wanted
    return wanted if revision <= 1 or finished(found) else digest(wanted, "rollout", str(revision))


def sound_of(found: Body) -> str:
    """Of the pods that a live Deployment makes."""
    template = found["spec"]["template"]
    notes = (template.get("metadata") or {}).get("annotations") or {}
    return digest(template["spec"]["containers"][0]["image"], notes.get(ENGINE_HASH, ""))


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


def text(config: BaseModel) -> str:
    """JSON that is the same for the same meaning, whatever order it was built in."""
    return (
        json.dumps(
            config.model_dump(mode="json", by_alias=True, exclude_none=True),
            ensure_ascii=False,
            indent=1,
            sort_keys=True,
        )
        + "\n"
    )


def digest(*parts: str) -> str:
    """Short, and different whenever a part is."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
