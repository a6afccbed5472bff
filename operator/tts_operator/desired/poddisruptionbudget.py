"""How many pods a drain may take at once."""

from tts_operator.desired.metadata import pool_metadata
from tts_operator.objects.labels import POOL_LABEL
from tts_operator.objects.manifest import Manifest
from tts_operator.resolve.resolved import Pool, Resolved


def pod_disruption_budget(resolved: Resolved, pool: Pool) -> Manifest:
    """One at a time. maxUnavailable, not minAvailable: a pool of one would otherwise block every drain for ever.

    Pods that are not ready may always go (AlwaysAllow): a crash loop must not hold a node.
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
