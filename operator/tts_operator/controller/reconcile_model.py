"""One reconcile of a TTSModel: it has a status and no children."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from tts_operator.api import TTSModel
from tts_operator.clock import Clock
from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import NotFound
from tts_operator.controller.pod_starts import PodStarts
from tts_operator.desired.change_cause import canary_of, model_digest
from tts_operator.informer.reader import Reader
from tts_operator.objects.keys import Key
from tts_operator.objects.names import model_status_manager
from tts_operator.objects.problem import Problem
from tts_operator.observe.models import model_ref, read_models
from tts_operator.rollout.canary import Canary, CanaryState
from tts_operator.status.model import Report, Usage, in_order, judge_fallback, model_status, own_part


@dataclass(frozen=True)
class ModelUse:
    """Use of a model by one release of the operator, and the rollout of its last change, as the controller knows it."""

    release: str
    tenants: frozenset[Key]
    """Tenants of the release that use the model."""
    outdated: Callable[[str], frozenset[Key]]
    """Tenants, of any release, with a pool that does not run the model of this digest."""
    blocked: Problem | None = None
    """Why no further tenant starts the change."""
    failing: str = ""
    """The tenants that the change fails for, as a clause."""
    start_failures: Mapping[Key, Problem] = field(default_factory=dict)
    """Why pods of the model do not start, by tenant."""
    pod_starts: PodStarts | None = None
    """Starts of pods that the status does not have yet; None: they are not counted."""
    unread: bool = False
    """Some of the tenants have not been read since the start: others may have failures."""
    canary_state: Callable[[Canary], CanaryState] | None = None
    """State of a change that some tenants take first."""

    def usage(self, model: TTSModel | None) -> Usage:
        """Numbers for the report, of the model as it was read.

        A tenant without a pool is not behind: it was born suspended, or its spec or its use of the model is refused.
        """
        updated = len(self.tenants - self.outdated(model_digest(model))) if model is not None else None
        failures = tuple(self.start_failures.values())
        usage = Usage(len(self.tenants), updated, self.blocked, self.failing, failures, unread=self.unread)
        canary = canary_of(model, model_digest(model)) if model is not None else None
        if canary is None or self.canary_state is None or updated == len(self.tenants):
            return usage
        return replace(usage, canary=self.canary_state(canary))


async def reconcile_model(name: str, cluster: Cluster, objects: Reader, use: ModelUse, clock: Clock) -> None:
    """Report whether the model can be used, how many tenants use it, and how the rollout of its last change goes.

    Raises ClusterError.
    """
    body = await objects.get(model_ref(name))
    if body is None or "deletionTimestamp" in body["metadata"]:
        return
    reading = await read_models(objects, {name})
    model = reading.models[name]
    starts = use.pod_starts.pending(name) if use.pod_starts else ()
    report = Report(
        use.release,
        use.usage(model),
        model,
        reading.errors.get(name),
        fallback=judge_fallback(name, reading.models, reading.errors),
        starts=starts,
    )
    after = model_status(body, report, clock.now())
    if after == in_order(body.get("status")):
        return
    part, manager = own_part(after, use.release), model_status_manager(use.release)
    try:
        await cluster.apply_status(model_ref(name), str(body["metadata"]["uid"]), part, manager)
    except NotFound:
        return  # it was deleted; a new model of its name has events of its own
    if use.pod_starts is not None:
        use.pod_starts.reported(name, starts)
