"""Which tenants name which models, and which models fall back to which: a model's change concerns all of them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from tts_operator.api.model import LONGEST_CHAIN
from tts_operator.objects.keys import Key
from tts_operator.objects.manifest import Body


class ModelIndex:
    """Kept from tenants as they are seen; the periodic list replaces it whole."""

    def __init__(self) -> None:
        self._models: dict[Key, frozenset[str]] = {}
        self._tenants: defaultdict[str, set[Key]] = defaultdict(set)
        self._seen: set[Key] = set()  # since the last list began

    def tenants(self, model: str) -> frozenset[Key]:
        """Who names this model."""
        return frozenset(self._tenants.get(model, ()))

    def saw(self, key: Key, models: Iterable[str]) -> frozenset[str]:
        """Remember what a tenant names now; nothing if it is gone. Returns the models that this changes."""
        self._seen.add(key)
        return self._keep(key, models)

    def list_begins(self) -> None:
        """What is seen from now on is newer than what that list will say."""
        self._seen.clear()

    def replace(self, tenants: Mapping[Key, Iterable[str]]) -> None:
        """Forget everything but these, as the list has them, and what was seen since it began."""
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
    """The links between models, as they are seen; the periodic list replaces them whole."""

    def __init__(self) -> None:
        self._links: dict[str, str] = {}
        self._seen: set[str] = set()  # since the last list began

    def saw(self, model: str, fallback: str | None) -> None:
        """Remember whom a model names now; None if nobody, or if it is gone."""
        self._seen.add(model)
        if fallback is None:
            self._links.pop(model, None)
        else:
            self._links[model] = fallback

    def list_begins(self) -> None:
        """What is seen from now on is newer than what that list will say."""
        self._seen.clear()

    def replace(self, links: Mapping[str, str]) -> None:
        """Forget everything but these, as the list has them, and what was seen since it began."""
        newer = {model: to for model, to in self._links.items() if model in self._seen}
        self._links = {model: to for model, to in links.items() if model not in self._seen} | newer

    def above(self, model: str) -> frozenset[str]:
        """Models whose chains lead to this one, in as many steps as chains can have."""
        found: set[str] = set()
        for _ in range(LONGEST_CHAIN):
            found |= {by for by, to in self._links.items() if to == model or to in found}
        return frozenset(found - {model})


def named_fallback(model: Body) -> str | None:
    """The fallback in a stored model, however odd the rest of it may be."""
    here: object = model
    for name in ("spec", "fallback", "modelRef", "name"):
        here = here.get(name) if isinstance(here, Mapping) else None
    return here if isinstance(here, str) else None


def named_models(tenant: Body) -> frozenset[str]:
    """The models in a stored tenant, however odd the rest of it may be."""
    spec = tenant.get("spec") or {}
    return frozenset(
        str(model["name"]) for model in spec.get("models") or () if isinstance(model, Mapping) and "name" in model
    )
