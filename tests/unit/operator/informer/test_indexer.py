"""Whatever is told in whatever order, the copies end as the cluster is."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tts_operator.informer.indexer import Change, Indexer, ObjectName
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import CALENDAR, CONFIG_MAP, DEPLOYMENT, HORIZONTAL_POD_AUTOSCALER, MODEL, POD, TENANT
from tts_operator.objects.manifest import Body

ACME, BETA = Key("team", "acme"), Key("team", "beta")
OURS = {"app.kubernetes.io/managed-by": "tts-operator"}
OWNER = [{"apiVersion": "ttsfleet.io/v1alpha1", "kind": "TTSTenant", "name": "acme", "uid": "1", "controller": True}]


def body(name: str, version: int, content: str = "", *, tenant: str = "acme", uid: str = "", **parts: Any) -> Body:
    metadata = {
        "name": name,
        "namespace": "team",
        "uid": uid or f"uid-of-{name}",
        "resourceVersion": str(version),
        "labels": {**OURS, "ttsfleet.io/tenant": tenant},
        "ownerReferences": OWNER,
    }
    return {"metadata": metadata, "data": {"a": content}, **parts}


def contents(indexer: Indexer) -> dict[str, str]:
    return {held.name: held.body()["data"]["a"] for held in indexer.all(CONFIG_MAP)}


def test_objects_are_found_by_their_tenant() -> None:
    indexer = Indexer()
    indexer.put(CONFIG_MAP, body("b", 1))
    indexer.put(CONFIG_MAP, body("a", 2))
    indexer.put(DEPLOYMENT, body("d", 3))
    indexer.put(CONFIG_MAP, body("c", 4, tenant="beta"))
    assert [held.name for held in indexer.of_tenant(CONFIG_MAP, ACME)] == ["a", "b"]
    assert [held.name for held in indexer.of_tenant(CONFIG_MAP, BETA)] == ["c"]
    indexer.put(CONFIG_MAP, body("a", 5, tenant="beta"))
    assert [held.name for held in indexer.of_tenant(CONFIG_MAP, ACME)] == ["b"]
    assert [held.name for held in indexer.of_tenant(CONFIG_MAP, BETA)] == ["a", "c"]


def test_autoscalers_of_others_are_found_by_their_namespace() -> None:
    indexer = Indexer()
    indexer.put(HORIZONTAL_POD_AUTOSCALER, body("ours", 1))
    foreign = {"metadata": {"name": "keda", "namespace": "team", "resourceVersion": "2"}}
    indexer.put(HORIZONTAL_POD_AUTOSCALER, foreign)
    assert [held.name for held in indexer.foreign_autoscalers("team")] == ["keda"]
    indexer.remove(HORIZONTAL_POD_AUTOSCALER, foreign)
    assert indexer.foreign_autoscalers("team") == []


def test_only_another_content_is_news() -> None:
    indexer = Indexer()
    assert indexer.put(CONFIG_MAP, body("a", 1, "x")) is not None
    assert indexer.put(CONFIG_MAP, body("a", 2, "x")) is None
    assert indexer.put(CONFIG_MAP, body("a", 3, "y")) is not None
    found = indexer.get(CONFIG_MAP, "team", "a")
    assert found is not None
    assert found.version == 3


def test_what_is_older_than_what_is_held_is_ignored() -> None:
    indexer = Indexer()
    indexer.put(CONFIG_MAP, body("a", 5, "written by the operator"))
    assert indexer.put(CONFIG_MAP, body("a", 4, "late")) is None
    assert indexer.remove(CONFIG_MAP, body("a", 4, uid="an earlier one")) is None
    assert contents(indexer) == {"a": "written by the operator"}


def test_deletions_that_a_watch_missed_are_found_by_a_list() -> None:
    indexer = Indexer()
    for name in ("stays", "gone", "newer"):
        indexer.put(CONFIG_MAP, body(name, 5))
    indexer.put(CONFIG_MAP, body("newer", 11))
    changes = indexer.listed(CONFIG_MAP, "", {ObjectName("team", "stays")}, "10")
    assert [(change.held.name, change.gone) for change in changes] == [("gone", True)]
    assert set(contents(indexer)) == {"stays", "newer"}, "what was created after the list is not missing from it"
    assert [held.name for held in indexer.of_tenant(CONFIG_MAP, ACME)] == ["newer", "stays"]


def test_what_a_complete_list_did_not_have_is_not_brought_back_by_what_is_older() -> None:
    """The deletion was missed, and the response to an earlier write comes after the list."""
    indexer = Indexer()
    indexer.put(CONFIG_MAP, body("there", 9, "x"), listed_at="10")
    indexer.listed(CONFIG_MAP, "", {ObjectName("team", "there")}, "10")
    assert indexer.put(CONFIG_MAP, body("gone", 8)) is None
    assert indexer.put(CONFIG_MAP, body("new", 11)) is not None
    assert set(contents(indexer)) == {"there", "new"}


def test_after_storage_was_restored_an_older_version_wins() -> None:
    indexer = Indexer()
    indexer.put(CONFIG_MAP, body("a", 100, "new"))
    indexer.put(CONFIG_MAP, body("b", 101, "lost with the newer storage"))
    indexer.forget_versions()
    indexer.put(CONFIG_MAP, body("a", 50, "old"))
    indexer.listed(CONFIG_MAP, "", {ObjectName("team", "a")}, "60")
    assert contents(indexer) == {"a": "old"}


def test_a_tenant_is_behind_until_its_own_write_was_seen() -> None:
    indexer = Indexer()
    indexer.put(DEPLOYMENT, body("d", 5))
    indexer.expect(DEPLOYMENT, "team", "d", "7")
    assert indexer.is_behind(ACME)
    assert not indexer.is_behind(BETA)
    indexer.put(DEPLOYMENT, body("d", 6))
    assert indexer.is_behind(ACME)
    indexer.put(DEPLOYMENT, body("d", 8))
    assert not indexer.is_behind(ACME)
    indexer.expect(DEPLOYMENT, "team", "d", "8")
    assert not indexer.is_behind(ACME), "the watch was faster than the response"
    indexer.expect(DEPLOYMENT, "team", "d", "9")
    indexer.remove(DEPLOYMENT, body("d", 10))
    assert not indexer.is_behind(ACME)


def test_a_stamp_changes_with_everything_that_a_tenant_has_and_with_nothing_else() -> None:
    indexer = Indexer()
    stamps = [indexer.stamp(ACME)]

    def changes() -> bool:
        stamps.append(indexer.stamp(ACME))
        return stamps[-1] != stamps[-2]

    indexer.put(CONFIG_MAP, body("a", 1, "x"))
    assert changes()
    indexer.put(CONFIG_MAP, body("a", 2, "x"))
    assert not changes(), "the same content in another version"
    indexer.put(POD, body("p", 3, tenant="beta"))
    assert not changes(), "another tenant's pod"
    indexer.put(CONFIG_MAP, body("b", 4))
    assert changes()
    indexer.remove(CONFIG_MAP, body("a", 5))
    assert changes()
    indexer.put(CONFIG_MAP, body("b", 6, tenant="beta"))
    assert changes()
    indexer.put(CONFIG_MAP, body("b", 7))
    assert changes()


def test_of_a_models_status_only_the_load_time_concerns_its_tenants() -> None:
    """The rest counts tenants, so it changes with each of them."""

    def model(version: int, **parts: Any) -> Body:
        return {"metadata": {"name": "espeak", "uid": "1", "resourceVersion": str(version)}, "spec": {}, **parts}

    indexer = Indexer()
    indexer.put(MODEL, model(1))
    before = indexer.stamp_of_models()
    assert indexer.put(MODEL, model(2, status={"tenants": 3})) is not None, "but it is another content"
    assert indexer.stamp_of_models() == before
    indexer.put(MODEL, model(3, status={"tenants": 3}, spec={"image": "other"}))
    assert indexer.stamp_of_models() != before
    before = indexer.stamp_of_models()
    indexer.put(MODEL, model(4, status={"tenants": 4, "loadSeconds": 45}, spec={"image": "other"}))
    assert indexer.stamp_of_models() != before


def test_the_stamp_of_a_tenants_calendars_changes_with_those_that_it_refers_to() -> None:
    exceptions = [{"name": "holidays", "calendarRef": {"name": "de"}, "minReplicas": 1}]
    tenant = {"metadata": {"namespace": "team", "name": "acme", "uid": "1", "resourceVersion": "1"}}
    indexer = Indexer()
    indexer.put(TENANT, {**tenant, "spec": {"schedule": {"exceptions": exceptions}}})
    assert indexer.calendars_of(ACME) == {"de"}
    stamps = [indexer.stamp_of_calendars(ACME)]
    for version, name in enumerate(("de", "fr", "de"), start=2):
        dates = {"spec": {"dates": [{"name": str(version)}]}}
        indexer.put(CALENDAR, {"metadata": {"name": name, "uid": name, "resourceVersion": str(version)}, **dates})
        stamps.append(indexer.stamp_of_calendars(ACME))
    assert [before == after for before, after in pairwise(stamps)] == [False, True, False]
    assert indexer.referring("de") == [ACME]
    assert indexer.referring("fr") == []


NAMES = ("a", "b", "c")
EVENT = st.tuples(st.sampled_from(NAMES), st.sampled_from(("put", "delete", "recreate")))


class Told:
    """History of a cluster: the events in order, and what exists after each of them."""

    def __init__(self, steps: list[tuple[str, str]]) -> None:
        self.events: list[tuple[bool, Body]] = []
        self.exists: list[dict[str, Body]] = [{}]
        for number, (name, step) in enumerate(steps, 1):
            now = dict(self.exists[-1])
            if step == "delete" and name in now:
                del now[name]
                self.events.append((True, body(name, number, uid=self.uid(name))))
            else:
                if step == "recreate" and name not in now:
                    now.pop(name, None)
                now[name] = body(name, number, str(number), uid=self.uid(name, new=name not in now, number=number))
                self.events.append((False, now[name]))
            self.exists.append(now)

    def uid(self, name: str, *, new: bool = False, number: int = 0) -> str:
        self._uids: dict[str, str] = getattr(self, "_uids", {})
        if new:
            self._uids[name] = f"{name}-{number}"
        return self._uids[name]


def tell(indexer: Indexer, event: tuple[bool, Body]) -> Change | None:
    gone, told = event
    return indexer.remove(CONFIG_MAP, told) if gone else indexer.put(CONFIG_MAP, told)


@given(st.lists(EVENT, max_size=30), st.data())
def test_delayed_doubled_and_lost_events_with_lists_in_between_end_in_what_exists(
    steps: list[tuple[str, str]], data: st.DataObject
) -> None:
    """The operator's own writes come early or late, a watch tells them again, and a list ends every gap."""
    told = Told(steps)
    indexer = Indexer()
    notified: dict[str, Body] = {}

    def note(change: Change | None) -> None:
        if change is not None and change.after is None:
            notified.pop(change.held.name, None)
        elif change is not None:
            notified[change.held.name] = change.held.body()

    position = 0
    while position < len(told.events):
        match data.draw(st.sampled_from(("next", "early", "again", "gap"))):
            case "early" if not told.events[position][0]:
                note(tell(indexer, told.events[position]))
            case "again" if position:
                note(tell(indexer, told.events[data.draw(st.integers(0, position - 1))]))
            case "gap":
                position = data.draw(st.integers(position, len(told.events)))
                for each in told.exists[position].values():
                    note(indexer.put(CONFIG_MAP, each, listed_at=str(position)))
                existing = {ObjectName("team", name) for name in told.exists[position]}
                for change in indexer.listed(CONFIG_MAP, "", existing, str(position)):
                    note(change)
            case _:
                note(tell(indexer, told.events[position]))
                position += 1
    expected = {name: each["data"]["a"] for name, each in told.exists[-1].items()}
    assert contents(indexer) == expected
    assert {name: each["data"]["a"] for name, each in notified.items()} == expected, "every difference was told"
    assert {held.name for held in indexer.of_tenant(CONFIG_MAP, ACME)} == set(expected)
