"""Which writes still make sense after one has failed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from tests.support.operator_builders import NOON, SETTINGS, observe, ref
from tests.support.resources import KEY, UID, stored, tenant_body
from tts_operator.clock import SystemClock
from tts_operator.cluster.client import Cluster, Request
from tts_operator.cluster.errors import Conflict, NotFound, Refused
from tts_operator.controller.apply import apply, pointless
from tts_operator.controller.reconcile_tenant import reconcile
from tts_operator.controller.report import event_manifest, report
from tts_operator.objects.manifest import Ref
from tts_operator.objects.names import CONFIG_HASH
from tts_operator.plan.actions import Action, Annotate, Delete, Scale
from tts_operator.status.events import Event

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


class Refusing:
    """A cluster that answers every write of replicas so."""

    def __init__(self, answer: Refused) -> None:
        self._answer = answer

    async def scale(self, *_: Any) -> None:
        raise self._answer


@pytest.mark.parametrize("answer", [Conflict("Conflict", "modified"), NotFound("NotFound", "gone")], ids=str)
async def test_a_deployment_that_moved_on_or_went_is_read_again_and_no_failure(answer: Refused) -> None:
    """The tenant's conditions must not tell of what the next reading, at once, finds to be well."""
    cluster = cast("Cluster", cast("Any", Refusing(answer)))
    outcome, outrun = await apply(cluster, [Scale(DEPLOYMENT, 1, "7", "woken")], observe(), {})
    assert outcome.failures == {}
    assert outrun


class Colliding(Cluster):
    """Answers every write with a conflict, and holds an object of this UID."""

    def __init__(self, uid: str | None) -> None:
        self._uid = uid

    async def _ask(self, request: Request) -> dict[str, Any]:
        if request.writes:
            raise Conflict("Conflict", "the object has been modified")
        if self._uid is None:
            raise NotFound("NotFound", "gone")
        return {"metadata": {"uid": self._uid}}


class EndingNamespace(Cluster):
    """The tenant is still there; its namespace is being deleted, and has lost the tenant's children already."""

    def __init__(self) -> None:
        pass

    async def get(self, ref: Ref, *, metadata_only: bool = False) -> dict[str, Any] | None:
        metadata = {"name": ref.name, "deletionTimestamp": "2026-11-04T12:00:00Z"}
        return {"TTSTenant": stored(tenant_body()), "Namespace": {"metadata": metadata}}.get(ref.kind)

    async def list(self, *_: Any, **__: Any) -> AsyncIterator[dict[str, Any]]:
        for found in tuple[dict[str, Any]]():
            yield found

    async def _ask(self, request: Request) -> dict[str, Any]:
        raise AssertionError(f"{request} makes no sense any more")


async def test_nothing_is_made_in_a_namespace_that_is_being_deleted() -> None:
    """The API server would refuse each write, and each would be a warning in the log."""
    assert await reconcile(KEY, EndingNamespace(), SETTINGS, SystemClock()) is None


async def test_a_status_that_other_writes_outran_is_written_again() -> None:
    with pytest.raises(Conflict):
        await report(Colliding(UID), observe(), {"conditions": []}, NOON)


@pytest.mark.parametrize("uid", [None, "of-a-namesake"])
async def test_the_status_of_a_tenant_that_is_gone_is_nobodys(uid: str | None) -> None:
    await report(Colliding(uid), observe(), {"conditions": []}, NOON)


@pytest.mark.parametrize(("message", "note"), [("brief", "brief"), ("中" * 500, "中" * 341), ("a" * 2000, "a" * 1024)])
def test_an_event_holds_as_many_bytes_of_its_message_as_the_api_server_takes(message: str, note: str) -> None:
    found = event_manifest(observe(), Event("Warning", "VoiceNotFound", message), NOON)
    assert found.body["note"] == note
