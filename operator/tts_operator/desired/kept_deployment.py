"""Deployment of a pool whose pods stay as they are for now.

A pool waits for its turn in a rollout, its model cannot be used now, or it is about to be removed. Its pod template
stays as the operator last applied it, and everything else of the Deployment is kept as desired all the same. Otherwise
a team could have its pods as it likes for as long as a rollout waits.
"""

from tts_operator.desired.deployment import with_template
from tts_operator.objects.diff import POD, owned_fields
from tts_operator.objects.labels import ROLLOUT, SOURCES, pool_labels
from tts_operator.objects.manifest import Manifest
from tts_operator.objects.own_part import own_part
from tts_operator.resolve.resolved import Pool, Resolved
from tts_operator.snapshot import lookup

TEMPLATE = POD[:-1]


def kept_deployment(resolved: Resolved, pool: Pool, later: Manifest | None) -> Manifest | None:
    """The Deployment with its live pod template; None where it is not known what of that is the operator's.

    `later`: the manifest that it gets later, if that is known.
    """
    live = lookup.deployment(resolved.observed, pool.name)
    if live is None or not pool.model_name:
        return None
    owned = ((owned_fields(live) or {}).get("f:spec") or {}).get("f:template")
    if not owned:
        return None
    labels = {"metadata": {"labels": pool_labels(resolved.key.name, pool.model_name)}}
    after = later.body["spec"]["template"] if later else labels
    kept = with_template(resolved, pool, own_part(live["spec"]["template"], owned, after, TEMPLATE))
    notes = live["metadata"].get("annotations") or {}
    own_notes = {name: notes[name] for name in (SOURCES, ROLLOUT) if name in notes}
    metadata = kept.body["metadata"]
    # It must not be created from a part of a pod template, if it is deleted meanwhile.
    return Manifest(kept.ref, {**kept.body, "metadata": {**metadata, "annotations": own_notes}}).of_uid(live)
