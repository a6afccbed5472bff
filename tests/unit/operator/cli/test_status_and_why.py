"""Pages of `kubectl tts status` and `why`, from objects. The commands are tested beside a real API server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.resources import Object
from tts_operator.cli.status_command import cells, in_order, summary, totals
from tts_operator.cli.why_command import Found, page
from tts_operator.fleet.ages import age
from tts_operator.fleet.tenant_view import TenantView

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
POOL = {"model": "kokoro", "role": "Entry", "precision": "int8", "min": 1, "max": 3, "desired": 2, "ready": 1}


def condition(type_: str, status: str, reason: str = "", message: str = "", since: str = "11:48") -> Object:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": f"2026-11-30T{since}:00Z",
    }


def tenant(name: str = "acme", *conditions: Object, **status: Any) -> TenantView:
    spec = {"schedule": {"timeZone": "Asia/Shanghai"}}
    metadata = {"name": name, "namespace": "team-acme"}
    return TenantView({"metadata": metadata, "spec": spec, "status": {"conditions": list(conditions), **status}})


READY = condition("Ready", "True", "Ready", "The endpoint answers.")
PULLING = condition("Ready", "False", "ImagePullBackOff", "pod acme-kokoro-1: check the image")


@pytest.mark.parametrize(
    ("since", "shown"),
    [
        ("2026-11-30T12:00:01Z", "0s"),
        ("2026-11-30T11:58:01Z", "119s"),
        ("2026-11-30T11:58:00Z", "2m"),
        ("2026-11-30T10:01:00Z", "119m"),
        ("2026-11-30T10:00:00Z", "2h"),
        ("2026-11-28T12:00:00Z", "2d"),
        ("", "-"),
        ("yesterday", "-"),
        ("2026-11-30T12:00:00", "-"),
    ],
)
def test_an_age_has_one_unit(since: str, shown: str) -> None:
    assert age(since, NOW) == shown


def test_a_tenant_is_a_line() -> None:
    change = {"time": "2026-11-30T14:00:00Z", "window": "night", "minReplicas": 1, "maxReplicas": 1}
    seen = tenant(
        "acme",
        READY,
        pools=[POOL],
        activeWindow="day",
        precision="int8",
        nextTransition=change,
        cost={"hourly": "1.60"},
    )
    assert cells(seen) == (*("team-acme", "acme", "True", "day", "1/2", "1-3", "Mon 22:00 1", "int8", "1.6", "Ready"),)


def test_a_tenant_that_no_operator_has_seen_is_a_line_too() -> None:
    seen = TenantView({"metadata": {"name": "new", "namespace": "team-acme"}, "spec": {}})
    assert cells(seen) == ("team-acme", "new", "Unknown", "-", "0/0", "-", "-", "-", "-", "Pending")
    assert summary(seen)["ready"] is False


def test_problems_come_first() -> None:
    ordered = in_order(iter([tenant("b", READY), tenant("c", PULLING), tenant("a", READY)]))
    assert [each.name for each in ordered] == ["c", "a", "b"]


def test_the_last_line_sums_up() -> None:
    asleep = tenant("b", READY, condition("Suspended", "True"), pools=[{**POOL, "ready": 0, "desired": 0}])
    said = totals([tenant("a", PULLING, pools=[POOL], cost={"hourly": "2.10"}), asleep])
    assert said == (
        "2 tenants; 1 ready; 1 of them suspended; 1 of 2 replicas serve; 2.1 an hour, without 1 that have no price.\n"
    )


def shown(found: Found) -> str:
    return "\n".join("".join(part) for part in page(found, NOW))


def test_the_page_says_first_what_to_do() -> None:
    seen = tenant(
        "acme",
        PULLING,
        condition("Accepted", "True", "Accepted"),
        condition("Available", "False", "ImagePullBackOff", "no pod answers"),
        condition("Progressing", "True", "RollingOut", "0 of 2 pods"),
        condition("Reconciling", "True", "RollingOut", "0 of 2 pods"),
        pools=[{**POOL, "reason": "ImagePullBackOff"}],
    )
    text = shown(Found(seen, [], []))
    assert text.startswith(
        "team-acme/acme: not ready for 12m, ImagePullBackOff\npod acme-kokoro-1: check the image\n\n"
        "CONDITION     STATUS   SINCE   REASON             MESSAGE\n"
        "Available     False    12m     ImagePullBackOff   no pod answers\n"
        "Progressing   True     12m     RollingOut         0 of 2 pods\n\n"
        "MODEL    ROLE    PRECISION   BOUNDS   READY   REASON\n"
        "kokoro   Entry   int8        1-3      1/2     ImagePullBackOff\n"
    )
    assert "Accepted" not in text


def pod(name: str, state: Object, **more: Any) -> Object:
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": "2026-11-30T11:00:00Z",
            "ownerReferences": [{"kind": "ReplicaSet", "name": "acme-kokoro-6f"}],
        },
        "spec": {"containers": [{"name": "tts-server"}], "nodeName": "node-1"},
        "status": {
            "phase": "Running",
            "containerStatuses": [{"name": "tts-server", "ready": False, "restartCount": 3, "state": state, **more}],
        },
    }


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (pod("p", {"running": {}}), ""),
        (
            pod(
                "p",
                {"waiting": {"reason": "CrashLoopBackOff"}},
                lastState={"terminated": {"reason": "OOMKilled", "exitCode": 137}},
            ),
            "CrashLoopBackOff after OOMKilled",
        ),
        (pod("p", {"terminated": {"reason": "Error", "exitCode": 3}}), "Error, exit status 3"),
    ],
)
def test_a_pod_tells_why_it_does_not_run(seen: Object, reason: str) -> None:
    line = shown(Found(tenant("acme", READY), [seen], [])).splitlines()[-1]
    assert line == f"p     Running   0/1     3          node-1   60m   {reason}".rstrip()


def test_a_pod_without_a_node_says_what_it_lacks() -> None:
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]
    waits = {
        "metadata": {"name": "p"},
        "spec": {"containers": [{}]},
        "status": {"phase": "Pending", "conditions": conditions},
    }
    assert "Unschedulable: 0/1 nodes" in shown(Found(tenant("acme", READY), [waits], []))


def event(kind: str, name: str, at: str, message: str = "said") -> Object:
    return {
        "metadata": {"name": "e"},
        "type": "Warning",
        "reason": "Failed",
        "message": message,
        "involvedObject": {"kind": kind, "name": name},
        "lastTimestamp": f"2026-11-30T{at}:00Z",
    }


def test_events_are_those_of_the_tenant_and_what_belongs_to_it() -> None:
    events = [
        event("TTSTenant", "acme", "11:59"),
        event("Pod", "acme-kokoro-6f-x", "11:50"),
        event("ReplicaSet", "acme-kokoro-6f", "11:51"),
        event("Deployment", "acme-kokoro", "11:52"),
        event("TTSTenant", "acme-blue", "11:59"),
        event("Pod", "acme-blue-kokoro-1", "11:59"),
        event("Deployment", "acme-blue-kokoro", "11:59"),
    ]
    text = shown(Found(tenant("acme", READY, pools=[POOL]), [pod("acme-kokoro-6f-x", {"running": {}})], events))
    about = [line.split()[3] for line in text.splitlines() if "Failed" in line]
    assert about == [
        *("Pod/acme-kokoro-6f-x", "ReplicaSet/acme-kokoro-6f", "Deployment/acme-kokoro", "TTSTenant/acme"),
    ]


def test_only_the_latest_events_are_shown() -> None:
    events = [event("TTSTenant", "acme", f"11:{minute:02}", f"event {minute}") for minute in range(30)]
    text = shown(Found(tenant("acme", READY), [], events))
    assert "event 29" in text
    assert "event 19" not in text


def test_messages_cannot_write_to_the_terminal() -> None:
    rude = condition("Ready", "False", "ImagePullBackOff", "\x1b]0;owned\x07 \x1b[2J\nready")
    text = shown(Found(tenant("acme", rude), [], [event("TTSTenant", "acme", "11:00", "\x1b[31mred\r\n")]))
    assert not set("\x1b\x07\r") & set(text)


def test_a_reader_without_permission_sees_the_rest() -> None:
    text = shown(Found(tenant("acme", READY, pools=[POOL]), None, None))
    assert "You may not list the pods of this namespace." in text
    assert "You may not list the events of this namespace." in text
    assert "kokoro" in text
