"""Copies of the cluster's objects, by kind, namespace and name, and by the tenant to which they belong.

Pure: whoever lists and watches tells it what the API server said. A later resourceVersion wins, in whatever order
things are told (KEP-5504: versions of one kind are numbers that only increase).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from tts_operator.informer.held_object import HeldObject
from tts_operator.informer.shared_bytes import SharedBytes
from tts_operator.objects.fields import decimal
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import CALENDAR, HORIZONTAL_POD_AUTOSCALER, MODEL, TENANT, Kind
from tts_operator.objects.manifest import Body

MAX_BURIED = 10_000
"""Deletions that are remembered: what is told late comes within seconds."""
NOTHING: Mapping[str, HeldObject] = MappingProxyType({})


class Change(NamedTuple):
    """An object whose content is another one than before."""

    before: HeldObject | None
    after: HeldObject | None
    """The object as it is now; None once it is gone."""

    @property
    def held(self) -> HeldObject:
        """The object as it is or, once it is gone, as it was."""
        held = self.after or self.before
        assert held is not None  # noqa: S101 - a change has one of the two
        return held

    @property
    def gone(self) -> bool:
        """Whether the object is gone."""
        return self.after is None


class Stamp(NamedTuple):
    """Digest of a set of objects: equal stamps of one set mean that nothing in it changed, came or went."""

    size: int
    newest: int


class ObjectName(NamedTuple):
    """An object of some kind."""

    namespace: str
    name: str


class Indexer:
    """Held objects with their indexes. Used by one event loop."""

    def __init__(self) -> None:
        self._tables: dict[Kind, dict[str, dict[str, HeldObject]]] = {}
        self._tenants: dict[Key, set[HeldObject]] = {}
        self._foreign_autoscalers: dict[str, dict[str, HeldObject]] = {}
        self._referring: dict[str, set[Key]] = {}  # tenants by the calendars that they refer to
        self._expected: dict[tuple[Kind, str, str], int] = {}
        self._buried: dict[tuple[Kind, str, str], int] = {}  # versions of the latest deletions
        self._listed_at: dict[tuple[Kind, str], int] = {}  # versions of complete lists, by namespace
        self._shared = SharedBytes()
        self._changes = 0

    def get(self, kind: Kind, namespace: str, name: str) -> HeldObject | None:
        """One object."""
        return self._tables.get(kind, {}).get(namespace, NOTHING).get(name)

    def all(self, kind: Kind, namespace: str = "") -> Iterator[HeldObject]:
        """Every object of a kind, in one namespace or in all."""
        tables = self._tables.get(kind, {})
        for table in [tables.get(namespace, {})] if namespace else list(tables.values()):
            yield from list(table.values())

    def of_tenant(self, kind: Kind, key: Key) -> list[HeldObject]:
        """Objects of a kind that belong to a tenant, by name."""
        found = (held for held in self._tenants.get(key, ()) if held.kind is kind)
        return sorted(found, key=lambda held: held.name)

    def foreign_autoscalers(self, namespace: str) -> list[HeldObject]:
        """HPAs of a namespace that are not the operator's, by name."""
        found = self._foreign_autoscalers.get(namespace, NOTHING)
        return [found[name] for name in sorted(found)]

    def referring(self, calendar: str) -> list[Key]:
        """Tenants that refer to a TTSCalendar."""
        return sorted(self._referring.get(calendar, ()))

    def count(self, kind: Kind) -> int:
        """Number of objects of a kind."""
        return sum(len(table) for table in self._tables.get(kind, {}).values())

    def put(self, kind: Kind, body: Body, *, listed_at: str = "") -> Change | None:
        """Record an object as the API server returned it. None if that is not news.

        `listed_at`: resourceVersion of the list that it is from; empty for an event, or the response to a write.
        """
        after = HeldObject(kind, body, self._shared)
        name = (kind, after.namespace, after.name)
        if self._expected.get(name, 0) <= after.version:
            self._expected.pop(name, None)
        before = self.get(kind, after.namespace, after.name)
        if before is not None and after.version <= before.version:
            return None
        if before is None and self._is_gone(after, listed_at):
            return None
        news = before is None or not after.same_content(before)
        self._replace(before, after)
        after.changed_at = self._next() if is_input(before, after) or before is None else before.changed_at
        return Change(before, after) if news else None

    def remove(self, kind: Kind, body: Body) -> Change | None:
        """Record the deletion of an object, of which this is the last state. None if that is not news."""
        metadata = body["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        self._expected.pop((kind, namespace, name), None)
        before = self.get(kind, namespace, name)
        version = decimal(str(metadata.get("resourceVersion") or ""))
        if before is not None and version < before.version:
            return None
        self._bury(kind, namespace, name, version)
        return self._remove(before) if before is not None else None

    def removed(self, kind: Kind, namespace: str, name: str, uid: str) -> Change | None:
        """Record that the object of this UID is gone. None if that is not news."""
        before = self.get(kind, namespace, name)
        if before is None or before.uid != uid:
            return None
        self._bury(kind, namespace, name, before.version)
        return self._remove(before)

    def listed(self, kind: Kind, namespace: str, existing: Collection[ObjectName], version: str) -> list[Change]:
        """Remove what a complete list does not have, and what is not newer than the list: its deletion was missed.

        `namespace`: the one that was listed, empty for all.
        """
        newest = decimal(version)
        gone = [
            held
            for held in self.all(kind, namespace)
            if (held.namespace, held.name) not in existing and (held.version <= newest or not newest)
        ]
        self._listed_at[kind, namespace] = newest
        return [self._remove(held) for held in gone]

    def forget_versions(self) -> None:
        """Let anything that is told from now on win: the storage was restored from an older copy, and counts anew."""
        self._expected.clear()
        self._buried.clear()
        self._listed_at.clear()
        for kind in self._tables:
            for held in self.all(kind):
                held.version = 0

    def drop(self, kind: Kind, namespace: str) -> None:
        """Forget the objects of a namespace, or of all, that are no longer watched."""
        self._listed_at.pop((kind, namespace), None)
        for held in list(self.all(kind, namespace)):
            self._remove(held)

    def expect(self, kind: Kind, namespace: str, name: str, version: str) -> None:
        """Note that an object has this version by now, or a later one, with a content that is not known."""
        held = self.get(kind, namespace, name)
        if held is None or held.version < decimal(version):
            self._expected[kind, namespace, name] = decimal(version)

    def is_behind(self, key: Key) -> bool:
        """Whether an object of the tenant has been written whose new content has not been seen."""
        return any(self._is_of(key, *name) for name in self._expected)

    def stamp(self, key: Key) -> Stamp:
        """Stamp of everything that belongs to a tenant."""
        return stamp_of(self._tenants.get(key, ()))

    def stamp_of_models(self) -> Stamp:
        """Stamp of every model, without their statuses."""
        return stamp_of(self.all(MODEL))

    def stamp_of_calendars(self, key: Key) -> Stamp:
        """Stamp of the TTSCalendars that a tenant refers to."""
        return stamp_of(held for name in self.calendars_of(key) if (held := self.get(CALENDAR, "", name)) is not None)

    def calendars_of(self, key: Key) -> frozenset[str]:
        """TTSCalendars that a tenant refers to, whether they exist or not."""
        held = self.get(TENANT, key.namespace, key.name)
        return held.calendars if held else frozenset()

    def stamp_of_foreign_autoscalers(self, namespace: str) -> Stamp:
        """Stamp of the HPAs of a namespace that are not the operator's."""
        return stamp_of(self._foreign_autoscalers.get(namespace, NOTHING).values())

    def _is_of(self, key: Key, kind: Kind, namespace: str, name: str) -> bool:
        if namespace != key.namespace:
            return False
        held = self.get(kind, namespace, name)
        return held is None or held.tenant == key.name

    def _bury(self, kind: Kind, namespace: str, name: str, version: int) -> None:
        """Note that an object was gone at this version: what is told of earlier ones comes too late."""
        self._buried[kind, namespace, name] = max(version, self._buried.pop((kind, namespace, name), 0))
        if len(self._buried) > MAX_BURIED:
            del self._buried[next(iter(self._buried))]

    def _is_gone(self, told: HeldObject, listed_at: str) -> bool:
        """Whether an object that is not held was deleted after this state of it.

        The response to a write may come after the event of a deletion that followed it.
        """
        buried_at = self._buried.get((told.kind, told.namespace, told.name), 0)
        if listed_at:
            return buried_at > decimal(listed_at)
        listed = (self._listed_at.get((told.kind, namespace), 0) for namespace in (told.namespace, ""))
        return told.version <= max(buried_at, *listed)

    def _next(self) -> int:
        self._changes += 1
        return self._changes

    def _remove(self, held: HeldObject) -> Change:
        self._replace(held, None)
        self._expected.pop((held.kind, held.namespace, held.name), None)
        self._next()
        return Change(held, None)

    def _replace(self, before: HeldObject | None, after: HeldObject | None) -> None:
        if before is not None:
            self._unindex(before)
        if after is not None:
            self._index(after)

    def _index(self, held: HeldObject) -> None:
        self._tables.setdefault(held.kind, {}).setdefault(held.namespace, {})[held.name] = held
        if held.tenant:
            self._tenants.setdefault(Key(held.namespace, held.tenant), set()).add(held)
        if held.kind is HORIZONTAL_POD_AUTOSCALER and not held.managed:
            self._foreign_autoscalers.setdefault(held.namespace, {})[held.name] = held
        for calendar in held.calendars:
            self._referring.setdefault(calendar, set()).add(Key(held.namespace, held.name))

    def _unindex(self, held: HeldObject) -> None:
        _discard(self._tables[held.kind], held.namespace, held.name)
        _discard(self._foreign_autoscalers, held.namespace, held.name, held)
        for calendar in held.calendars:
            referring = self._referring[calendar]
            referring.discard(Key(held.namespace, held.name))
            if not referring:
                del self._referring[calendar]
        siblings = self._tenants.get(Key(held.namespace, held.tenant), set())
        siblings.discard(held)
        if held.tenant and not siblings:
            self._tenants.pop(Key(held.namespace, held.tenant), None)


def is_input(before: HeldObject | None, after: HeldObject) -> bool:
    """Whether a reconcile of a tenant may read another value now: of a model's status it reads the load time."""
    if before is None or before.uid != after.uid:
        return True
    if after.kind is not MODEL:
        return not after.same_content(before)
    return _read_of_model(before) != _read_of_model(after)


def stamp_of(objects: Iterable[HeldObject]) -> Stamp:
    """Stamp of these objects.

    Whatever comes or changes has a number above all others. If the highest is the same, objects can only have gone, and
    then there are fewer.
    """
    numbers = [held.changed_at for held in objects]
    return Stamp(len(numbers), max(numbers, default=0))


def _read_of_model(held: HeldObject) -> Body:
    body = held.body()
    metadata = {name: part for name, part in body["metadata"].items() if name not in ("resourceVersion", "generation")}
    load_seconds = (body.get("status") or {}).get("loadSeconds")
    return {name: part for name, part in body.items() if name != "status"} | {"metadata": metadata, "": load_seconds}


def _discard(
    tables: dict[str, dict[str, HeldObject]], namespace: str, name: str, held: HeldObject | None = None
) -> None:
    table = tables.get(namespace)
    if table is None or (held is not None and table.get(name) is not held):
        return
    table.pop(name, None)
    if not table:
        del tables[namespace]
