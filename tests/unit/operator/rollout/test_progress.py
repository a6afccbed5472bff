"""The status of a model says how many of its tenants run its last change."""

from __future__ import annotations

import copy
from datetime import timedelta

from tests.support.operator_builders import NOON, answering, child, observe, settle
from tests.support.resources import KEY, Object, model
from tts_operator.controller.reconcile_model import ModelUse
from tts_operator.desired.change_cause import model_digest
from tts_operator.objects.keys import Key
from tts_operator.rollout.policy import PoolKey, pool_key
from tts_operator.rollout.progress import RolloutProgress
from tts_operator.status.model import Usage

OLD, NEW = model_digest(model()), model_digest(model(image="new:2"))


def pool(image: str | None = None, *, tenant: Key = KEY, version: int = 41, updated: int | None = None) -> Object:
    """A tenant's Deployment of the model with this image, of which so many replicas are updated."""
    before = settle(observe(), NOON - timedelta(hours=1))
    found = child(before, "Deployment", "acme-espeak")
    if image is not None:
        found = child(settle(observe(known=[model(image=image)], children=before)), "Deployment", "acme-espeak")
    found = copy.deepcopy(answering(found))
    if updated is not None:
        found["status"]["updatedReplicas"] = updated
    found["metadata"] |= {"namespace": tenant.namespace, "resourceVersion": str(version)}
    found["metadata"]["labels"]["ttsfleet.io/tenant"] = tenant.name
    return found


def test_a_tenant_runs_the_change_once_every_pod_does() -> None:
    progress = RolloutProgress()
    progress.record(pool())
    assert progress.changed_models() == {"espeak"}
    assert progress.outdated("espeak", OLD) == frozenset()
    assert progress.outdated("espeak", NEW) == {KEY}
    progress.record(pool("new:2", version=42, updated=0))
    assert progress.outdated("espeak", OLD) == progress.outdated("espeak", NEW) == {KEY}
    progress.record(pool("new:2", version=43))
    assert progress.outdated("espeak", NEW) == frozenset()
    assert progress.changed_models() == {"espeak"}
    progress.record(pool("new:2", version=44))
    assert progress.changed_models() == frozenset(), "nothing has changed"
    progress.record(pool(version=42))
    assert progress.outdated("espeak", NEW) == frozenset(), "news of before does not count"


def test_a_tenant_that_is_gone_is_not_behind() -> None:
    progress = RolloutProgress()
    others = [Key("team", "b"), Key("team", "c")]
    for who in (KEY, *others):
        progress.record(pool(tenant=who))
    progress.record(pool(tenant=KEY), gone=True)
    assert progress.outdated("espeak", NEW) == set(others)
    progress.changed_models()
    progress.retain({PoolKey(others[0], "acme-espeak"), pool_key(pool(tenant=KEY))})
    assert progress.outdated("espeak", NEW) == {others[0]}
    assert progress.changed_models() == {"espeak"}
    assert progress.outdated("large", NEW) == frozenset()


def test_a_tenant_without_pods_does_not_hold_a_rollout_up() -> None:
    """Born suspended, refused, or not allowed: otherwise a team could keep RolledOut False for ever."""
    progress = RolloutProgress()
    behind, podless = Key("team", "b"), Key("team", "c")
    progress.record(pool("new:2"))
    progress.record(pool(tenant=behind))
    use = ModelUse("fleet/tts-operator", frozenset({KEY, behind, podless}), lambda d: progress.outdated("espeak", d))
    assert use.usage(model(image="new:2")) == Usage(3, 2)
    assert use.usage(None) == Usage(3)
    progress.record(pool("new:2", tenant=behind, version=42))
    assert use.usage(model(image="new:2")) == Usage(3, 3)
