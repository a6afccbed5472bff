"""Controller owner references: the operator writes only objects that a tenant controls."""

from tts_operator.objects.manifest import Body


def controlled_by(live: Body, uid: str) -> bool:
    """Whether the owner of this UID controls the object. Only then may the operator write or delete it."""
    return (controller_of(live) or {}).get("uid") == uid


def controller_of(live: Body) -> Body | None:
    """Reference to the object's controller, of which the API server allows one; None without one."""
    references = live.get("metadata", {}).get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)
