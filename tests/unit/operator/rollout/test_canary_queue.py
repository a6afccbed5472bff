"""The rollout limiter lets the first tenants go, and wakes the others when they may follow."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta

from tests.support.operator_builders import NOON, answering, child, observe, settle, stamp
from tests.support.resources import Object, model
from tts_operator.desired.change_cause import model_digest
from tts_operator.objects.keys import Key
from tts_operator.rollout.canary import CANARY_FAILED, WAITING_FOR_CANARY, Canary
from tts_operator.rollout.limiter import RolloutLimiter
from tts_operator.rollout.situation import Mode

POOL = "acme-espeak"
KEYS = [Key(f"team-{number}", "acme") for number in range(4)]
NEW = model_digest(model(image="new:2"))
CHANGE = f"model/espeak/{NEW}"
CANARY = Canary("espeak", NEW, percent=25, soak_seconds=60)
BEFORE = settle(observe(), NOON - timedelta(hours=1))
AFTER = settle(observe(known=[model(image="new:2")], children=BEFORE))


class Clock:
    """Time that tests move."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)


def deployment(key: Key, version: int, *, new: bool = False, updated: int | None = None) -> Object:
    """A tenant's pool, with the model before or after the change; one that runs it has done so since noon."""
    found = copy.deepcopy(answering(child(AFTER if new else BEFORE, "Deployment", POOL)))
    found["metadata"] |= {"namespace": key.namespace, "resourceVersion": str(version)}
    found["metadata"]["ownerReferences"][0]["uid"] = f"uid-of-{key}"
    if updated is not None:
        found["status"]["updatedReplicas"] = updated
    else:
        done = {"type": "Progressing", "reason": "NewReplicaSetAvailable", "lastUpdateTime": stamp(NOON)}
        found["status"]["conditions"] = [done]
    return found


class Fleet:
    """Four tenants, all of which want the change."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.limiter = RolloutLimiter(clock=self.clock)
        for key in KEYS:
            self.sees(deployment(key, 1))

    def sees(self, found: Object) -> None:
        self.limiter.record(found)
        self.limiter.progress.record(found)

    def asks(self, key: Key, mode: Mode = Mode.AUTO) -> str:
        problems = self.limiter.admit(key, {POOL: CHANGE}, {POOL: mode}, {POOL: CANARY})
        return problems[POOL].reason if problems else ""


def began() -> tuple[Fleet, Key, list[Key]]:
    """A fleet of which one tenant has begun, that tenant, and the others."""
    fleet = Fleet()
    answers = {key: fleet.asks(key) for key in KEYS}
    (first,) = (key for key, answer in answers.items() if not answer)
    assert set(answers.values()) == {"", WAITING_FOR_CANARY}
    rolling = deployment(first, 2, new=True, updated=0)
    fleet.limiter.mark_applied(first, [POOL], [rolling])
    fleet.sees(rolling)
    return fleet, first, [key for key in KEYS if key != first]


def test_the_others_are_woken_when_the_soak_time_is_over() -> None:
    fleet, first, others = began()
    assert fleet.limiter.next_requeue(again=True) == []
    fleet.sees(deployment(first, 3, new=True))
    assert fleet.limiter.next_requeue(again=True) == [], "it has just begun to soak"
    assert fleet.limiter.canaries()["espeak"].soaks_until == NOON + timedelta(seconds=60)
    fleet.clock.seconds = 60
    assert sorted(fleet.limiter.next_requeue(again=True)) == others
    assert [fleet.asks(key) for key in others] == ["", "", ""]


def test_a_failure_is_told_to_the_others_and_ends_with_the_next_change() -> None:
    fleet, first, others = began()
    fleet.limiter.record(deployment(first, 3, new=True, updated=0), stuck=True)
    assert sorted(fleet.limiter.next_requeue(again=True)) == others
    assert [fleet.asks(key) for key in others] == [CANARY_FAILED] * 3
    assert fleet.limiter.next_requeue(again=True) == [], "they know"
    assert fleet.asks(others[0], Mode.IGNORE_FAILURES) == "", "the platform team goes on"


def test_a_paused_model_has_no_first_tenants() -> None:
    fleet = Fleet()
    assert {fleet.asks(key, Mode.PAUSED) for key in KEYS} == {"RolloutPaused"}


def test_another_takes_the_place_of_a_first_tenant_that_is_gone() -> None:
    fleet, first, others = began()
    gone = deployment(first, 4, new=True)
    fleet.limiter.record(gone, gone=True)
    fleet.limiter.progress.record(gone, gone=True)
    (next_one,) = fleet.limiter.next_requeue(again=True)
    assert next_one in others
    assert fleet.asks(next_one) == ""
