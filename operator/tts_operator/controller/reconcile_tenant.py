"""One reconcile: pure parts between two edges of I/O, read top to bottom."""

import structlog

from tts_operator.clock import Clock
from tts_operator.cluster.client import Cluster
from tts_operator.controller.apply import apply
from tts_operator.controller.report import report
from tts_operator.controller.secret_poller import SecretPoller
from tts_operator.controller.store_access import NO_STORES, StoreAccess
from tts_operator.desired.build import build
from tts_operator.objects.keys import Key
from tts_operator.objects.manifest import Body, Ref
from tts_operator.observe.reader import observe, with_signing_key
from tts_operator.observe.store_credentials import with_stores
from tts_operator.plan.plan import plan
from tts_operator.resolve.resolve import resolve
from tts_operator.rollout.limiter import RolloutLimiter
from tts_operator.scheduled_scaling.precompute import Requeue, next_requeue
from tts_operator.settings import Settings
from tts_operator.status.tenant import status

log = structlog.get_logger()


class ReconcileFailed(Exception):  # noqa: N818 - it says what happened
    """Some writes failed; the tenant's status says which, and the queue tries again later."""

    def __init__(self, message: str, coming: Requeue | None = None) -> None:
        """`coming`: when to look again whatever becomes of them."""
        super().__init__(message)
        self.coming = coming


async def reconcile(
    key: Key,
    cluster: Cluster,
    settings: Settings,
    clock: Clock,
    *,
    stores: StoreAccess = NO_STORES,
    rollout_limiter: RolloutLimiter | None = None,
    secret_poller: SecretPoller | None = None,
) -> Requeue | None:
    """Converge one tenant. Returns when to look again even if nothing happens, None for never.

    `fleet` knows who else is rolling; without it no tenant waits for another. `secret_poller` hears what was read.

    Raises ReconcileFailed after reporting, and ClusterError where there is nothing to report to.
    """
    observed = await with_signing_key(await observe(cluster, key), clock.now())
    rollout_limiter = rollout_limiter or RolloutLimiter()
    rollout_limiter.read(observed)
    if secret_poller is not None:
        secret_poller.saw(observed)
    if observed.deleting:
        stores.departed(observed)
        rollout_limiter.admit(key, {})
        return None  # owner references collect the children
    observed = await with_stores(observed, cluster, settings, stores.files, unmounted=not stores.is_settled(observed))
    resolved = resolve(observed, settings, clock.now())
    desired = build(resolved)  # None while refused: the last good children stay
    changes = desired.changes if desired else {}
    waits = rollout_limiter.admit(key, changes)
    applied: dict[Ref, Body] = {}
    try:
        if waits:
            resolved = resolved.waiting(waits, changes)
            desired = build(resolved)
        actions = plan(desired, observed)
        stores.before_apply(observed)
        outcome, outrun = await apply(cluster, actions, observed, applied)
    finally:
        admitted = changes.keys() - waits.keys()
        rollout_limiter.mark_applied(
            key, admitted, [found for ref, found in applied.items() if ref.kind == "Deployment"]
        )
    if not outcome.failures and not outrun:
        stores.after_apply(observed)
    outcome = await stores.grant(resolved, actions, outcome)
    await report(cluster, observed, status(resolved, observed, outcome), clock.now())
    if outcome.failures:
        failed = "; ".join(f"{ref}: {failure.reason}" for ref, failure in outcome.failures.items())
        raise ReconcileFailed(failed, next_requeue(resolved))
    return Requeue(clock.now()) if outrun else next_requeue(resolved)
