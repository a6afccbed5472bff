"""Why pods of a model do not start, as far as the model itself is at fault: for its own status.

Everybody who may read a TTSModel reads it. So these sentences name no object of a tenant, and quote a container only
where its words concern nothing but the model: the server's if it ends for its model's sake, a download's, a sidecar's.
"""

from collections.abc import Iterator

from tts_operator.objects.labels import MODEL_LABEL
from tts_operator.objects.manifest import Body
from tts_operator.objects.names import CONTAINER
from tts_operator.objects.problem import Problem
from tts_operator.snapshot import memory_kills, model_volumes
from tts_operator.snapshot.observed import Observed
from tts_server.config.schema import MODEL_EXIT_CODE

ENGINE_NOT_STARTED = "EngineNotStarted"
SIDECAR_NOT_STARTED = "SidecarNotStarted"
IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName"})


def start_failures(observed: Observed) -> dict[str, Problem]:
    """Why pods of a tenant do not start, by model: the first failure that is the model's."""
    found: dict[str, Problem] = {}
    for pod in observed.pods:
        model = str((pod["metadata"].get("labels") or {}).get(MODEL_LABEL, ""))
        if model and model not in found and "deletionTimestamp" not in pod["metadata"]:
            problem = next(failures_of_model(pod), None)
            found |= {model: problem} if problem else {}
    return found


def failures_of_model(pod: Body) -> Iterator[Problem]:
    """Failures of one pod that are its model's. They stay while the container is restarted, until it is ready."""
    status = pod.get("status") or {}
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        state = container.get("state") or {}
        waiting = state.get("waiting") or {}
        ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
        if waiting.get("reason") in IMAGE_REASONS:
            message = model_volumes.shown(str(waiting.get("message") or "the image cannot be pulled"))
            yield Problem(str(waiting["reason"]), message)
        elif not container.get("ready") and ended.get("exitCode"):
            yield from end_of_container(str(container.get("name", "")), container, ended)


def end_of_container(name: str, container: Body, ended: Body) -> Iterator[Problem]:
    """Why a container ended that is not ready again, if that is the model's fault."""
    words = model_volumes.last_words(ended)
    if model_volumes.fetches(container):
        yield Problem(model_volumes.NOT_FETCHED, words or "the files of the model were not fetched")
    elif memory_kills.killed_for_memory(ended):
        advice = memory_kills.ADVICE[memory_kills.AT_START]
        yield Problem(memory_kills.AT_START, f"a container used more memory than its limit; {advice}")
    elif name != CONTAINER:
        yield Problem(SIDECAR_NOT_STARTED, words or f"the sidecar ended with exit code {ended['exitCode']}")
    elif ended["exitCode"] == MODEL_EXIT_CODE:
        yield Problem(ENGINE_NOT_STARTED, words or "the engine does not start")
