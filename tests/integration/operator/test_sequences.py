"""Whatever people do, in whatever order, the end is that of a tenant made fresh."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.api_server import CLOCK, NUMBERS, SETTINGS, ApiServer, converge, picture
from tests.support.resources import tenant_body
from tts_operator.cluster.client import Cluster, Write
from tts_operator.cluster.errors import NotFound
from tts_operator.controller.reconcile_tenant import ReconcileContext, reconcile
from tts_operator.objects.keys import Key

MODELS = ("sequence-a", "sequence-b", "sequence-c")
BOUNDS = {"minReplicas": 1, "maxReplicas": 3}

specifications = st.fixed_dictionaries(
    {"models": st.lists(st.sampled_from(MODELS), min_size=1, max_size=2, unique=True)},
    optional={
        "tier": st.sampled_from(["Basic", "VIP", "Enterprise"]),
        "scenario": st.sampled_from(["CustomerService", "Testing"]),
        "suspend": st.booleans(),
        "schedule": st.sampled_from(
            [
                {"preset": "DayNightWeekend"},
                {"default": BOUNDS},
                {"default": {"minReplicas": 2}, "timeZone": "Asia/Tokyo"},
            ]
        ),
        "quota": st.fixed_dictionaries({"requestsPerMinute": st.integers(1, 9)}),
        "voiceAliases": st.dictionaries(st.sampled_from(["alloy", "nova"]), st.just("en-us"), max_size=2),
        "auth": st.sampled_from([{"modes": ["None"]}, {"modes": ["APIKey"]}]),
    },
)
edits = st.one_of(
    st.tuples(st.just("spec"), specifications),
    st.tuples(st.just("delete child"), st.integers(0, 11)),
    st.tuples(st.just("edit child"), st.integers(0, 11)),
    st.tuples(st.just("reconcile"), st.none()),
)
Edit = tuple[str, Any]
T = TypeVar("T")

WALKS = 3
"""Tenants that go their own ways to one end, side by side: a fresh create costs as much as a walk, and serves all."""
EXAMPLES = 34
"""So more than a hundred walks."""


class Stage(NamedTuple):
    """Edits between two changes of a model, which all tenants share: the result must not depend on who is faster."""

    image_of: str | None
    """The model that changes first."""
    walks: tuple[Sequence[Edit], ...]
    """Edits of each tenant after that change."""


stages = st.builds(
    Stage,
    st.none() | st.sampled_from(MODELS),
    st.tuples(*[st.lists(edits, min_size=1, max_size=3)] * WALKS),
)


@pytest_asyncio.fixture
async def lanes(api: ApiServer) -> AsyncIterator[list[ApiServer]]:
    """One connection for each walk and one for the fresh create, each with its own count of writes."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(WALKS + 1):
            writes: list[Write] = []
            cluster = await stack.enter_async_context(await Cluster.connect(lambda: True, wrote=writes.append))
            made.append(replace(api, cluster=cluster, writes=writes))
        yield made


@pytest.mark.timeout(1200)  # over a hundred tenants' lives
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(course=st.lists(stages, min_size=1, max_size=3), last=specifications)
async def test_any_sequence_of_edits_ends_like_a_fresh_create(
    api: ApiServer, lanes: Sequence[ApiServer], course: Sequence[Stage], last: dict[str, Any]
) -> None:
    await publish(api)
    *walkers, newcomer = lanes
    keys = [Key(api.namespace, f"walked-{next(NUMBERS)}") for _ in walkers]
    fresh = Key(api.namespace, f"fresh-{next(NUMBERS)}")
    await together(api.user.create(body(key, {"models": ["sequence-a"]})) for key in keys)
    for stage in course:
        if stage.image_of is not None:
            change = {"spec": {"image": f"example.invalid/other:{next(NUMBERS)}"}}
            await api.user.patch(api.ref("TTSModel", stage.image_of), change)
        await together(walk(*each) for each in zip(walkers, keys, stage.walks, strict=True))
    await together(api.user.put(body(key, last)) for key in keys)
    await api.user.create(body(fresh, last))
    everyone = list(zip([*walkers, newcomer], [*keys, fresh], strict=True))
    *ends, wanted = await together(end(lane, key) for lane, key in everyone)
    for reached in ends:
        assert reached == wanted
    await together(api.user.delete(api.ref("TTSTenant", key.name)) for _, key in everyone)


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All of it at once. What one raises is raised when all have ended: nothing goes on into the next example."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


async def walk(api: ApiServer, key: Key, edits: Sequence[Edit]) -> None:
    for edit, argument in edits:
        await make(api, key, edit, argument)


async def end(api: ApiServer, key: Key) -> str:
    await converge(api, key)
    return await outcome(api, key)


def body(key: Key, spec: dict[str, Any]) -> dict[str, Any]:
    return tenant_body(*spec["models"], key=key, **{name: value for name, value in spec.items() if name != "models"})


async def publish(api: ApiServer) -> None:
    for name in MODELS:
        if await api.cluster.get(api.ref("TTSModel", name)) is None:
            await api.publish_model(name)


async def make(api: ApiServer, key: Key, edit: str, argument: Any) -> None:
    """One edit by a user, or one reconcile between two of them."""
    if edit == "spec":
        await api.user.put(body(key, argument))
    elif edit == "reconcile":
        await reconcile(key, ReconcileContext(api.cluster, SETTINGS, CLOCK))
    else:
        refs = sorted(await api.children(key.name))
        if not refs:
            return
        ref = refs[argument % len(refs)]
        try:
            if edit == "delete child":
                await api.user.delete(ref)
            else:
                await api.user.patch(ref, {"metadata": {"labels": {"app.kubernetes.io/name": "edited"}}})
        except NotFound:
            return  # it was on its way out


async def outcome(api: ApiServer, key: Key) -> str:
    """The children, and the conditions that follow from them alone."""
    suspended = bool((await api.get("TTSTenant", key.name))["spec"].get("suspend"))
    text = picture(key, await api.children(key.name), suspended=suspended)
    status = await api.status(key.name)
    conditions = [(each["type"], each["status"]) for each in status["conditions"] if each["type"] in SPOKEN]
    return f"{text}\n{conditions}"


SPOKEN = {"Accepted", "ModelsResolved", "Programmed"}
"""Conditions about what the operator does; the others are about pods, and none runs here."""
