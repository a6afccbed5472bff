"""Start failures of all tenants, by model: a model's status is written again when one comes or goes."""

from __future__ import annotations

from tests.support.operator_builders import observe, pod
from tests.support.resources import KEY
from tts_operator.controller.start_failures import StartFailures
from tts_operator.objects.keys import Key
from tts_operator.objects.problem import Problem

OTHER = Key("team-b", "beta")
BOTH = frozenset({KEY, OTHER})
ENDED = {"exitCode": 3, "message": "the engine does not start: no graph"}
FAILING = observe(
    pods=[pod(containerStatuses=[{"name": "tts-server", "ready": False, "state": {"terminated": ENDED}}])]
)
PROBLEM = Problem("EngineNotStarted", "the engine does not start: no graph")


def test_a_failure_comes_goes_and_leaves_with_its_tenant() -> None:
    failures = StartFailures()
    failures.record(observe())
    assert failures.changed_models() == {"espeak"}, "the first reading: nothing was known"
    failures.record(FAILING)
    assert failures.changed_models() == {"espeak"}
    assert failures.of("espeak", BOTH) == {KEY: PROBLEM}
    assert failures.of("other", BOTH) == {}
    failures.record(FAILING)
    assert failures.changed_models() == frozenset()
    failures.record(observe())
    assert failures.changed_models() == {"espeak"}
    assert failures.of("espeak", BOTH) == {}
    failures.record(FAILING)
    failures.changed_models()
    failures.forget(KEY)
    assert failures.changed_models() == {"espeak"}
    assert failures.of("espeak", BOTH) == {}


def test_tenants_that_were_not_read_are_known_to_be_missing() -> None:
    failures = StartFailures()
    assert failures.unread(BOTH)
    failures.record(observe())
    assert failures.unread(BOTH)
    assert not failures.unread(frozenset({KEY}))
    failures.forget(KEY)
    assert failures.unread(frozenset({KEY}))
