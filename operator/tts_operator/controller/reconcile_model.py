"""One reconcile of a TTSModel: it has a status and no children."""

from collections.abc import Collection

from tts_operator.clock import Clock
from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import NotFound
from tts_operator.desired.change_cause import model_digest
from tts_operator.objects.keys import Key
from tts_operator.observe.models import model_ref, read_models
from tts_operator.status.model import ModelRollout, Usage, judge_fallback, model_status


async def reconcile_model(
    name: str, cluster: Cluster, users: Collection[Key], clock: Clock, rollout: ModelRollout
) -> None:
    """Report whether the model can be used, how many tenants use it, and how the rollout of its last change goes.

    Raises ClusterError.
    """
    body = await cluster.get(model_ref(name))
    if body is None or "deletionTimestamp" in body["metadata"]:
        return
    reading = await read_models(cluster, {name})
    model, error = reading.models[name], reading.errors.get(name)
    fallback = judge_fallback(name, reading.models, reading.errors)
    updated = len(rollout.updated(model_digest(model)) & frozenset(users)) if model else None
    usage = Usage(len(users), updated, rollout.blocked, rollout.failing)
    after = model_status(body, model, error, usage, clock.now(), fallback=fallback)
    if after == body.get("status"):
        return
    try:
        await cluster.apply_status(model_ref(name), str(body["metadata"]["uid"]), after)
    except NotFound:
        return  # it was deleted; a new model of its name has events of its own
