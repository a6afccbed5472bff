"""Version of everything in a model that changes its audio; part of the cache key."""

from tts_operator.objects import fields
from tts_operator.objects.fields import annotation, decimal
from tts_operator.objects.labels import ENGINE_HASH
from tts_operator.objects.manifest import Body
from tts_operator.pod_files.engine import engine_hash, image
from tts_operator.pod_files.serialize import digest
from tts_operator.resolve.resolved import Pool, Resolved
from tts_operator.rollout.policy import finished
from tts_operator.snapshot import lookup

REVISION = "deployment.kubernetes.io/revision"
"""Annotation of a Deployment, of its controller: it counts rollouts."""


def weights_digest(resolved: Resolved, pool: Pool, told: str | None) -> str:
    """Names the sound of the pods that answer now: another one whenever it may differ.

    It comes from what the pods are made of, image and engine, and not from what they ought to be made of: a pool that
    waits its turn sounds as before. While old and new pods answer side by side the name is one that nothing else has.
    ``told`` is the present one: it holds until the Deployment's controller has seen what is asked of it.
    An image's tag stands for what it named first: who pushes another image under it keeps the old audio, too.
    """
    wanted = digest(image(resolved, pool), engine_hash(pool))
    found = lookup.deployment(resolved.observed, pool.name)
    if found is None:
        return wanted
    running = sound_of(found)
    if pool.waits:
        return running
    revision = decimal(annotation(found, REVISION))
    if running != wanted:
        return digest(wanted, "rollout", str(revision + 1))
    if fields.count(found, "observedGeneration") < int(found["metadata"].get("generation", 0)):
        return told or wanted
    return wanted if revision <= 1 or finished(found) else digest(wanted, "rollout", str(revision))


def sound_of(found: Body) -> str:
    """Of the pods that a live Deployment makes."""
    template = found["spec"]["template"]
    notes = (template.get("metadata") or {}).get("annotations") or {}
    return digest(template["spec"]["containers"][0]["image"], notes.get(ENGINE_HASH, ""))
