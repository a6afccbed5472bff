"""Finds what others have added to a live object beside the operator's fields, where that is not theirs to decide.

A server-side apply leaves alone what others own. CLOSED lists, by kind, the places in which an addition would make a
pod do something else than its tenant and its model say, or get more than they allow: another container, a file in a
volume, an accelerator, an address that leads to its Service. Everywhere else others may add what they like: labels,
annotations such as that of `kubectl rollout restart`, tolerations. Lists that the API replaces as a
whole, such as the rules of a NetworkPolicy, need no entry: `diff` compares them whole.

Who added it does not matter: managedFields are themselves open to whoever may edit the object.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tts_operator.objects.diff import LIST_KEYS, POD, FieldChange, Path, readable
from tts_operator.objects.manifest import Body

NOTHING: frozenset[str] = frozenset()
CONTAINER: Path = (*POD, "containers")
TEMPLATE_LABELS: Path = ("spec", "template", "metadata", "labels")

CLOSED: Mapping[str, Mapping[Path, frozenset[str]]] = {
    # kind: by path, the names that the API server itself adds there
    "ConfigMap": {("data",): NOTHING, ("binaryData",): NOTHING},
    "Secret": {("data",): NOTHING},
    "Service": {("spec", "ports"): NOTHING, ("spec", "externalIPs"): NOTHING},
    "Deployment": {
        **{
            (*POD, *path): NOTHING
            for path in (
                ("containers",),
                ("initContainers",),
                ("volumes",),
                ("volumes", "configMap", "items"),
                ("volumes", "secret", "items"),
                ("volumes", "emptyDir", "medium"),
                ("securityContext",),
                ("securityContext", "seccompProfile"),
                ("nodeName",),
                ("hostNetwork",),
                ("hostPID",),
                ("hostIPC",),
                ("shareProcessNamespace",),
                ("hostAliases",),
                ("dnsConfig",),
                ("resourceClaims",),
            )
        },
        **{
            (*CONTAINER, *path): NOTHING
            for path in (
                ("command",),
                ("env",),
                ("envFrom",),
                ("lifecycle",),
                ("ports",),
                ("ports", "hostPort"),
                ("ports", "hostIP"),
                ("resources",),
                ("resources", "limits"),
                ("resources", "requests"),
                ("securityContext", "capabilities"),
                ("volumeDevices",),
                ("volumeMounts",),
                ("volumeMounts", "subPath"),
                ("volumeMounts", "subPathExpr"),
            )
        },
        (*CONTAINER, "securityContext"): frozenset({"procMount"}),
    },
}
"""Places in which additions are undone. One that the operator does not set at all is closed as a whole."""


@dataclass(frozen=True)
class Addition:
    """A field or an element of a list that somebody else added."""

    path: Path
    """Path as `diff` writes it: an element of a list is named by its key."""
    pointer: tuple[str | int, ...]
    """Path in the live object, where an element of a list has its position."""
    value: Any

    @property
    def change(self) -> FieldChange:
        """The removal, as a change of a field."""
        return FieldChange(self.path, self.value if readable(self.value) else "set", None)


class Position(NamedTuple):
    """Position of a part of two objects that are compared."""

    path: Path = ()
    place: Path = ()
    """Path without the keys of lists' elements."""
    pointer: tuple[str | int, ...] = ()
    """Path in the live object."""

    def field(self, name: str) -> "Position":
        """Position of a field."""
        return Position((*self.path, name), (*self.place, name), (*self.pointer, name))

    def element(self, key: Sequence[Any], index: int) -> "Position":
        """Position of a list's element."""
        return Position((*self.path, f"[{':'.join(map(str, key))}]"), self.place, (*self.pointer, index))

    def addition(self, value: Any) -> Addition:
        """The addition that somebody else made here."""
        return Addition(self.path, self.pointer, value)


class Closed(NamedTuple):
    """Closed places of one kind."""

    places: Mapping[Path, frozenset[str]]
    above: frozenset[Path]
    """Paths that lead to a place, and the places: nothing else of an object needs a look."""

    @classmethod
    def of(cls, places: Mapping[Path, frozenset[str]]) -> "Closed":
        """Closed places with all paths above them."""
        return cls(places, frozenset(place[:length] for place in places for length in range(len(place) + 1)))


BY_KIND = {kind: Closed.of(places) for kind, places in CLOSED.items()}
WITH_LABELS = BY_KIND | {"Deployment": Closed.of({**CLOSED["Deployment"], TEMPLATE_LABELS: NOTHING})}


def additions(desired: Body, live: Body, *, labels: bool = False) -> list[Addition]:
    """Everything in closed places of the live object that is not desired.

    `labels`: those of the pod template, too. The chart's admission policies refuse every write of a Deployment with
    others, so that they must go together with anything else that is written.
    """
    closed = (WITH_LABELS if labels else BY_KIND).get(str(desired.get("kind")))
    return list(_found(desired, live, Position(), closed)) if closed is not None else []


def json_patch(found: Sequence[Addition], resource_version: str) -> list[dict[str, Any]]:
    """JSON Patch that removes the additions from the object of this resourceVersion; of another one it is a conflict.

    Later elements of a list go first, so that the positions of the others stay.
    """

    def order(each: Addition) -> list[tuple[bool, str | int]]:
        return [(isinstance(part, int), part) for part in each.pointer]

    removed = [{"op": "remove", "path": pointer_text(each.pointer)} for each in sorted(found, key=order, reverse=True)]
    return [{"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version}, *removed]


def pointer_text(pointer: tuple[str | int, ...]) -> str:
    """A path as RFC 6901 writes it."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in pointer)


def is_set(value: object) -> bool:
    """Whether a value means anything: the API server may return empty ones that nobody wrote."""
    return value is not None and value is not False and value not in ({}, [])


def _found(desired: Any, live: Any, at: Position, closed: Closed) -> Iterator[Addition]:
    if isinstance(desired, Mapping) and isinstance(live, Mapping):
        element = bool(at.path) and at.path[-1].startswith("[")
        own = None if element else closed.places.get(at.place)  # a list that is closed says nothing of its elements
        for name, value in live.items():
            place = (*at.place, name)
            if name in desired:
                if place in closed.above and value != desired[name]:
                    yield from _found(desired[name], value, at.field(name), closed)
            elif (place in closed.places or (own is not None and name not in own)) and is_set(value):
                yield at.field(name).addition(value)
    elif at.place in LIST_KEYS and isinstance(desired, Sequence) and isinstance(live, Sequence):
        yield from _found_elements(desired, live, at, closed)


def _found_elements(desired: Sequence[Any], live: Sequence[Any], at: Position, closed: Closed) -> Iterator[Addition]:
    """Elements of a keyed list. A second one of the same key, which the API permits in some lists, is an addition."""
    names = LIST_KEYS[at.place]
    wanted = {tuple(element.get(name) for name in names): element for element in desired}
    for index, element in enumerate(live):
        key = tuple(element.get(name) for name in names)
        match = wanted.pop(key, None)
        if match is not None:
            yield from _found(match, element, at.element(key, index), closed)
        elif at.place in closed.places:
            yield at.element(key, index).addition(element)
