"""Host names of tenants: each belongs to one tenant, the first that asked for it, as long as it asks."""

from dataclasses import replace
from datetime import timedelta

from tts_operator.objects.keys import Key
from tts_operator.objects.problem import Problem
from tts_operator.resolve.exposure import Exposure, allowed_hostname
from tts_operator.resolve.resolved import Resolved

RETRY_AFTER = timedelta(seconds=60)
"""Time after which a tenant asks again for a host name that another one holds."""


class HostnameTable:
    """Host names by tenant, of one term of leadership. The record of one is `status.hostname` of its tenant.

    Only the operator writes that field. Used by one event loop.
    """

    def __init__(self) -> None:
        self._holders: dict[str, Key] = {}
        self._held: dict[Key, tuple[str, str]] = {}
        self._restoring = True

    def clear(self) -> None:
        """Forget every claim: another leader may have changed them. `restore` must follow before any `admit`."""
        self._holders.clear()
        self._held.clear()
        self._restoring = True

    def restore(self, key: Key, uid: str, hostname: str) -> None:
        """Take over a recorded claim. Once claims are given away, this term knows better than a record."""
        if self._restoring and key not in self._held and hostname not in self._holders:
            self._holders[hostname] = key
            self._held[key] = (uid, hostname)

    def admit(self, resolved: Resolved) -> Resolved:
        """Claim the host name of the tenant's route. If another tenant holds it, the route of an earlier one stays."""
        self._restoring = False
        if not resolved.followed:
            return resolved  # its route stays, and so does its claim
        exposure = resolved.exposure
        if exposure is None or not exposure.hostname:
            self.release(resolved.key)
            return resolved
        if self._claim(resolved.key, resolved.uid, exposure.hostname):
            return resolved
        kept = self._held.get(resolved.key, ("", ""))[1]
        if kept and isinstance(allowed_hostname(kept, resolved.key, resolved.settings.exposure), Problem):
            self.release(resolved.key)  # the platform no longer allows it
            kept = ""
        at = resolved.now + RETRY_AFTER
        earlier = resolved.requeue_at is not None and resolved.requeue_at < at
        return replace(
            resolved,
            exposure=taken(exposure, kept),
            requeue_at=resolved.requeue_at if earlier else at,
        )

    def release(self, key: Key) -> None:
        """Free the host name of a tenant that is gone, or has no route any more."""
        _, hostname = self._held.pop(key, ("", ""))
        if hostname:
            del self._holders[hostname]

    def _claim(self, key: Key, uid: str, hostname: str) -> bool:
        if self._held.get(key) == (uid, hostname):
            return True
        if self._held.get(key, (uid, ""))[0] != uid:
            self.release(key)  # a tenant of the same name was deleted
        if hostname in self._holders and self._holders[hostname] != key:
            return False
        self.release(key)
        self._holders[hostname] = key
        self._held[key] = (uid, hostname)
        return True


def taken(wanted: Exposure, kept: str) -> Exposure:
    """The exposure of a tenant whose host name another one holds. The message does not name that one's objects."""
    effect = f"; {kept} stays until then" if kept else ""
    problem = Problem(
        "HostnameTaken",
        f"spec.exposure.hostname: another tenant has {wanted.hostname}, which was the first to ask for it: choose"
        f" another name, or ask the platform team{effect}",
    )
    if not kept:
        return Exposure(problem=problem)
    return replace(wanted, hostname=kept, url=wanted.url.removesuffix(wanted.hostname) + kept, problem=problem)
