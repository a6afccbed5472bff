"""What the operator says of a TTSModel: whether tenants can use it, and how many do."""

from datetime import datetime
from typing import Any

from tts_operator.api import TTSModel
from tts_operator.api.support import unsupported_in_model
from tts_operator.live import Verdict
from tts_operator.manifest import Body
from tts_operator.status import HOLDS, stamp


def model_status(body: Body, model: TTSModel | None, error: str | None, in_use: int, now: datetime) -> dict[str, Any]:
    """The whole status."""
    verdict = judge(model, error)
    known = {each["type"]: each for each in (body.get("status") or {}).get("conditions") or ()}
    generation = int(body["metadata"].get("generation", 0))
    said = "False" if verdict else "True"
    reason, message = verdict or Verdict(HOLDS, "")
    return {
        "observedGeneration": generation,
        "tenants": in_use,
        "conditions": [
            {
                "type": type_,
                "status": said,
                "observedGeneration": generation,
                "lastTransitionTime": known[type_]["lastTransitionTime"]
                if known.get(type_, {}).get("status") == said
                else stamp(now),
                "reason": reason,
                "message": message,
            }
            for type_ in ("Accepted", "Ready")
        ],
    }


def judge(model: TTSModel | None, error: str | None) -> Verdict | None:
    """Why no tenant can use the model."""
    if model is None:
        return Verdict("Invalid", error or "the stored object cannot be read")
    if later := list(unsupported_in_model(model.spec)):
        return Verdict("NotSupportedYet", f"{', '.join(later)}: not supported yet")
    return None
