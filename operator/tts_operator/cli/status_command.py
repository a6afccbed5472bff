"""`kubectl tts status`: every tenant on a line, those with problems first."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tts_operator.cli.colours import paint_for
from tts_operator.cli.command import Answer
from tts_operator.cli.common_flags import JSON, TABLE, WIDE, YAML, add_output_flag, add_scope_flags, as_data
from tts_operator.cli.tables import table
from tts_operator.fleet.ages import age
from tts_operator.fleet.kubectl import Kubectl
from tts_operator.fleet.tenant_view import TenantView

HEADER = ("NAMESPACE", "TENANT", "READY", "WINDOW", "REPLICAS", "BOUNDS", "NEXT", "PRECISION", "COST/H", "REASON")
WIDE_HEADER = (*HEADER, "MODEL", "URL", "AGE")


def add_flags(command: argparse.ArgumentParser) -> None:
    add_scope_flags(command)
    add_output_flag(command, (TABLE, WIDE, JSON, YAML))


def run(options: argparse.Namespace) -> Answer:
    """Every tenant on a line."""
    tenants = in_order(map(TenantView, Kubectl.of(options).tenants()))
    if options.output in (JSON, YAML):
        return Answer(as_data(options.output, [summary(tenant) for tenant in tenants]))
    if not tenants:
        return Answer.of("There are no tenants here; -A shows those of all namespaces.\n")
    rows = [HEADER, *map(cells, tenants)]
    if options.output == WIDE:
        now = datetime.now(UTC)
        rows = [WIDE_HEADER, *(wide_cells(tenant, now) for tenant in tenants)]
    return Answer([*table(rows, paint_for()), "\n", totals(tenants)])


def in_order(tenants: Iterable[TenantView]) -> list[TenantView]:
    """Those that are not ready first, then by namespace and name."""
    return sorted(tenants, key=lambda tenant: (tenant.is_ready, tenant.namespace, tenant.name))


def cells(tenant: TenantView) -> tuple[str, ...]:
    """One line of the table."""
    ready, desired = tenant.replicas
    cost = tenant.hourly_cost
    return (
        tenant.namespace,
        tenant.name,
        tenant.ready.status if tenant.ready else "Unknown",
        tenant.window,
        f"{ready}/{desired}",
        tenant.bounds,
        tenant.next_change(),
        tenant.precision,
        "-" if cost is None else f"{cost.normalize():f}",
        tenant.ready.reason if tenant.ready else "Pending",
    )


def wide_cells(tenant: TenantView, now: datetime) -> tuple[str, ...]:
    """One line of the wide table."""
    created = str(tenant.body["metadata"].get("creationTimestamp") or "")
    return (*cells(tenant), tenant.model, tenant.url or "-", age(created, now))


def totals(tenants: Sequence[TenantView]) -> str:
    """One sentence over all tenants."""
    ready = sum(tenant.is_ready for tenant in tenants)
    suspended = sum(tenant.is_suspended for tenant in tenants)
    serving, desired = (sum(tenant.replicas[index] for tenant in tenants) for index in (0, 1))
    costs = [cost for tenant in tenants if (cost := tenant.hourly_cost) is not None]
    parts = [f"{len(tenants)} tenants", f"{ready} ready"]
    parts += [f"{suspended} of them suspended"] if suspended else []
    parts += [f"{serving} of {desired} replicas serve"]
    unpriced = len(tenants) - len(costs)
    without = f", without {unpriced} that have no price" if unpriced else ""
    parts += [f"{sum(costs, Decimal()).normalize():f} an hour{without}"] if costs else []
    return "; ".join(parts) + ".\n"


def summary(tenant: TenantView) -> dict[str, Any]:
    """One tenant for programs."""
    ready, desired = tenant.replicas
    cost = tenant.hourly_cost
    return {
        "namespace": tenant.namespace,
        "name": tenant.name,
        "ready": tenant.is_ready,
        "reason": tenant.ready.reason if tenant.ready else "Pending",
        "message": tenant.ready.message if tenant.ready else "",
        "suspended": tenant.is_suspended,
        "window": tenant.status.get("activeWindow") or None,
        "nextTransition": tenant.status.get("nextTransition"),
        "readyReplicas": ready,
        "desiredReplicas": desired,
        "precision": tenant.status.get("precision"),
        "hourlyCost": None if cost is None else f"{cost:f}",
    }
