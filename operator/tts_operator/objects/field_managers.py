"""Field managers: which program set a field, as managedFields of a live object records it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tts_operator.objects.manifest import Body
from tts_operator.objects.names import MANAGER, SCALE_MANAGER

OWN_MANAGERS = frozenset({MANAGER, SCALE_MANAGER})


def field_managers(live: Body, path: tuple[str, ...]) -> list[str]:
    """Other programs that set the field of this path, written as `diff` writes paths."""
    return sorted({manager for manager, owned in entries(live) if owns(owned, path)})


def is_only_applied_by_operator(live: Body, path: tuple[str, ...]) -> bool:
    """Whether the operator's last apply set the field, and nobody else did: its next apply sets or removes it.

    This is how server-side apply treats what a manager no longer names, whoever used the manager's name before.
    """
    applied = any(
        entry.get("manager") == MANAGER
        and entry.get("operation") == "Apply"
        and owns(entry.get("fieldsV1") or {}, path)
        for entry in live["metadata"].get("managedFields") or ()
    )
    return applied and not field_managers(live, path)


def managers_text(managers: list[str]) -> str:
    """Subject of a sentence about some field managers."""
    if not managers:
        return "a program that managedFields does not name"
    return f"field manager{'s' * (len(managers) > 1)} {' and '.join(managers)}"


def finalizers_text(live: Body, names: list[str]) -> str:
    """Finalizers of an object, each with the field manager that set it, if known."""

    def named(name: str) -> str:
        managers = field_managers(live, ("metadata", "finalizers", f"[{name}]"))
        return f"{name} (set by {managers_text(managers)})" if managers else name

    return ", ".join(map(named, names))


def entries(live: Body) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every entry of managedFields that is another program's: its manager and fields."""
    for entry in live["metadata"].get("managedFields") or ():
        manager = str(entry.get("manager") or "unknown")
        if manager not in OWN_MANAGERS:
            yield manager, entry.get("fieldsV1") or {}


def owns(owned: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    """Whether a set of fields contains the path, or one above it that is owned as a whole."""
    for name in path:
        below = next((value for notation, value in owned.items() if component(notation) == name), None)
        if below is None:
            return False
        if not below:
            return True
        owned = below
    return True


def component(notation: str) -> str:
    """Part of a path that a key of FieldsV1 stands for."""
    kind, _, rest = notation.partition(":")
    if kind == "k":
        return f"[{':'.join(map(str, json.loads(rest).values()))}]"
    if kind == "v":
        return f"[{json.loads(rest)}]"
    return rest
