"""PodDisruptionBudget of a pool."""

from tts_operator.desired.metadata import pool_metadata
from tts_operator.objects.labels import POOL_LABEL
from tts_operator.objects.manifest import Manifest
from tts_operator.resolve.resolved import Pool, Resolved


def pod_disruption_budget(resolved: Resolved, pool: Pool) -> Manifest:
    """Allow one eviction at a time. With minAvailable a pool with one replica would block every drain of its node.

    Pods that are not ready may always be evicted (AlwaysAllow): a crash loop must not block a drain.
    """
    return Manifest.of(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": pool_metadata(resolved, pool),
            "spec": {
                "maxUnavailable": 1,
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
                "selector": {"matchLabels": {POOL_LABEL: pool.name}},
            },
        }
    )
