"""Limits of the requests that the waker holds or passes on at a time."""

from collections import Counter
from dataclasses import dataclass

from tts_operator.objects.keys import Key


@dataclass(frozen=True)
class Limits:
    """Most requests and bytes of headers and bodies, of one tenant and in sum.

    All tenants of one namespace have half of the sum at most: a team may make as many tenants as it likes.
    """

    tenant_requests: int
    tenant_bytes: int
    total_requests: int
    total_bytes: int

    @property
    def namespace_requests(self) -> int:
        """Most requests of one namespace."""
        return max(1, self.total_requests // 2)

    @property
    def namespace_bytes(self) -> int:
        """Most bytes of one namespace."""
        return self.total_bytes // 2


class Budget:
    """Counts requests and their bytes by tenant. A request whose tenant is not known counts as None's."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._requests: Counter[Key | None] = Counter()
        self._bytes: Counter[Key | None] = Counter()

    @property
    def requests(self) -> int:
        """Requests that are held or passed on now."""
        return self._requests.total()

    def admit(self, key: Key | None) -> bool:
        """Count one more request; False where that is too many."""
        limits = self._limits
        if self._requests[key] >= limits.tenant_requests or self.requests >= limits.total_requests:
            return False
        if _of_namespace(self._requests, key) >= limits.namespace_requests:
            return False
        self._requests[key] += 1
        return True

    def charge(self, key: Key | None, size: int) -> bool:
        """Count more bytes of an admitted request; False where that is too many, and then none are counted."""
        limits = self._limits
        if self._bytes[key] + size > limits.tenant_bytes or self._bytes.total() + size > limits.total_bytes:
            return False
        if _of_namespace(self._bytes, key) + size > limits.namespace_bytes:
            return False
        self._bytes[key] += size
        return True

    def release(self, key: Key | None, size: int) -> None:
        """Give back an admitted request and its bytes."""
        self._requests[key] -= 1
        self._bytes[key] -= size
        if not self._requests[key]:
            del self._requests[key]
            del self._bytes[key]


def _of_namespace(counts: Counter[Key | None], key: Key | None) -> int:
    """The sum of the tenants of one namespace. Only tenants with requests are counted: there are few."""
    namespace = key.namespace if key else None
    return sum(count for each, count in counts.items() if (each.namespace if each else None) == namespace)
