"""Indexes tenants by model, and models by fallback: a model's change enqueues all of them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from tts_operator.api.model import LONGEST_CHAIN
from tts_operator.objects.keys import Key
from tts_operator.objects.manifest import Body
from tts_operator.snapshot.accepted import accepted_models


class ModelIndex:
    """Tenants by the models that they reference. Watch events update it; the periodic list replaces it."""

    def __init__(self) -> None:
        self._models: dict[Key, frozenset[str]] = {}
        self._tenants: defaultdict[str, set[Key]] = defaultdict(set)
        self._seen: set[Key] = set()  # since the last list began

    def tenants(self, model: str) -> frozenset[Key]:
        """Tenants that reference the model."""
        return frozenset(self._tenants.get(model, ()))

    def models(self, key: Key) -> frozenset[str]:
        """Models that the tenant references."""
        return self._models.get(key, frozenset())

    def within(self, namespace: str) -> list[Key]:
        """Tenants of a namespace."""
        return sorted(key for key in self._models if key.namespace == namespace)

    def record(self, key: Key, models: Iterable[str]) -> frozenset[str]:
        """Record the models that a tenant references; none if it is gone. Returns the models whose tenants changed."""
        self._seen.add(key)
        return self._keep(key, models)

    def list_started(self) -> None:
        """Call before a list starts: what `record` records from now on is newer than the list."""
        self._seen.clear()

    def replace(self, tenants: Mapping[Key, Iterable[str]]) -> None:
        """Replace everything by a list, except what was recorded since it started."""
        for gone in self._models.keys() - tenants.keys() - self._seen:
            self._keep(gone, ())
        for key, models in tenants.items():
            if key not in self._seen:
                self._keep(key, models)

    def _keep(self, key: Key, models: Iterable[str]) -> frozenset[str]:
        before, after = self._models.get(key, frozenset()), frozenset(models)
        for model in before - after:
            self._tenants[model].discard(key)
            if not self._tenants[model]:
                del self._tenants[model]
        for model in after - before:
            self._tenants[model].add(key)
        if after:
            self._models[key] = after
        else:
            self._models.pop(key, None)
        return before ^ after


class Fallbacks:
    """Fallbacks between models. Watch events update them; the periodic list replaces them."""

    def __init__(self) -> None:
        self._links: dict[str, str] = {}
        self._seen: set[str] = set()  # since the last list began

    def record(self, model: str, fallback: str | None) -> None:
        """Record a model's fallback; None if it has none, or is gone."""
        self._seen.add(model)
        if fallback is None:
            self._links.pop(model, None)
        else:
            self._links[model] = fallback

    def list_started(self) -> None:
        """Call before a list starts: what `record` records from now on is newer than the list."""
        self._seen.clear()

    def replace(self, links: Mapping[str, str]) -> None:
        """Replace everything by a list, except what was recorded since it started."""
        newer = {model: to for model, to in self._links.items() if model in self._seen}
        self._links = {model: to for model, to in links.items() if model not in self._seen} | newer

    def dependents(self, model: str) -> frozenset[str]:
        """Models whose fallback chains lead to this one."""
        dependents: set[str] = set()
        for _ in range(LONGEST_CHAIN):
            dependents |= {by for by, to in self._links.items() if to == model or to in dependents}
        return frozenset(dependents - {model})


def named_fallback(model: Body) -> str | None:
    """Fallback of a stored model, which need not be valid."""
    value: object = model
    for name in ("spec", "fallback", "modelRef", "name"):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else None


def named_models(tenant: Body) -> frozenset[str]:
    """Models that a stored tenant references, by its spec or the last accepted one. It need not be valid."""
    spec = tenant.get("spec") or {}
    models = spec.get("models") or ()
    named = (str(each["name"]) for each in models if isinstance(each, Mapping) and "name" in each)
    return accepted_models(tenant).union(named)
