"""EndpointSlices by which a tenant's Service leads to the waker while no pod of the entry pool is ready."""

from collections.abc import Iterator

from tts_operator.desired.metadata import child_metadata
from tts_operator.objects.kinds import ENDPOINT_SLICE, SLICE_MANAGED_BY
from tts_operator.objects.labels import SERVICE_NAME, tenant_labels
from tts_operator.objects.manifest import Manifest
from tts_operator.objects.names import MANAGER, waker_slice_name
from tts_operator.resolve.resolved import Resolved
from tts_operator.rollout.cutover import available
from tts_operator.snapshot import lookup

FAMILIES = ("IPv4", "IPv6")
"""Families of addresses: an EndpointSlice has those of one."""


def waker_slices(resolved: Resolved) -> Iterator[Manifest]:
    """One EndpointSlice for each family of the waker's addresses; none while the tenant's own pods answer.

    The Service keeps its selector: the EndpointSlice controller keeps the slices of the pods, and leaves those of other
    managers alone. They stay until a pod is available, so that no request finds the Service without an endpoint; a
    request that reaches the waker meanwhile is passed on to the pods.
    """
    waker = resolved.observed.waker
    if waker is None or resolved.suspended:
        return
    for family in FAMILIES:
        addresses = waker.of_family(family)
        name = waker_slice_name(resolved.key.name, family)
        starting = lookup.child(resolved.observed, ENDPOINT_SLICE, name) is not None and not available(
            resolved.observed, resolved.entry, 1
        )
        if addresses and (resolved.at_zero or starting):
            labels = {
                **tenant_labels(resolved.key.name),
                SERVICE_NAME: resolved.key.name,
                SLICE_MANAGED_BY: MANAGER,
            }
            yield Manifest.of(
                {
                    "apiVersion": ENDPOINT_SLICE.api_version,
                    "kind": ENDPOINT_SLICE.name,
                    "metadata": child_metadata(resolved, name, labels),
                    "addressType": family,
                    "endpoints": [
                        {"addresses": [address], "conditions": {"ready": True, "serving": True, "terminating": False}}
                        for address in addresses
                    ],
                    "ports": [{"name": "http", "port": waker.port, "protocol": "TCP"}],
                }
            )
