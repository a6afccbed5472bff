"""Controller owner references: which objects the operator may write."""

from tts_operator.objects.manifest import Body


def controlled_by(live: Body, uid: str) -> bool:
    """Whether the object's controller is the owner of this UID: only then may the operator write or delete it."""
    return (controller_of(live) or {}).get("uid") == uid


def controller_of(live: Body) -> Body | None:
    """The reference to the object's controller; None where it has none. The API server allows one."""
    references = live.get("metadata", {}).get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)
