"""Add-ons that the operator may use, and those of which the API server has the kinds."""

from collections.abc import Iterable

from tts_operator.objects.kinds import KINDS, AddOn, Kind


class AddOns:
    """Kinds of add-ons that exist now: only these are watched, read and written. Used by one event loop.

    An add-on is used where the platform team enables it, which also grants the permissions, and while its CRDs are
    there: one that is removed must not stop the reconciles of tenants that never used it.
    """

    def __init__(self, enabled: Iterable[AddOn] = (), installed: Iterable[AddOn] = ()) -> None:
        """`installed`: add-ons that are known to be there from the start."""
        self.enabled = frozenset(enabled)
        self._kinds = {kind for kind in KINDS if kind.add_on is not None and kind.add_on in frozenset(installed)}

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kinds of the enabled add-ons, whether or not the API server has them."""
        return tuple(kind for kind in KINDS if kind.add_on is not None and kind.add_on in self.enabled)

    @property
    def present(self) -> tuple[Kind, ...]:
        """Kinds of add-ons that the API server has."""
        return tuple(kind for kind in KINDS if kind in self._kinds)

    @property
    def installed(self) -> frozenset[AddOn]:
        """Enabled add-ons of which the API server has every kind."""
        missing = {kind.add_on for kind in self.kinds if kind not in self._kinds}
        return self.enabled - missing

    def has(self, kind: Kind) -> bool:
        """Whether the kind may be listed, watched and written."""
        return kind.add_on is None or kind in self._kinds

    def found(self, kind: Kind, *, exists: bool) -> bool:
        """Record whether the API server has the kind. Returns whether that is news."""
        if exists == (kind in self._kinds):
            return False
        (self._kinds.add if exists else self._kinds.discard)(kind)
        return True
