"""`kubectl tts top`: requests, P95, refusals, quota and cost of every tenant, from the metrics of its pods."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tts_operator.cli.arguments import number
from tts_operator.cli.colours import paint_for
from tts_operator.cli.command import Answer
from tts_operator.cli.common_flags import JSON, TABLE, WIDE, YAML, add_output_flag, add_scope_flags, as_data
from tts_operator.cli.tables import Paint, table
from tts_operator.fleet.api_proxy import APIProxy, api_proxy
from tts_operator.fleet.kubectl import Kubectl, KubectlError
from tts_operator.fleet.pod_metrics import Activity, Reading, activities, read, running_pods
from tts_operator.fleet.tenant_view import TenantView
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import TENANT
from tts_operator.objects.labels import MANAGED

HEADER = ("NAMESPACE", "TENANT", "READY", "REQUESTS/S", "P95", "429/S", "QUOTA LEFT", "COST/H")
WIDE_HEADER = (*HEADER, "IN FLIGHT", "QUEUED", "REPLICAS", "WINDOW")
MAY_NOT_LIST = "Metrics are missing: you may not list pods here."
CLEAR = "\x1b[H\x1b[2J"


@dataclass(frozen=True)
class Scope:
    """Namespaces whose tenants are shown; empty: all."""

    namespace: str

    def path(self, prefix: str, plural: str, **query: str) -> str:
        """Path of a list."""
        inside = f"namespaces/{self.namespace}/" if self.namespace else ""
        return f"{prefix}/{inside}{plural}{'?' if query else ''}{urlencode(query)}"


@dataclass(frozen=True)
class Seen:
    """Tenants and what their pods did."""

    tenants: Sequence[TenantView]
    active: Mapping[Key, Activity]
    failures: Mapping[str, int]


def add_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument("--once", action="store_true", help="Print one table and exit.")
    command.add_argument(
        "--interval",
        type=number(0.5, 3600),
        default=5.0,
        metavar="SECONDS",
        help="Time between two readings, over which rates and the P95 are taken. (default: 5)",
    )
    add_scope_flags(command)
    add_output_flag(command, (TABLE, WIDE, JSON, YAML))


def run(options: argparse.Namespace) -> Answer:
    """One table after another; one alone with --once, and in a format for programs."""
    kubectl = Kubectl.of(options)
    scope = Scope("" if options.all_namespaces else kubectl.namespace())
    return Answer(_tables(kubectl, scope, options, time.sleep))


def _tables(
    kubectl: Kubectl, scope: Scope, options: argparse.Namespace, sleep: Callable[[float], None]
) -> Iterator[str]:
    paint = paint_for()
    with api_proxy(kubectl) as proxy:
        before = _reading(proxy, scope)
        while True:
            sys.stdout.flush()
            sleep(options.interval)
            after = _reading(proxy, scope)
            found = Seen(_tenants(proxy, scope), activities(before, after), after.failures)
            if options.output in (JSON, YAML):
                sys.stderr.write("".join(missing(found.failures)))
                yield from as_data(options.output, [summary(tenant, found) for tenant in in_order(found)])
            else:
                live = sys.stdout.isatty() and not options.once
                yield (CLEAR if live else "") + "".join(page(found, paint, wide=options.output == WIDE))
            if options.once or options.output in (JSON, YAML):
                return
            before = after


def _tenants(proxy: APIProxy, scope: Scope) -> list[TenantView]:
    path = scope.path(f"/apis/{TENANT.api_version}", TENANT.plural)
    return [TenantView(body) for body in proxy.read(path)["items"]]


def _reading(proxy: APIProxy, scope: Scope) -> Reading:
    """Read the pods; none where they may not be listed."""
    at = time.monotonic()
    try:
        pods = proxy.read(scope.path("/api/v1", "pods", labelSelector=MANAGED))["items"]
    except KubectlError as error:
        if "forbidden" not in str(error).lower():
            raise
        return Reading(at, {}, {MAY_NOT_LIST: 1})
    return read(proxy, running_pods(pods), at)


def in_order(found: Seen) -> list[TenantView]:
    """The busiest first, then by namespace and name."""

    def turn(tenant: TenantView) -> tuple[float, str, str]:
        active = found.active.get(Key(tenant.namespace, tenant.name))
        return -(active.requests_per_second if active else 0.0), tenant.namespace, tenant.name

    return sorted(found.tenants, key=turn)


def page(found: Seen, paint: Paint | None, *, wide: bool) -> Iterator[str]:
    """The table, and why it lacks something."""
    if not found.tenants:
        yield "There are no tenants here; -A shows those of all namespaces.\n"
        return
    header = WIDE_HEADER if wide else HEADER
    yield from table([header, *(cells(tenant, found)[: len(header)] for tenant in in_order(found))], paint)
    yield from missing(found.failures)


def missing(failures: Mapping[str, int]) -> Iterator[str]:
    """Sentences about metrics that could not be read."""
    for reason, count in sorted(failures.items()):
        pods = "1 pod is" if count == 1 else f"{count} pods are"
        yield f"{MAY_NOT_LIST}\n" if reason == MAY_NOT_LIST else f"Metrics of {pods} missing: {reason}.\n"


def cells(tenant: TenantView, found: Seen) -> tuple[str, ...]:
    """One line of the wide table."""
    active = found.active.get(Key(tenant.namespace, tenant.name))
    ready, desired = tenant.replicas
    cost = tenant.hourly_cost
    return (
        tenant.namespace,
        tenant.name,
        tenant.ready.status if tenant.ready else "Unknown",
        f"{active.requests_per_second:.1f}" if active else "-",
        f"{active.p95_seconds:.2f} s" if active and active.p95_seconds is not None else "-",
        f"{active.refusals_per_second:.1f}" if active else "-",
        f"{active.quota[1]:.0%} of {active.quota[0]}" if active and active.quota else "-",
        "-" if cost is None else f"{cost.normalize():f}",
        str(active.in_flight) if active else "-",
        str(active.queued) if active else "-",
        f"{ready}/{desired}",
        tenant.window,
    )


def summary(tenant: TenantView, found: Seen) -> dict[str, Any]:
    """One tenant for programs."""
    active = found.active.get(Key(tenant.namespace, tenant.name))
    cost = tenant.hourly_cost
    quota = active.quota if active else None
    p95 = active.p95_seconds if active else None
    return {
        "namespace": tenant.namespace,
        "name": tenant.name,
        "ready": tenant.is_ready,
        "requestsPerSecond": round(active.requests_per_second, 3) if active else None,
        "p95Seconds": None if p95 is None else round(p95, 3),
        "refusalsPerSecond": round(active.refusals_per_second, 3) if active else None,
        "inFlight": active.in_flight if active else None,
        "queued": active.queued if active else None,
        "quotaLeft": {"limit": quota[0], "fraction": round(quota[1], 3)} if quota else None,
        "hourlyCost": None if cost is None else f"{cost:f}",
    }
