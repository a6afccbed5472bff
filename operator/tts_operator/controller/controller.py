"""What runs while this operator leads: workers, the periodic list, and the clock of all schedules."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from tts_operator.clock import Clock
from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import ClusterError
from tts_operator.controller.model_index import Fallbacks, ModelIndex, named_fallback, named_models
from tts_operator.controller.reconcile_model import reconcile_model
from tts_operator.controller.reconcile_tenant import ReconcileFailed, reconcile
from tts_operator.controller.secret_poller import SecretPoller
from tts_operator.controller.store_access import NO_STORES, StoreAccess
from tts_operator.controller.workqueue import Backoff, Closed, WorkQueue
from tts_operator.objects.keys import Key, model_key
from tts_operator.objects.manifest import Body
from tts_operator.objects.names import API_VERSION, MANAGED
from tts_operator.objects.problem import Problem
from tts_operator.observe.reader import tenant_ref
from tts_operator.rollout.limiter import RolloutLimiter
from tts_operator.rollout.policy import where
from tts_operator.scheduled_scaling.precompute import Requeue
from tts_operator.scheduled_scaling.scheduler import Timetable
from tts_operator.settings import Settings
from tts_operator.telemetry.metrics import Metrics

log = structlog.get_logger()

CHILD_DELAY_SECONDS = 0.1
"""Children change in bursts: one look shows them all."""
RELIST_SECONDS = 2.0
"""Between attempts to list everything while the API server does not answer."""


@dataclass(frozen=True)
class ControllerOptions:
    """How much at once, and how often everything."""

    workers: int = 8
    resync_seconds: float = 600.0
    """Between full lists, which repair what a missed event lost."""
    namespaces: tuple[str, ...] = ()
    """Only these; empty: all."""


class Controller:
    """Keys in, converged tenants out. What calls it may be any number of watches."""

    def __init__(
        self,
        cluster: Cluster,
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
        pace: ControllerOptions,
        *,
        stores: StoreAccess = NO_STORES,
    ) -> None:
        self._stores = stores
        self._cluster = cluster
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._options = pace
        self._queue = WorkQueue[Key](Backoff(first_seconds=0.5, longest_seconds=60.0))
        self._timetable = Timetable(cluster, clock, metrics.schedule_lag.observe)
        self._secret_poller = SecretPoller(cluster)
        self._rollout_limiter = RolloutLimiter()
        self._blocked: dict[str, Problem] = {}  # models whose change nobody takes
        self._model_index = ModelIndex()
        self._fallbacks = Fallbacks()
        self._stopping = False
        metrics.queue_depth.set_function(lambda: len(self._queue))
        metrics.waiting.set_function(lambda: self._rollout_limiter.waiting)
        metrics.queue_wait.set_function(self._queue.oldest_wait_seconds)

    def tenant_changed(self, key: Key, models: Iterable[str]) -> None:
        """A tenant was made, changed or removed; these are the models that it names now."""
        self._timetable.changed(key)
        self._queue.add(key)
        for model in self._model_index.saw(key, models):
            self._queue.add(model_key(model))

    def model_changed(self, name: str, fallback: str | None) -> None:
        """A model was made, changed or removed; this is the model that it falls back to now."""
        self._fallbacks.saw(name, fallback)
        concerned = [name, *sorted(self._fallbacks.above(name))]
        for model in concerned:
            self._queue.add(model_key(model))
        for key in sorted({key for model in concerned for key in self._model_index.tenants(model)}):
            self._timetable.changed(key)
            self._queue.add(key)

    def child_changed(self, key: Key) -> None:
        """Something that carries this tenant's label was made, changed or removed."""
        self._queue.add_after(key, CHILD_DELAY_SECONDS)

    def deployment_changed(self, found: Body, *, gone: bool) -> None:
        """A pool's Deployment was made, changed or removed: its rollout may have come to its end."""
        self._rollout_limiter.saw(found, gone=gone)
        self._let_others_go()

    def status_changed(self, key: Key) -> None:
        """Its status alone is not what it was.

        While it fails we wrote that ourselves, and may write it otherwise each time: its backoff would never grow.
        """
        if not self._queue.failing(key):
            self._queue.add_after(key, CHILD_DELAY_SECONDS)

    def stop(self) -> None:
        """Let running reconciles end, begin no more; `work` returns then."""
        self._stopping = True
        self._queue.close()

    async def work(self) -> None:
        """Everything once, then what changes, until `stop`. If a part of it breaks, all of it does."""
        self._timetable = Timetable(self._cluster, self._clock, self._metrics.schedule_lag.observe)
        await self._list_until_it_works()
        parts = [self._repair(), self._timetable.run(self._queue.add), self._secret_poller.run(self._queue.add)]
        if self._stores.users is not None:
            parts.append(self._stores.users.run(self._queue.add, self._has_no_user))
        async with asyncio.TaskGroup() as group:
            aside = [group.create_task(part) for part in parts]
            await asyncio.wait([group.create_task(self._worker()) for _ in range(self._options.workers)])
            for task in aside:
                task.cancel()

    async def _worker(self) -> None:
        with contextlib.suppress(Closed):
            while True:
                key = await self._queue.get()
                try:
                    await self._timetable.rest()
                    await self._process(key)
                finally:
                    self._queue.done(key)

    async def _process(self, key: Key) -> None:
        """One reconcile, whatever comes of it."""
        kind = "tenant" if key.namespace else "model"
        started = self._clock.monotonic()
        result = "error"
        try:
            coming = await self._reconcile(key)
        except ReconcileFailed as error:
            self._timetable.expect(key, error.coming)
            self._queue.retry(key)  # each failed write has been logged
        except ClusterError as error:
            log.warning("reconcile failed", kind=kind, key=str(key), error=str(error))
            self._queue.retry(key)
        except Exception:
            log.exception("reconcile broke", kind=kind, key=str(key))
            self._queue.retry(key)
        else:
            result = "success"
            self._queue.forget(key)
            self._timetable.expect(key, coming)
            self._timetable.reconciled(key)
        self._metrics.reconciles.labels(kind, result).inc()
        self._metrics.duration.labels(kind).observe(self._clock.monotonic() - started)

    async def _reconcile(self, key: Key) -> Requeue | None:
        if key.namespace:
            coming = await reconcile(
                key,
                self._cluster,
                self._settings,
                self._clock,
                stores=self._stores,
                rollout_limiter=self._rollout_limiter,
                secret_poller=self._secret_poller,
            )
            self._let_others_go()
            return coming
        blocked = self._blocked.get(key.name)
        await reconcile_model(key.name, self._cluster, self._model_index.tenants(key.name), self._clock, blocked)
        return None

    async def _has_no_user(self, uid: str, key: Key) -> bool:
        """Whether the tenant of this UID needs no user in the operator's Redis. Raises ClusterError."""
        body = await self._cluster.get(tenant_ref(key))
        return body is None or body["metadata"]["uid"] != uid or bool((body.get("spec") or {}).get("redis"))

    def _let_others_go(self) -> None:
        for key in self._rollout_limiter.next_requeue():
            self._queue.add_after(key, 0)
        before, self._blocked = self._blocked, self._rollout_limiter.blocked()
        for model in before.keys() ^ self._blocked.keys():
            self._queue.add(model_key(model))

    async def _repair(self) -> None:
        while True:
            await asyncio.sleep(self._options.resync_seconds)
            try:
                await self._list(spread_seconds=self._options.resync_seconds / 2)
            except ClusterError as error:
                log.warning("periodic list failed", error=str(error))
            except Exception:  # whatever it is: what missed events lost is mended by the next one
                log.exception("periodic list broke")

    async def _list_until_it_works(self) -> None:
        while not self._stopping:
            try:
                await self._list(spread_seconds=0)
            except ClusterError as error:
                log.warning("cannot list tenants yet", error=str(error))
                await asyncio.sleep(RELIST_SECONDS)
            else:
                return

    async def _list(self, spread_seconds: float) -> None:
        """Have everything that exists looked at, over this many seconds."""
        tenants: dict[Key, frozenset[str]] = {}
        conditions: Counter[tuple[str, str]] = Counter()
        self._model_index.list_begins()
        self._fallbacks.list_begins()
        for namespace in self._options.namespaces or ("",):
            async for body in self._cluster.list(API_VERSION, "TTSTenant", namespace):
                tenants[Key(body["metadata"]["namespace"], body["metadata"]["name"])] = named_models(body)
                conditions.update(_conditions(body))
        await self._list_deployments()
        models = {
            body["metadata"]["name"]: named_fallback(body) async for body in self._cluster.list(API_VERSION, "TTSModel")
        }
        self._model_index.replace(tenants)
        self._fallbacks.replace({name: to for name, to in models.items() if to is not None})
        if self._stores.users is not None:
            self._stores.users.listed(tenants.keys())
        keys = [*tenants, *map(model_key, models)]
        for position, key in enumerate(keys):
            self._queue.add_after(key, spread_seconds * position / len(keys))
        self._metrics.tenants(conditions)
        self._metrics.last_repair.set(self._clock.now().timestamp())
        log.debug("everything listed", tenants=len(tenants), models=len(models))

    async def _list_deployments(self) -> None:
        """Who rolls now: asked before anything is let go, because another replica may have let others go."""
        known = set()
        for namespace in self._options.namespaces or ("",):
            async for body in self._cluster.list("apps/v1", "Deployment", namespace, MANAGED):
                self._rollout_limiter.saw(body)
                known.add(where(body))
        self._rollout_limiter.keep(known)


def _conditions(tenant: Body) -> list[tuple[str, str]]:
    found = (tenant.get("status") or {}).get("conditions") or ()
    return [(condition["type"], condition["status"]) for condition in found]
