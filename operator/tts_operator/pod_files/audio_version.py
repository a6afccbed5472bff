"""Version of everything in a model that changes its audio; part of the cache key."""

from tts_operator.objects import fields
from tts_operator.objects.fields import annotation, decimal
from tts_operator.objects.labels import ENGINE_HASH
from tts_operator.objects.manifest import Body
from tts_operator.pod_files.engine import engine_hash, server_image
from tts_operator.pod_files.serialize import digest
from tts_operator.resolve.resolved import Pool, Resolved
from tts_operator.rollout.policy import finished
from tts_operator.snapshot import lookup

REVISION_MARK = "-"
REVISION = "deployment.kubernetes.io/revision"
"""Annotation by the Deployment controller: it counts rollouts."""


def weights_digest(resolved: Resolved, pool: Pool, current: str | None, revision: str | None = None) -> str:
    """Identifies the audio of the running pods, which read this revision of the files on a claim."""
    pods, _, _ = (current or "").partition(REVISION_MARK)
    version = pods_digest(resolved, pool, pods or None)
    return version if revision is None else f"{version}{REVISION_MARK}{digest(revision)}"


def pods_digest(resolved: Resolved, pool: Pool, current: str | None) -> str:
    """Identifies the audio of the running pods: it differs whenever their audio may differ.

    It is derived from the image and engine of the running pods, not of the desired ones: a throttled pool keeps its
    digest. While old and new pods serve at the same time, the digest is unique to that rollout.
    ``current`` is the digest in use: it stays until the Deployment controller has observed the latest spec.
    A tag stands for the first image under it: audio is not invalidated by another image pushed under the same tag.
    """
    desired = digest(server_image(resolved, pool), engine_hash(pool))
    live = lookup.deployment(resolved.observed, pool.name)
    if live is None:
        return desired
    running = running_digest(live)
    if pool.throttled:
        return running
    revision = decimal(annotation(live, REVISION))
    if running != desired:
        return digest(desired, "rollout", str(revision + 1))
    if fields.count(live, "observedGeneration") < int(live["metadata"].get("generation", 0)):
        return current or desired
    return desired if revision <= 1 or finished(live) else digest(desired, "rollout", str(revision))


def running_digest(live: Body) -> str:
    """Digest of image and engine in the pod template of a live Deployment."""
    template = live["spec"]["template"]
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    return digest(template["spec"]["containers"][0]["image"], annotations.get(ENGINE_HASH, ""))
