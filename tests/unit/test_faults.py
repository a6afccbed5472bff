"""The tools of `tests/faults` do what their table says, and the page of faults names every row of it."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.disturbances import FAULTS
from tests.faults.verdicts import RESILIENT_SECONDS, Outcome, Verdict, page
from tests.support.api_faults import RATES, ApiFault, Call, FaultPlan, Verb, call_of
from tests.support.watch_faults import CutOffError, EndOfWatchError, WatchFault

ROOT = Path(__file__).parents[2]
TENANTS = "/apis/ttsfleet.io/v1alpha1"
CALLS = {
    "a list in all namespaces": ("GET", f"{TENANTS}/ttstenants", False, Call(Verb.LIST, "ttstenants")),
    "a list": ("GET", f"{TENANTS}/namespaces/team/ttstenants", False, Call(Verb.LIST, "ttstenants")),
    "a watch": ("GET", "/api/v1/pods", True, Call(Verb.WATCH, "pods")),
    "a namespace": ("GET", "/api/v1/namespaces/team", False, Call(Verb.GET, "namespaces", "team")),
    "an object": ("GET", "/api/v1/namespaces/team/services/acme", False, Call(Verb.GET, "services", "acme")),
    "a status": (
        "PATCH",
        f"{TENANTS}/namespaces/t/ttstenants/acme/status",
        False,
        Call(Verb.WRITE, "ttstenants", "acme"),
    ),
    "a create": ("POST", "/api/v1/namespaces/team/configmaps", False, Call(Verb.WRITE, "configmaps")),
    "a path without a resource": ("GET", "/readyz", False, Call(Verb.GET, "")),
}


@pytest.mark.parametrize(("method", "path", "watch", "expected"), CALLS.values(), ids=CALLS)
def test_requests_are_sorted_by_their_path(method: str, path: str, watch: bool, expected: Call) -> None:
    assert call_of(method, path, watch=watch) == expected


def test_a_seed_chooses_the_same_faults_again() -> None:
    calls = [Call(verb, "pods") for verb in Verb] * 50
    plans = [FaultPlan(tuple(ApiFault), 7, active=True) for _ in range(2)]
    first, second = ([plan.fault_of(call) for call in calls] for plan in plans)
    assert first == second
    assert set(filter(None, first)) == plans[0].met.keys()


def test_every_fault_meets_requests_only_of_its_verbs_and_none_while_it_is_over() -> None:
    for fault in ApiFault:
        plan = FaultPlan((fault,), 1)
        calls = [Call(verb, "pods") for verb in Verb] * 200
        assert [plan.fault_of(call) for call in calls] == [None] * len(calls)
        plan.active = True
        assert {call.verb for call in calls if plan.fault_of(call)} == RATES[fault].keys()


class Lines:
    """Lines that are all there, and then the end."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self._lines = list(lines)

    async def next(self, within_seconds: float | None = None) -> bytes | None:
        if not self._lines:
            raise EndOfWatchError
        return self._lines.pop(0)


def event(uid: str) -> bytes:
    return b'{"type": "MODIFIED", "object": {"metadata": {"uid": "%s"}}}\n' % uid.encode()


EVENTS = [event(uid) for uid in ("a", "b", "b", "c", "d")]


async def received(fault: ApiFault | None, *, active: bool = True, seed: int = 3) -> list[bytes]:
    watch = WatchFault(fault, Lines(EVENTS), random.Random(seed), lambda: active)
    return [line async for line in watch.events()]


@pytest.mark.parametrize("fault", [None, ApiFault.DOUBLED_EVENTS, ApiFault.REORDERED_EVENTS, ApiFault.EXPIRED])
async def test_a_watch_is_as_it_should_be_once_the_fault_is_over(fault: ApiFault | None) -> None:
    assert await received(fault, active=False) == EVENTS


async def test_doubled_events_come_twice() -> None:
    found = await received(ApiFault.DOUBLED_EVENTS)
    assert list(dict.fromkeys(found)) == list(dict.fromkeys(EVENTS))
    assert len(found) > len(EVENTS)


async def test_events_of_different_objects_change_places_and_those_of_one_do_not() -> None:
    assert await received(ApiFault.REORDERED_EVENTS) == [event(uid) for uid in ("b", "a", "c", "b", "d")]


async def test_a_watch_expires_with_an_event() -> None:
    assert b'"code": 410' in (await received(ApiFault.EXPIRED))[-1]


async def test_a_watch_is_cut_in_the_middle_of_an_event_or_between_two() -> None:
    ends = set()
    for seed in range(20):
        try:
            await received(ApiFault.CUT_WATCH, seed=seed)
        except CutOffError as error:
            ends.add(bool(error.last))
    assert True in ends


VERDICTS = {
    "at once": (Outcome("409", 1, 1.0), Verdict.RESILIENT),
    "slowly": (Outcome("409", 1, RESILIENT_SECONDS + 1), Verdict.DEGRADED),
    "as slowly as the machine": (Outcome("409", 1, 50.0, calm_seconds=25.0), Verdict.RESILIENT),
    "more slowly than the machine": (Outcome("409", 1, 51.0, calm_seconds=25.0), Verdict.DEGRADED),
    "never": (Outcome("409", 1, None), Verdict.FAILED),
    "with writes afterwards": (Outcome("409", 1, 1.0, "still writing"), Verdict.FAILED),
}


@pytest.mark.parametrize(("outcome", "expected"), VERDICTS.values(), ids=VERDICTS)
def test_verdicts(outcome: Outcome, expected: Verdict) -> None:
    assert outcome.verdict is expected


def test_a_fault_has_the_worst_verdict_of_its_seeds() -> None:
    text = page([Outcome("409", 1, 3.0, calm_seconds=6.4), Outcome("409", 21, 40.2), Outcome("hang", 6, None)])
    assert re.findall(r"^\| `([\w-]+)`.* \| ([A-Z]\w+) \| (\S+) \| (\S+) \| (.*) \|$", text, re.MULTILINE) == [
        ("409", "Degraded", "40", "6", "1, 21"),
        ("hang", "Failed", "-", "0", "6"),
    ]


def test_the_page_names_every_fault() -> None:
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)`: (.*?) \|", text, re.MULTILINE)
    assert rows == [(name, fault.about) for name, fault in FAULTS.items()], (
        "make faults FAULT_PAGE=docs/faults.md writes the page"
    )
    assert text.startswith(page([]).split("| fault")[0])


def test_every_fault_of_the_page_was_run_and_none_failed() -> None:
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    verdicts = dict(re.findall(r"^\| `([\w-]+)`: .*? \| ([\w ]+) \|", text, re.MULTILINE))
    assert verdicts.keys() == FAULTS.keys()
    assert set(verdicts.values()) <= {Verdict.RESILIENT, Verdict.DEGRADED}
