"""Rows of the page, from objects as the API server has them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.resources import Object, model_body, tenant_body
from tts_operator.console.rows import model_row, rollout_row, tenant_row
from tts_operator.console.tenant_page import Told, tenant_json
from tts_operator.objects.labels import ROLLOUT, TENANT_LABEL

NOW = datetime(2026, 12, 1, 4, 30, tzinfo=UTC)
POOL = {"model": "espeak", "role": "Entry", "precision": "fp32", "min": 1, "max": 3, "desired": 2, "ready": 1}


def condition(type_: str, status: str, reason: str, message: str = "") -> Object:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-12-01T04:00:00Z",
    }


def live(*conditions: Object, generation: int = 3, **status: Any) -> Object:
    body = tenant_body(tier="VIP", quota={"requestsPerMinute": 50}, schedule={"preset": "DayNightWeekend"})
    body["metadata"]["generation"] = generation
    return {**body, "status": {"conditions": list(conditions), "runningGeneration": generation, **status}}


def test_a_row_has_what_the_table_shows() -> None:
    cost = {"hourly": "1.60", "monthly": "800.00"}
    row = tenant_row(live(condition("Ready", "True", "Ready"), pools=[POOL], activeWindow="night", cost=cost), NOW)
    assert (row["namespace"], row["name"], row["ready"]) == ("team-acme", "acme", "True")
    assert (row["serving"], row["desired"], row["min"], row["max"]) == (1, 2, 1, 3)
    assert (row["window"], row["cost"], row["monthly"]) == ("night", "1.6", "800.00")
    assert (row["tier"], row["perMinute"], row["models"], row["needsKey"]) == ("VIP", 50, ["espeak"], True)
    assert row["next"]["window"] == "day"
    assert (row["behind"], row["queued"]) == ("", "")


def test_a_tenant_that_no_operator_has_seen_has_a_row() -> None:
    row = tenant_row(tenant_body(), NOW)
    assert (row["ready"], row["reason"], row["serving"], row["min"]) == ("Unknown", "Pending", 0, None)


VERSIONS: dict[str, tuple[Object, str, str]] = {
    "waits": (live(condition("Progressing", "True", "WaitingForRollout", "Queued.")), "waiting", "WaitingForRollout"),
    "halted": (live(condition("Programmed", "False", "RolloutHalted", "Failed.")), "halted", "RolloutHalted"),
    "rolls": (live(condition("Progressing", "True", "RollingOut", "1 of 2.")), "rolling out", ""),
    "behind": (live(condition("Progressing", "True", "RollingOut", "1 of 2."), runningGeneration=1), "2 behind", ""),
    "current": (live(condition("Progressing", "False", "Complete")), "", ""),
}


@pytest.mark.parametrize(("body", "behind", "queued"), VERSIONS.values(), ids=VERSIONS)
def test_the_version_is_a_word(body: Object, behind: str, queued: str) -> None:
    row = tenant_row(body, NOW)
    assert (row["behind"], row["queued"]) == (behind, queued)


def deployment(**changes: Any) -> Object:
    owner = {"apiVersion": "ttsfleet.io/v1alpha1", "kind": "TTSTenant", "name": "acme", "uid": "1", "controller": True}
    return {
        "metadata": {
            "name": "acme-espeak",
            "namespace": "team-acme",
            "generation": 2,
            "labels": {TENANT_LABEL: "acme"},
            "annotations": {ROLLOUT: "model/espeak/3f2a"},
            "ownerReferences": [owner],
        },
        "spec": {"replicas": 3},
        "status": {"observedGeneration": 2, "updatedReplicas": 1, "replicas": 3, **changes},
    }


def test_a_pool_that_rolls_out_a_change_holds_a_place() -> None:
    row = rollout_row(deployment())
    assert row == {
        "namespace": "team-acme",
        "tenant": "acme",
        "pool": "acme-espeak",
        "change": "TTSModel espeak",
        "state": "place",
        "updated": 1,
        "replicas": 3,
    }


def test_a_pool_that_has_finished_or_is_nobodys_is_no_rollout() -> None:
    done = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
    assert rollout_row(deployment(conditions=[done], updatedReplicas=3)) is None
    foreign = deployment()
    foreign["metadata"]["ownerReferences"] = []
    assert rollout_row(foreign) is None


def test_a_rollout_that_is_overdue_has_failed() -> None:
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    row = rollout_row(deployment(conditions=[late]))
    assert row is not None
    assert row["state"] == "failed"


def test_a_model_is_a_card_of_the_catalogue() -> None:
    row = model_row({**model_body(), "status": {"conditions": [condition("Ready", "True", "Ready")], "tenants": 4}})
    assert row["voices"] == [{"name": "en-us", "languages": ["en"]}, {"name": "de", "languages": []}]
    assert (row["ready"], row["tenants"], row["mode"], row["precisions"]) == ("True", 4, "Auto", ["fp32"])


def test_of_a_secret_the_names_of_its_entries_are_all_that_is_told() -> None:
    secret = {"metadata": {"name": "acme-keys"}, "data": {"laptop": "c2VjcmV0LWhhc2g=", "ci": "b3RoZXItaGFzaA=="}}
    shown = tenant_json(live(), Told(()), Told(()), Told((secret,)))
    assert shown["keys"] == {"secret": "acme-keys", "names": ["ci", "laptop"], "problem": ""}
    assert "c2VjcmV0LWhhc2g=" not in str(shown)


def test_events_of_others_are_not_shown_and_the_latest_is_first() -> None:
    def event(name: str, at: str, reason: str) -> Object:
        about = {"kind": "TTSTenant", "name": name}
        return {"metadata": {}, "involvedObject": about, "reason": reason, "lastTimestamp": at, "message": "m\x1b[31m"}

    events = (event("acme", "2026-12-01T01:00:00Z", "Old"), event("acme", "2026-12-01T02:00:00Z", "New"))
    shown = tenant_json(live(), Told(()), Told((*events, event("other", "2026-12-01T03:00:00Z", "Other"))), Told(()))
    assert [each["reason"] for each in shown["events"]["rows"]] == ["New", "Old"]
    assert shown["events"]["rows"][0]["message"] == "m [31m"
