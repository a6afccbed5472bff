"""The operator's own writes are known before any watch tells them."""

from __future__ import annotations

from typing import Any

import pytest

from tts_operator.cluster.client import path_of
from tts_operator.informer.indexer import Change, Indexer
from tts_operator.informer.own_writes import HELD, OwnWrites, target_of
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import (
    CHILDREN,
    CONFIG_MAP,
    DEPLOYMENT,
    KINDS,
    POD,
    RESOURCE_CLAIM_TEMPLATE,
    SECRET,
    Scope,
)
from tts_operator.objects.manifest import Ref

PATH = "/api/v1/namespaces/team/configmaps/acme-quota"


OWNER = {"apiVersion": "ttsfleet.io/v1alpha1", "kind": "TTSTenant", "name": "acme", "uid": "9", "controller": True}


def config_map(version: int, content: str = "") -> dict[str, Any]:
    metadata = {
        "name": "acme-quota",
        "namespace": "team",
        "uid": "1",
        "resourceVersion": str(version),
        "labels": {"ttsfleet.io/tenant": "acme"},
        "ownerReferences": [OWNER],
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"content": content}}


class Stage:
    def __init__(self) -> None:
        self.indexer = Indexer()
        self.changes: list[Change] = []
        self.writes = OwnWrites(self.indexer, self.changes.append)

    def content(self) -> str | None:
        held = self.indexer.get(CONFIG_MAP, "team", "acme-quota")
        return str(held.body()["data"]["content"]) if held else None


def test_an_apply_is_read_back_and_its_event_is_no_news() -> None:
    stage = Stage()
    stage.writes.stored("PATCH", PATH, config_map(5, "new"))
    assert stage.content() == "new"
    assert len(stage.changes) == 1
    assert stage.indexer.put(CONFIG_MAP, config_map(4, "old")) is None
    assert stage.indexer.put(CONFIG_MAP, config_map(5, "new")) is None
    assert stage.content() == "new"


def test_a_write_that_somebody_elses_change_is_part_of_is_told() -> None:
    """The response has what others have written before: their event comes too late to be news."""
    stage = Stage()
    stage.writes.stored("PATCH", PATH, config_map(5))
    stage.writes.stored("PATCH", PATH, config_map(7, "somebody else's, too"))
    assert len(stage.changes) == 2


def test_a_delete_takes_the_object_of_its_uid() -> None:
    stage = Stage()
    stage.writes.stored("PATCH", PATH, config_map(5))
    stage.writes.stored("DELETE", PATH, {"kind": "Status", "details": {"uid": "another"}})
    assert stage.content() == ""
    stage.writes.stored("DELETE", PATH, {"kind": "Status", "details": {"uid": "1"}})
    assert stage.content() is None


def test_a_delete_of_which_the_event_was_faster_brings_nothing_back() -> None:
    """Some kinds are returned as they were before their deletion."""
    stage = Stage()
    stage.writes.stored("PATCH", PATH, config_map(5))
    stage.indexer.remove(CONFIG_MAP, config_map(6))
    stage.writes.stored("DELETE", PATH, config_map(5))
    assert stage.content() is None
    stage.writes.stored("PATCH", PATH, config_map(8))
    stage.writes.stored("DELETE", PATH, config_map(8))
    assert stage.content() is None


def test_a_write_that_somebody_deleted_meanwhile_brings_nothing_back() -> None:
    """Its response is handled after the event of the deletion."""
    stage = Stage()
    stage.indexer.put(CONFIG_MAP, config_map(5))
    stage.indexer.remove(CONFIG_MAP, config_map(7))
    stage.writes.stored("PATCH", PATH, config_map(6, "late"))
    assert stage.content() is None
    stage.writes.stored("PATCH", PATH, config_map(8, "created again"))
    assert stage.content() == "created again"


def test_a_response_that_nobody_expected_fails_no_write() -> None:
    stage = Stage()
    stage.writes.stored("PATCH", PATH, {"kind": "ConfigMap"})
    assert stage.changes == []


def test_an_object_that_a_finalizer_holds_is_not_gone() -> None:
    stage = Stage()
    stage.writes.stored("PATCH", PATH, config_map(5))
    held = config_map(6)
    held["metadata"]["deletionTimestamp"] = "2026-11-04T12:00:00Z"
    stage.writes.stored("DELETE", PATH, held)
    assert stage.content() == ""


def test_after_a_scale_the_deployment_is_waited_for() -> None:
    """The response is a Scale, which does not say what the Deployment is now."""
    stage = Stage()
    metadata = {"name": "acme-espeak", "namespace": "team", "uid": "2", "labels": {"ttsfleet.io/tenant": "acme"}}
    stage.indexer.put(DEPLOYMENT, {"metadata": {**metadata, "resourceVersion": "5"}})
    path = path_of(Ref.of(DEPLOYMENT, "team", "acme-espeak")) + "/scale"
    stage.writes.stored("PUT", path, {"kind": "Scale", "metadata": {"resourceVersion": "6"}})
    assert stage.indexer.is_behind(Key("team", "acme"))
    stage.indexer.put(DEPLOYMENT, {"metadata": {**metadata, "resourceVersion": "6"}})
    assert not stage.indexer.is_behind(Key("team", "acme"))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_target_of_a_path_is_what_the_path_was_made_of(kind: Any) -> None:
    namespace = "" if kind.scope is Scope.CLUSTER else "team"
    found = target_of(path_of(Ref.of(kind, namespace, "acme.x")))
    assert found == ((kind, namespace, "acme.x", "") if kind in HELD else None)


def test_copies_of_secrets_are_never_held() -> None:
    assert SECRET not in HELD
    assert set(HELD) >= {*CHILDREN, POD} - {SECRET, RESOURCE_CLAIM_TEMPLATE}
    stage = Stage()
    secret = {**config_map(5), "kind": "Secret", "data": {"token": "c2VjcmV0"}}
    stage.writes.stored("PATCH", "/api/v1/namespaces/team/secrets/acme-internal", secret)
    assert not list(stage.indexer.all(SECRET))
    assert stage.changes == []
