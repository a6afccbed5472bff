"""Compares a desired with a live object, to tell whether it must be applied.

The API server returns more than was applied: defaults, other managers' fields, quantities in another notation. So only
fields of the operator are compared: every desired field, and every field that it applied before and no longer sets.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
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
    (*POD, "resourceClaims"): ("name",),
    (*POD, "topologySpreadConstraints"): ("topologyKey", "whenUnsatisfiable"),
    **{
        (*POD, containers, *rest): keys
        for containers in ("containers", "initContainers")
        for rest, keys in (
            ((), ("name",)),
            (("env",), ("name",)),
            (("ports",), ("containerPort", "protocol")),
            (("volumeMounts",), ("mountPath",)),
            (("resources", "claims"), ("name",)),
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
"""Maps that the API replaces whole (``x-kubernetes-map-type: atomic``): an additional key is a difference."""

OMITTED_FALSE: frozenset[Path] = frozenset({("spec", "paused")})
"""Fields that the API server does not return while they are false (``omitempty`` of a Go bool)."""

QUANTITIES = frozenset({"requests", "limits", "sizeLimit", "averageValue"})
"""Fields that hold quantities, themselves or in their children."""

ABBREVIATIONS = {"minReplicas": "min", "maxReplicas": "max"}
MAX_CHANGES_SHOWN = 4
MAX_VALUE_LENGTH = 60


def difference(desired: Body, live: Body | None) -> str:
    """Why the object must be applied, in one line for logs; empty if it need not be."""
    if live is None:
        return "missing"
    owned = owned_fields(live)
    if owned is None:
        return f"not applied by {MANAGER}"
    secret = desired.get("kind") == "Secret"
    changes = [
        *(change.line(hide=secret) for change in changed(desired, live, ())),
        *(f"{path_name(path)} no longer set" for path in dropped(owned, desired, ())),
    ]
    more = [f"and {len(changes) - MAX_CHANGES_SHOWN} more"] if len(changes) > MAX_CHANGES_SHOWN else []
    return ", ".join([*changes[:MAX_CHANGES_SHOWN], *more])


def template_differs(desired: Body, live: Body) -> bool:
    """Whether an apply would change a Deployment's pod template, and so replace its pods."""
    path = ("spec", "template")
    after, before = desired["spec"]["template"], live["spec"]["template"]
    owned = ((owned_fields(live) or {}).get("f:spec") or {}).get("f:template") or {}
    return any(True for _ in changed(after, before, path)) or any(True for _ in dropped(owned, after, path))


def owned_fields(live: Body) -> Mapping[str, Any] | None:
    """Fields of the operator's last apply in FieldsV1 notation; None if it has not applied the object."""
    entries = live["metadata"].get("managedFields")
    if entries is None:
        return {}  # read without managedFields: only values can be compared
    for entry in entries:
        if entry.get("manager") == MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource"):
            return entry.get("fieldsV1") or {}
    return None


class FieldChange:
    """One field whose live value is not the desired one."""

    def __init__(self, path: Path, before: object, after: object) -> None:
        self.path, self.before, self.after = path, before, after

    def line(self, *, hide: bool) -> str:
        """``min 3 -> 1`` where both values are short, else only the field's name."""
        if self.before is None:
            return f"{path_name(self.path)} added"
        values = (self.before, self.after)
        if hide or not all(readable(value) for value in values):
            return f"{path_name(self.path)} changed"
        return f"{path_name(self.path)} {self.before} -> {self.after}"


def readable(value: object) -> bool:
    """Whether a value fits in a log line."""
    return (
        not isinstance(value, Mapping | list | tuple) and len(str(value)) <= MAX_VALUE_LENGTH and "\n" not in str(value)
    )


def changed(desired: Any, live: Any, path: Path) -> Iterator[FieldChange]:
    """Every desired value that the live object lacks or has differently."""
    yield from _changed(desired, live, path, schema(path))


def _changed(desired: Any, live: Any, path: Path, place: Path) -> Iterator[FieldChange]:
    """`place`: the schema of the path, which each step extends rather than computes again."""
    if desired == live:  # most parts of most objects: nothing below needs a look
        return
    if isinstance(desired, Mapping) and isinstance(live, Mapping) and place not in ATOMIC_MAPS:
        for name, value in desired.items():
            if name not in live or value != live[name]:
                yield from _changed(value, live.get(name), (*path, name), (*place, name))
    elif place in LIST_KEYS and isinstance(live, Sequence):
        for element in desired:
            key = {name: element.get(name) for name in LIST_KEYS[place]}
            yield from _changed(element, element_of(live, key), (*path, element_name(key)), place)
    elif live is None and desired is False and path in OMITTED_FALSE:
        return
    elif not equal(desired, live, quantities=bool(QUANTITIES.intersection(path))):
        yield FieldChange(path, live, desired)


def equal(desired: object, live: object, *, quantities: bool) -> bool:
    """Deep equality, where quantities may differ in notation and empty values may be omitted."""
    if live is None and isinstance(desired, Mapping | list | tuple) and not desired:
        return True  # Go's omitempty: empty values are not returned
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
    """Every field of the operator's last apply that is no longer desired: an apply without it removes it."""
    for notation, below in owned.items():
        kind, rest = notation[:2], notation[2:]
        value: Any = None
        if kind == "f:":
            step, present = rest, isinstance(desired, Mapping) and rest in desired
            value = desired[rest] if present else None
        elif kind == "k:":
            key = parsed_key(rest)
            value = element_of(desired, key) if isinstance(desired, list | tuple) else None
            step, present = element_name(key), value is not None
        elif kind == "v:":
            element = json.loads(rest)
            step, present = f"[{element}]", element in (desired if isinstance(desired, list | tuple) else ())
        else:
            continue  # "." stands for the map or the element itself
        if not present:
            yield (*path, step)
        elif below:
            yield from dropped(below, value, (*path, step))


@lru_cache(maxsize=1024)
def parsed_key(text: str) -> Mapping[str, Any]:
    """Key of a list's element in FieldsV1 notation. Those of all tenants' children are alike."""
    key: dict[str, Any] = json.loads(text)
    return key


def element_name(key: Mapping[str, Any]) -> str:
    """Step of a path to the element of a keyed list."""
    return f"[{':'.join(map(str, key.values()))}]"


def element_of(elements: Sequence[Any], key: Mapping[str, Any]) -> Any:
    """Element of a keyed list; None if there is none."""
    for element in elements:
        for name, value in key.items():
            if element.get(name) != value:
                break
        else:
            return element
    return None


def schema(path: Path) -> Path:
    """Path without the keys of list elements, as in the tables above."""
    return tuple(name for name in path if not name.startswith("["))


def field_name(path: Path) -> str:
    """Whole name of a path, for messages."""
    return ".".join(path).replace(".[", "[")


def path_name(path: Path) -> str:
    """Short name of a path for logs: without the fields that most paths have in common."""
    shown = list(path)
    while len(shown) > 1 and shown[0] in {"spec", "template", "metadata", "data"}:
        shown.pop(0)
    return ".".join(ABBREVIATIONS.get(name, name) for name in shown).replace(".[", "[")
