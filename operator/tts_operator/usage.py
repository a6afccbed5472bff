"""Which tenants name which models: a model's change concerns all of them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from tts_operator.manifest import Body
from tts_operator.observed import Key


class Usage:
    """Kept from tenants as they are seen; the periodic list replaces it whole."""

    def __init__(self) -> None:
        self._models: dict[Key, frozenset[str]] = {}
        self._tenants: defaultdict[str, set[Key]] = defaultdict(set)

    def tenants(self, model: str) -> frozenset[Key]:
        """Who names this model."""
        return frozenset(self._tenants.get(model, ()))

    def saw(self, key: Key, models: Iterable[str]) -> frozenset[str]:
        """Remember what a tenant names now; nothing if it is gone. Returns the models that this changes."""
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

    def replace(self, tenants: Mapping[Key, Iterable[str]]) -> None:
        """Forget everything but these."""
        for gone in self._models.keys() - tenants.keys():
            self.saw(gone, ())
        for key, models in tenants.items():
            self.saw(key, models)


def named_models(tenant: Body) -> frozenset[str]:
    """The models in a stored tenant, however odd the rest of it may be."""
    spec = tenant.get("spec") or {}
    return frozenset(
        str(model["name"]) for model in spec.get("models") or () if isinstance(model, Mapping) and "name" in model
    )
