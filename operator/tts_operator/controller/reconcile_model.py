"""One reconcile of a TTSModel: it has a status and no children."""

from collections.abc import Collection

from tts_operator.clock import Clock
from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import NotFound
from tts_operator.objects.keys import Key
from tts_operator.objects.problem import Problem
from tts_operator.observe.models import model_ref, read_models
from tts_operator.status.model import judge_fallback, model_status


async def reconcile_model(
    name: str, cluster: Cluster, users: Collection[Key], clock: Clock, blocked: Problem | None = None
) -> None:
    """Report whether the model can be used, how many tenants use it, and whether its rollout is paused (`blocked`).

    Raises ClusterError.
    """
    body = await cluster.get(model_ref(name))
    if body is None or "deletionTimestamp" in body["metadata"]:
        return
    reading = await read_models(cluster, {name})
    model, error = reading.models[name], reading.errors.get(name)
    fallback = judge_fallback(name, reading.models, reading.errors)
    after = model_status(body, model, error, len(users), clock.now(), fallback=fallback, blocked=blocked)
    if after == body.get("status"):
        return
    try:
        await cluster.apply_status(model_ref(name), str(body["metadata"]["uid"]), after)
    except NotFound:
        return  # it was deleted; a new model of its name has events of its own
