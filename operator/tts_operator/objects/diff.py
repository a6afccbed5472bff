"""Tell an object that must be applied from one that already says the same.

The API server returns more than it was given: defaults, other managers' fields, quantities in another spelling. So only
what the operator owns is compared: every field it wants, and every field that it applied once and wants no longer.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tts_operator.objects import quantity
from tts_operator.objects.manifest import Body
from tts_operator.objects.names import MANAGER

Path = tuple[str, ...]

POD = ("spec", "template", "spec")
LIST_KEYS: Mapping[Path, tuple[str, ...]] = {
    ("metadata", "ownerReferences"): ("uid",),
    ("spec", "ports"): ("port", "protocol"),
    (*POD, "volumes"): ("name",),
    (*POD, "imagePullSecrets"): ("name",),
    (*POD, "topologySpreadConstraints"): ("topologyKey", "whenUnsatisfiable"),
    **{
        (*POD, containers, *rest): keys
        for containers in ("containers", "initContainers")
        for rest, keys in (
            ((), ("name",)),
            (("env",), ("name",)),
            (("ports",), ("containerPort", "protocol")),
            (("volumeMounts",), ("mountPath",)),
        )
    },
}
"""Lists that the API merges by key (``x-kubernetes-list-map-keys`` in its OpenAPI); others are replaced whole."""

ATOMIC_MAPS: frozenset[Path] = frozenset(
    {
        ("spec", "selector"),
        ("spec", "podSelector"),
        (*POD, "nodeSelector"),
        (*POD, "topologySpreadConstraints", "labelSelector"),
    }
)
"""Maps that the API replaces whole (``x-kubernetes-map-type: atomic``): a key too many is a difference."""

QUANTITIES = frozenset({"requests", "limits", "sizeLimit", "averageValue"})
"""Fields whose values, or whose children's values, are quantities."""

LABELS = {"minReplicas": "min", "maxReplicas": "max"}
SHOWN = 4
LONGEST_VALUE = 60


def difference(desired: Body, live: Body | None) -> str:
    """Why the object must be applied, in one line for logs; empty if there is nothing to do."""
    if live is None:
        return "missing"
    owned = owned_fields(live)
    if owned is None:
        return f"not applied by {MANAGER}"
    secret = desired.get("kind") == "Secret"
    changes = [
        *(change.line(hide=secret) for change in changed(desired, live, ())),
        *(f"{label(path)} no longer set" for path in dropped(owned, desired, ())),
    ]
    more = [f"and {len(changes) - SHOWN} more"] if len(changes) > SHOWN else []
    return ", ".join([*changes[:SHOWN], *more])


def template_differs(desired: Body, live: Body) -> bool:
    """Whether an apply would give a Deployment other pods."""
    path = ("spec", "template")
    wanted, present = desired["spec"]["template"], live["spec"]["template"]
    owned = ((owned_fields(live) or {}).get("f:spec") or {}).get("f:template") or {}
    return any(True for _ in changed(wanted, present, path)) or any(True for _ in dropped(owned, wanted, path))


def owned_fields(live: Body) -> Mapping[str, Any] | None:
    """The fields of our last apply in the API server's own notation (FieldsV1); None if it knows of no such apply."""
    entries = live["metadata"].get("managedFields")
    if entries is None:
        return {}  # a reading without managedFields: only values can be compared
    for entry in entries:
        if entry.get("manager") == MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource"):
            return entry.get("fieldsV1") or {}
    return None


class FieldChange:
    """One field whose live value is not the wanted one."""

    def __init__(self, path: Path, before: object, after: object) -> None:
        self.path, self.before, self.after = path, before, after

    def line(self, *, hide: bool) -> str:
        """``min 3 -> 1`` where that is readable, else just the field's name."""
        if self.before is None:
            return f"{label(self.path)} added"
        values = (self.before, self.after)
        if hide or not all(readable(value) for value in values):
            return f"{label(self.path)} changed"
        return f"{label(self.path)} {self.before} -> {self.after}"


def readable(value: object) -> bool:
    """Whether a value fits into a line."""
    return not isinstance(value, Mapping | list | tuple) and len(str(value)) <= LONGEST_VALUE and "\n" not in str(value)


def changed(desired: Any, live: Any, path: Path) -> Iterator[FieldChange]:
    """Every wanted value that the live object lacks or has otherwise."""
    if isinstance(desired, Mapping) and isinstance(live, Mapping) and schema(path) not in ATOMIC_MAPS:
        for name, value in desired.items():
            yield from changed(value, live.get(name), (*path, name))
    elif schema(path) in LIST_KEYS and isinstance(live, Sequence):
        for element in desired:
            key = {name: element.get(name) for name in LIST_KEYS[schema(path)]}
            yield from changed(element, find(live, key), (*path, f"[{':'.join(map(str, key.values()))}]"))
    elif not equal(desired, live, quantities=bool(QUANTITIES.intersection(path))):
        yield FieldChange(path, live, desired)


def equal(desired: object, live: object, *, quantities: bool) -> bool:
    """Deep equality, where quantities may be spelled in two ways, and what is empty may be left out."""
    if live is None and isinstance(desired, Mapping | list | tuple) and not desired:
        return True  # Go's omitempty: an empty list comes back as none
    if isinstance(desired, Mapping) and isinstance(live, Mapping):
        return desired.keys() == live.keys() and all(
            equal(value, live[name], quantities=quantities or name in QUANTITIES) for name, value in desired.items()
        )
    if isinstance(desired, list | tuple) and isinstance(live, list | tuple):
        return len(desired) == len(live) and all(
            equal(one, other, quantities=quantities) for one, other in zip(desired, live, strict=True)
        )
    return quantity.same(desired, live) if quantities else desired == live


def dropped(owned: Mapping[str, Any], desired: Any, path: Path) -> Iterator[Path]:
    """Every field of our last apply that is wanted no longer; applying without it removes it."""
    for notation, below in owned.items():
        kind, _, rest = notation.partition(":")
        if kind == "f":
            here, present, value = (*path, rest), *member(desired, rest)
        elif kind == "k":
            key = json.loads(rest)
            element = find(desired, key) if isinstance(desired, list | tuple) else None
            here, present, value = (*path, f"[{':'.join(map(str, key.values()))}]"), element is not None, element
        elif kind == "v":
            wanted = desired if isinstance(desired, list | tuple) else ()
            here, present, value = (*path, f"[{json.loads(rest)}]"), json.loads(rest) in wanted, None
        else:
            continue  # "." stands for the map or the element itself
        if not present:
            yield here
        elif below:
            yield from dropped(below, value, here)


def member(desired: Any, name: str) -> tuple[bool, Any]:
    """Whether a map has the name, and what it holds there."""
    present = isinstance(desired, Mapping) and name in desired
    return present, desired[name] if present else None


def find(elements: Sequence[Any], key: Mapping[str, Any]) -> Any:
    """The element of a keyed list; None if there is none."""
    return next((element for element in elements if all(element.get(name) == key[name] for name in key)), None)


def schema(path: Path) -> Path:
    """The path without the keys of list elements, as the tables above have it."""
    return tuple(name for name in path if not name.startswith("["))


def label(path: Path) -> str:
    """The path as a person would say it: without what every path has."""
    shown = list(path)
    while len(shown) > 1 and shown[0] in {"spec", "template", "metadata", "data"}:
        shown.pop(0)
    return ".".join(LABELS.get(name, name) for name in shown).replace(".[", "[")
