"""What the quota's scripts are told, and what they say, in their own words (`quota_scripts`)."""

import hashlib
from collections.abc import Sequence

from tts_server.quota.ledger import LedgerKey
from tts_server.quota.limits import MICROSECONDS, Limits, Window, microseconds
from tts_server.quota.recent_requests import UnsyncedRequest

FIRST_CLIENT = 7
"""Number of the first client's key: five are every script's, one is the tenant's minute."""


def key(tenant: str, name: str) -> str:
    """Of all that is kept for a tenant; in a cluster all of it is on one node."""
    return f"tts:{{{tenant}}}:quota:{name}"


def client_key(tenant: str, client: str) -> str:
    """A digest: who calls is nobody's business who looks into the store."""
    return key(tenant, f"client:{hashlib.sha256(client.encode()).hexdigest()[:32]}")


def book_name(book: LedgerKey) -> str:
    """As the ledger has it."""
    model, precision = book
    return f"{precision} {model}"


def in_order(limits: Limits) -> tuple[int | None, ...]:
    """Limits, as the script that reserves takes them."""
    return (
        limits.requests_per_minute,
        limits.client_requests_per_minute,
        limits.concurrent_requests,
        limits.requests_per_day,
        limits.characters_per_day,
        limits.audio_seconds_per_day,
    )


def window(numbers: list[int]) -> Window:
    """What a script says of one."""
    counted, *times = numbers
    return Window(counted, *(time / MICROSECONDS for time in times))


def let_in_words(tenant: str, some: Sequence[UnsyncedRequest], now: float) -> tuple[list[str], list[str | int]]:
    """Keys and arguments of the script that restores them; `now` by the clock of their moments."""
    clients = sorted({client_key(tenant, one.client) for one in some if one.client})
    numbers = {name: FIRST_CLIENT + index for index, name in enumerate(clients)}
    arguments: list[str | int] = []
    for one in some:
        client = numbers[client_key(tenant, one.client)] if one.client else 0
        arguments += [one.id, microseconds(now - one.moment), int(one.by_tenant), client]
    return [key(tenant, "minute"), *clients], arguments
