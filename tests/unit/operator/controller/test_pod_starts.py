"""Each start of a pod is counted once, whoever leads and however often the operator starts anew."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.support.operator_builders import NOON, observe, pod, started
from tests.support.resources import KEY, model
from tts_operator.api import TTSModel, TTSModelStatus
from tts_operator.api.status import ReleaseStatus
from tts_operator.controller.pod_starts import PodStarts
from tts_operator.snapshot.observed import Observed

US = "fleet/tts-operator"
LATER = NOON + timedelta(minutes=5)


def counted_until(at: datetime, release: str = US) -> TTSModel:
    entry = ReleaseStatus(name=release, tenants=1, start_seconds=(9,), last_start_time=at.isoformat())
    return model().model_copy(update={"status": TTSModelStatus(releases=(entry,))})


def read(**pods: datetime) -> Observed:
    return observe(pods=[pod(name=name, **started(40, at)) for name, at in pods.items()])


def uids(starts: PodStarts) -> list[str]:
    return [start.uid for start in starts.pending("espeak")]


def test_a_pod_is_counted_once_while_it_exists() -> None:
    starts = PodStarts(US)
    starts.record(read(a=NOON))
    assert starts.changed_models() == {"espeak"}
    starts.record(read(a=LATER))
    assert starts.changed_models() == frozenset(), "it was not ready for a while: that is no start"
    starts.record(read(a=LATER, b=NOON))
    assert uids(starts) == ["uid-of-a", "uid-of-b"], "of two that were ready at once both count"


def test_after_a_restart_only_what_was_ready_later_counts() -> None:
    known = [counted_until(NOON)]
    pods = [pod(name="a", **started(40, NOON)), pod(name="b", **started(40, LATER))]
    starts = PodStarts(US)
    starts.record(observe(known=known, pods=pods))
    assert uids(starts) == ["uid-of-b"]


def test_what_another_release_has_counted_says_nothing_of_our_tenants() -> None:
    starts = PodStarts(US)
    starts.record(observe(known=[counted_until(LATER, "other/tts-operator")], pods=[pod(**started(40, NOON))]))
    assert len(uids(starts)) == 1


def test_what_was_reported_is_not_reported_again_and_what_came_meanwhile_is() -> None:
    starts = PodStarts(US)
    starts.record(read(a=NOON))
    reported = starts.pending("espeak")
    starts.record(read(a=NOON, b=LATER))
    starts.reported("espeak", reported)
    assert uids(starts) == ["uid-of-b"]
    starts.reported("espeak", starts.pending("espeak"))
    assert uids(starts) == []
    starts.record(read(a=NOON, b=LATER))
    assert uids(starts) == []


def test_a_new_term_believes_the_status_and_a_tenant_that_is_gone_leaves_nothing() -> None:
    starts = PodStarts(US)
    starts.record(read(a=NOON))
    starts.clear()
    assert uids(starts) == []
    assert starts.changed_models() == frozenset()
    starts.record(observe(known=[counted_until(NOON)], pods=[pod(name="a", **started(40, NOON))]))
    assert uids(starts) == []
    starts.forget(KEY)
    starts.record(read(a=NOON))
    assert uids(starts) == ["uid-of-a"]


def test_no_more_than_the_status_keeps_are_held() -> None:
    starts = PodStarts(US)
    starts.record(read(**{f"p{number}": NOON for number in range(50)}))
    assert len(uids(starts)) == 20
