"""Why a pod does not get the files of its model: from a claim, from an image, or from the container that downloads."""

import re

from tts_operator.objects.manifest import Body
from tts_operator.objects.names import ADAPTER_VOLUMES, FETCH_ADAPTER_CONTAINERS, FETCH_CONTAINER, MODEL_VOLUME

NOT_FETCHED = "ModelNotFetched"
CLAIM_NOT_FOUND, CLAIM_NOT_BOUND = "ClaimNotFound", "ClaimNotBound"
CLAIMS = (
    # pkg/scheduler/framework/plugins/volumebinding of Kubernetes
    (CLAIM_NOT_FOUND, re.compile('persistentvolumeclaim "[^"]*" not found')),
    (CLAIM_NOT_BOUND, re.compile("unbound immediate PersistentVolumeClaims")),
)
"""Reasons for which a pod with a claim finds no node, and how the scheduler words them; the first applies."""
ADVICE = {
    CLAIM_NOT_FOUND: "create the PersistentVolumeClaim in this namespace, or correct"
    " spec.source.persistentVolumeClaim of the TTSModel",
    CLAIM_NOT_BOUND: "see `kubectl describe pvc`: the claim needs a PersistentVolume or a StorageClass",
    NOT_FETCHED: "the pod tries again by itself",
}
IMAGE_ADVICE = "check spec.source.image of the TTSModel, and its imagePullSecrets"
ADAPTER_IMAGE_ADVICE = "check spec.adapters[].source.image of the TTSModel, and its imagePullSecrets"
URL_DETAILS = re.compile(r"(https?://[^\s/?#]+)[/?#]\S*")
MAX_LENGTH = 300
"""Longest text of a pod's own in a condition, in characters."""


def fetches(container: Body) -> bool:
    """Whether this is a container that downloads files of the model or of an adapter, by its status."""
    name = str(container.get("name", ""))
    return name == FETCH_CONTAINER or name.startswith(FETCH_ADAPTER_CONTAINERS)


def last_words(ended: Body) -> str:
    """The last line of a container's termination message."""
    lines = str(ended.get("message") or "").strip().splitlines()
    return shown(lines[-1]) if lines else ""


def shown(text: str) -> str:
    """A text of a pod's own, which may be anything: one line, of limited length, and of URLs in it only the host.

    The rest of a URL may be a secret.
    """
    text = " ".join(URL_DETAILS.sub(r"\1/...", text).split())
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 1]}\u2026"


def unpulled_volume(pod: Body, message: str) -> str:
    """The cause, if the image that cannot be pulled is that with the model's files; empty for another image."""
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        reference = (volume.get("image") or {}).get("reference")
        name = str(volume.get("name", ""))
        if (name == MODEL_VOLUME or name.startswith(ADAPTER_VOLUMES)) and reference and reference in message:
            return f"volume {name}: {message}; {IMAGE_ADVICE if name == MODEL_VOLUME else ADAPTER_IMAGE_ADVICE}"
    return ""
