"""Which writes still make sense after one has failed."""

from __future__ import annotations

import pytest

from tests.unit.operator.making import ref
from tts_operator.actions import Action, Annotate, Delete, Scale
from tts_operator.manifest import Ref
from tts_operator.names import CONFIG_HASH
from tts_operator.reconcile import pointless

DEPLOYMENT, CONFIG, POD = ref("Deployment", "acme-espeak"), ref("ConfigMap", "acme-quota"), ref("Pod", "acme-espeak-1")
NUDGE = Annotate(POD, CONFIG_HASH, "2", "config 1 -> 2")
WAKE = Scale(DEPLOYMENT, 1, None, "never scaled before")
CASES: dict[str, tuple[Action, list[Ref], bool]] = {
    "a pod is not told of limits that were not written": (NUDGE, [CONFIG], True),
    "nor of a credential": (NUDGE, [ref("Secret", "acme-internal")], True),
    "it is told of what was, whatever else failed": (NUDGE, [DEPLOYMENT], False),
    "what was not made is not scaled": (WAKE, [DEPLOYMENT], True),
    "everything else is": (WAKE, [CONFIG], False),
    "deletes go on": (Delete(DEPLOYMENT, "uid", "no longer wanted"), [CONFIG], False),
}


@pytest.mark.parametrize(("action", "failed", "expected"), CASES.values(), ids=CASES)
def test_after_a_failure(action: Action, failed: list[Ref], expected: bool) -> None:
    assert pointless(action, failed) is expected
