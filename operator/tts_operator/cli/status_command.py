"""`kubectl tts status`: every tenant on a line, those with problems first."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from tts_operator.cli.arguments import object_name
from tts_operator.cli.kubectl import Kubectl, add_cluster_flags
from tts_operator.cli.tables import table
from tts_operator.fleet.tenant_view import TenantView
from tts_operator.objects.kinds import TENANT
from tts_operator.objects.names import GROUP

HEADER = ("NAMESPACE", "TENANT", "READY", "WINDOW", "REPLICAS", "BOUNDS", "NEXT", "PRECISION", "COST/H", "REASON")


def add_status_flags(command: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    where = command.add_mutually_exclusive_group()
    where.add_argument("-n", "--namespace", type=object_name, metavar="NAMESPACE", help="Only tenants of a namespace.")
    where.add_argument("-A", "--all-namespaces", action="store_true", help="Tenants of all namespaces.")
    command.add_argument(
        "-o", "--output", choices=("json", "table"), default="table", help="Format of the output. (default: table)"
    )
    add_cluster_flags(command)


def status_text(options: argparse.Namespace) -> str:
    """The tenants as text. Raises KubectlError."""
    everywhere = ("--all-namespaces",) if options.all_namespaces else ()
    found = Kubectl.of(options).run("get", f"{TENANT.plural}.{GROUP}", *everywhere, "--output=json")
    tenants = in_order(TenantView(body) for body in json.loads(found)["items"])
    if options.output == "json":
        return json.dumps([summary(tenant) for tenant in tenants], indent=2) + "\n"
    if not tenants:
        return "There are no tenants here; -A shows those of all namespaces.\n"
    return "".join([*table([HEADER, *map(cells, tenants)]), "\n", totals(tenants)])


def in_order(tenants: Iterator[TenantView]) -> list[TenantView]:
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
