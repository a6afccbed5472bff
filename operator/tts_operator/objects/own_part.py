"""Reads from a live object what an apply of the operator made of it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tts_operator.objects.diff import ATOMIC_MAPS, LIST_KEYS, Path, element_of, schema


def own_part(live: Any, owned: Mapping[str, Any] | None, desired: Any, path: Path) -> Any:
    """The live values of what the operator has applied, `owned` in FieldsV1 notation, and of what it will apply.

    A field that it will apply belongs to it also where another program has taken it over since.
    """
    whole = schema(path) in ATOMIC_MAPS or owned == {} or not (owned or isinstance(desired, Mapping))
    if isinstance(live, Mapping) and not whole:
        later = desired if isinstance(desired, Mapping) else {}
        return {
            name: own_part(value, (owned or {}).get(f"f:{name}"), later.get(name), (*path, name))
            for name, value in live.items()
            if f"f:{name}" in (owned or {}) or name in later
        }
    if isinstance(live, list | tuple) and schema(path) in LIST_KEYS:
        return list(_own_elements(live, owned or {}, desired if isinstance(desired, list | tuple) else (), path))
    return live


def _own_elements(
    live: Sequence[Any], owned: Mapping[str, Any], desired: Sequence[Any], path: Path
) -> Iterator[Mapping[str, Any]]:
    applied = [(json.loads(name[2:]), below) for name, below in owned.items() if name.startswith("k:")]
    for element in live:
        key = {name: element.get(name) for name in LIST_KEYS[schema(path)]}
        below = next((below for each, below in applied if element_of([element], each)), None)
        later = element_of(desired, key)
        if below is not None or later is not None:
            yield own_part(element, below, later, (*path, f"[{':'.join(map(str, key.values()))}]"))
