"""Audio that is kept never outlives the engine that spoke it: its name changes whenever the sound may."""

from __future__ import annotations

import copy
import json
from datetime import timedelta

from tests.support.operator_builders import NOON, child, desired, observe, settle
from tests.support.resources import Object, model
from tts_operator.snapshot.observed import Observed


def name_of(observed: Observed, of: str = "espeak") -> str:
    bodies = [dict(manifest.body) for manifest in desired(observed).manifests]
    written = json.loads(child(bodies, "ConfigMap", "acme-espeak-server")["data"]["server.json"])
    return str(next(each for each in written["models"] if each["name"] == of)["weightsDigest"])


def served() -> list[Object]:
    return settle(observe(), NOON - timedelta(hours=1))


def test_the_name_stays_while_the_sound_does() -> None:
    before = name_of(observe(children=served()))
    assert name_of(observe()) == before
    same = model(voices=[{"name": "fr"}], firstAudioTimeoutSeconds=9, priorityClassName="speech")
    assert name_of(observe(known=[same])) == before
    assert name_of(observe(children=served(), schedule={"default": {"minReplicas": 4}})) == before


def rolling(children: list[Object], revision: int, **status: int) -> list[Object]:
    """Observe pods of two templates side by side."""
    found = copy.deepcopy(children)
    deployment = child(found, "Deployment", "acme-espeak")
    deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = str(revision)
    conditions = [{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}]
    deployment["status"] |= {"conditions": conditions, "replicas": 2, "updatedReplicas": 1, **status}
    return found


def test_while_old_and_new_pods_answer_the_name_is_one_of_its_own() -> None:
    """Back and forth between two images: each passage has a name that neither of them has, nor another passage."""
    old, new = model(image="a:1"), model(image="a:2")
    before = settle(observe(known=[old]), NOON - timedelta(hours=1))
    names = [name_of(observe(known=[old], children=before))]
    names.append(name_of(observe(known=[new], children=before)))
    after = settle(observe(known=[new], children=before))
    names.append(name_of(observe(known=[new], children=rolling(after, 2))))
    names.append(name_of(observe(known=[new], children=after)))
    names.append(name_of(observe(known=[old], children=rolling(after, 2, updatedReplicas=2))))
    names.append(name_of(observe(known=[new], children=rolling(after, 4))))
    first, draining, _, at_rest, back, again = names
    assert len({first, draining, at_rest, back, again}) == 5
    assert at_rest == name_of(observe(known=[new]))


def test_a_pool_that_scales_keeps_its_name() -> None:
    children = served()
    before = name_of(observe(children=children))
    scaled = copy.deepcopy(children)
    child(scaled, "Deployment", "acme-espeak")["metadata"]["generation"] += 1
    assert name_of(observe(children=scaled)) == before


def test_a_member_has_a_name_at_the_entry() -> None:
    known = [model(), model("large", image="large:1")]
    one = name_of(observe("espeak", "large", known=known), "large")
    other = [model(), model("large", image="large:2")]
    assert name_of(observe("espeak", "large", known=other), "large") != one
