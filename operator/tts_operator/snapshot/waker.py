"""The waker of the operator's chart, as a reconcile sees it."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from tts_operator.objects.manifest import Body


@dataclass(frozen=True)
class Waker:
    """The waker's part in one tenant."""

    port: int
    """Port of the waker that belongs to the tenant."""
    addresses: tuple[str, ...] = ()
    """Addresses of the waker's ready pods, sorted."""

    def of_family(self, family: str) -> tuple[str, ...]:
        """The addresses of one family, IPv4 or IPv6."""
        return tuple(each for each in self.addresses if f"IPv{ip_address(each).version}" == family)


def ready_addresses(slices: Iterable[Body]) -> tuple[str, ...]:
    """Addresses of the ready endpoints of EndpointSlices, sorted."""
    return tuple(
        sorted(
            {
                str(address)
                for each in slices
                for endpoint in each.get("endpoints") or ()
                if (endpoint.get("conditions") or {}).get("ready", True)
                for address in endpoint.get("addresses") or ()
            }
        )
    )
