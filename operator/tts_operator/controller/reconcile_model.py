"""One reconcile of a TTSModel: it has a status and no children."""

from collections.abc import Collection
from dataclasses import dataclass

from tts_operator.clock import Clock
from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import NotFound
from tts_operator.objects.keys import Key
from tts_operator.objects.names import model_status_manager
from tts_operator.objects.problem import Problem
from tts_operator.observe.models import model_ref, read_models
from tts_operator.status.model import Report, in_order, judge_fallback, model_status, own_part


@dataclass(frozen=True)
class ModelUse:
    """Use of a model, as the controller knows it."""

    release: str
    """This release of the operator."""
    tenants: Collection[Key]
    """Tenants of this release that use the model."""
    blocked: Problem | None = None
    """Why its rollout is paused."""


async def reconcile_model(name: str, cluster: Cluster, use: ModelUse, clock: Clock) -> None:
    """Report whether the model can be used, how many tenants use it, and whether its rollout is paused.

    Raises ClusterError.
    """
    body = await cluster.get(model_ref(name))
    if body is None or "deletionTimestamp" in body["metadata"]:
        return
    reading = await read_models(cluster, {name})
    report = Report(
        use.release,
        len(use.tenants),
        reading.models[name],
        reading.errors.get(name),
        fallback=judge_fallback(name, reading.models, reading.errors),
        blocked=use.blocked,
    )
    after = model_status(body, report, clock.now())
    if after == in_order(body.get("status")):
        return
    part, manager = own_part(after, use.release), model_status_manager(use.release)
    try:
        await cluster.apply_status(model_ref(name), str(body["metadata"]["uid"]), part, manager)
    except NotFound:
        return  # it was deleted; a new model of its name has events of its own
