"""Outline of an object that is too large to be held: short whatever the object is.

It says what the object is, whose it is and whether it is being deleted. Of a Deployment and an HPA it has the fields
that reconciles read also of those that no tenant controls.
"""

from collections.abc import Mapping
from typing import Any

from tts_operator.objects.kinds import DEPLOYMENT, HORIZONTAL_POD_AUTOSCALER, Kind
from tts_operator.objects.labels import MANAGED_BY, MODEL_LABEL, POOL_LABEL, RELEASE, SERVICE_NAME, TENANT_LABEL
from tts_operator.objects.manifest import Body
from tts_operator.objects.ownership import controller_of

MAX_TEXT_CHARACTERS = 253
"""Characters that are held of a text: as many as a name has at most. A longer one is nobody's name, cut or not."""
MAX_FINALIZERS = 8
METADATA = ("name", "namespace", "uid", "generation", "creationTimestamp", "deletionTimestamp")
LABELS = (MANAGED_BY, TENANT_LABEL, MODEL_LABEL, POOL_LABEL, SERVICE_NAME)
REFERENCE = ("apiVersion", "kind", "name", "uid", "controller")
TARGET = ("apiVersion", "kind", "name")


def outline(kind: Kind, body: Body) -> dict[str, Any]:
    """The outline of an object."""
    metadata = body["metadata"]
    short = _short(metadata, METADATA)
    short["labels"] = _short(metadata.get("labels") or {}, LABELS)
    if RELEASE in (metadata.get("annotations") or {}):
        short["annotations"] = _short(metadata["annotations"], (RELEASE,))
    if metadata.get("finalizers"):
        short["finalizers"] = [_cut(name) for name in metadata["finalizers"][:MAX_FINALIZERS]]
    if (controller := controller_of(body)) is not None:
        short["ownerReferences"] = [_short(controller, REFERENCE)]
    return {"metadata": short, **_spec(kind, body.get("spec") or {})}


def _spec(kind: Kind, spec: Body) -> dict[str, Any]:
    if kind is HORIZONTAL_POD_AUTOSCALER:
        return {"spec": {"scaleTargetRef": _short(spec.get("scaleTargetRef") or {}, TARGET)}}
    if kind is not DEPLOYMENT:
        return {}
    containers = [{"name": "", "image": ""}]
    return {"spec": {**_short(spec, ("replicas",)), "template": {"metadata": {}, "spec": {"containers": containers}}}}


def _short(whole: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _cut(whole[name]) for name in names if name in whole}


def _cut(value: Any) -> Any:
    return value[:MAX_TEXT_CHARACTERS] if isinstance(value, str) else value
