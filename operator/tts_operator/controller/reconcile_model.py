"""The status of one TTSModel: it has no children, and it tells who uses it."""

from collections.abc import Collection

from tts_operator.clock import Clock
from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import NotFound
from tts_operator.objects.keys import Key
from tts_operator.objects.problem import Problem
from tts_operator.observe.reader import model_ref, models_and_fallbacks
from tts_operator.status.model import judge_fallback, model_status


async def reconcile_model(
    name: str, cluster: Cluster, users: Collection[Key], clock: Clock, blocked: Problem | None = None
) -> None:
    """Say whether the model can be used, by how many tenants it is, and whether they take its changes.

    Raises ClusterError.
    """
    body = await cluster.get(model_ref(name))
    if body is None or "deletionTimestamp" in body["metadata"]:
        return
    models, errors = await models_and_fallbacks(cluster, {name})
    fallback = judge_fallback(name, models, errors)
    after = model_status(
        body, models[name], errors.get(name), len(users), clock.now(), fallback=fallback, blocked=blocked
    )
    if after == body.get("status"):
        return
    try:
        await cluster.apply_status(model_ref(name), str(body["metadata"]["uid"]), after)
    except NotFound:
        return  # it is gone, or another of its name has come: that one has an event of its own
