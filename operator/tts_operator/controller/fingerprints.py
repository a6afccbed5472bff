"""Tells changes of an object that a reconcile depends on from others."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


class Fingerprints:
    """Detects changes of an object that a reconcile depends on: an HPA, for one, updates its metrics every 15 s."""

    def __init__(self) -> None:
        self._last: dict[str, bytes] = {}

    def changed(self, body: Mapping[str, Any], *, gone: bool) -> bool:
        """Whether an object changed since the last call in anything that a reconcile reads."""
        uid = body["metadata"]["uid"]
        if gone:
            self._last.pop(uid, None)
            return True
        now = fingerprint(body)
        before, self._last[uid] = self._last.get(uid), now
        return now != before


IGNORED_FIELDS = frozenset({"resourceVersion", "managedFields", "currentMetrics", "lastScaleTime", "lastProbeTime"})
"""Fields, at any depth, that change without consequence for a reconcile."""


def fingerprint(body: Mapping[str, Any]) -> bytes:
    """Digest of an object without IGNORED_FIELDS."""
    text = json.dumps(_without_ignored(dict(body)), sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def without_status(body: Mapping[str, Any], keep: tuple[str, ...] = ()) -> dict[str, Any]:
    """The object without its status, except for the fields in `keep`: what people write."""
    status = body.get("status") or {}
    kept = {name: status[name] for name in keep if name in status}
    return {name: part for name, part in body.items() if name != "status"} | ({"status": kept} if kept else {})


def _without_ignored(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_ignored(part) for name, part in value.items() if name not in IGNORED_FIELDS}
    return [_without_ignored(part) for part in value] if isinstance(value, list | tuple) else value
