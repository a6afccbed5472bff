"""Autoscaler of a pool: an HPA, or the ScaledObject from which KEDA makes one."""

from tts_operator.api import Provider
from tts_operator.desired.horizontalpodautoscaler import horizontal_pod_autoscaler
from tts_operator.desired.scaledobject import scaled_object
from tts_operator.objects.manifest import Manifest
from tts_operator.resolve.resolved import Pool, Resolved
from tts_operator.snapshot import lookup


def autoscaler(resolved: Resolved, pool: Pool) -> Manifest | None:
    """The pool's autoscaler; None while the HPA that KEDA's replaces still exists.

    KEDA's webhook refuses a ScaledObject for a Deployment that another HPA scales. The same plan deletes that HPA, and
    its deletion enqueues the tenant.
    """
    if resolved.autoscaler.provider is Provider.HPA:
        return horizontal_pod_autoscaler(resolved, pool)
    if lookup.own_autoscaler(resolved.observed, pool.name) and not lookup.scaled_object(resolved.observed, pool.name):
        return None
    return scaled_object(resolved, pool)
