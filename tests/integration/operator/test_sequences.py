"""Whatever people do, in whatever order, the end is that of a tenant made fresh."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.operator.test_lifecycle import CLOCK, converge
from tests.support.operator_world import NUMBERS, SETTINGS, World, specs, tenant
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
    """What happens between two changes of a model. Models are everybody's: so it is the same whoever is faster."""

    image_of: str | None
    """The model that changes first."""
    walks: tuple[Sequence[Edit], ...]
    """What is done to each tenant after that."""


stages = st.builds(
    Stage,
    st.none() | st.sampled_from(MODELS),
    st.tuples(*[st.lists(edits, min_size=1, max_size=3)] * WALKS),
)


@pytest_asyncio.fixture
async def lanes(world: World) -> AsyncIterator[list[World]]:
    """The same world for each walk and for the fresh create, each with writes of its own to count."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(WALKS + 1):
            writes: list[Write] = []
            cluster = await stack.enter_async_context(await Cluster.connect(lambda: True, wrote=writes.append))
            made.append(replace(world, cluster=cluster, writes=writes))
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
    world: World, lanes: Sequence[World], course: Sequence[Stage], last: dict[str, Any]
) -> None:
    await publish(world)
    *walkers, newcomer = lanes
    keys = [Key(world.namespace, f"walked-{next(NUMBERS)}") for _ in walkers]
    fresh = Key(world.namespace, f"fresh-{next(NUMBERS)}")
    await together(world.person.create(body(key, {"models": ["sequence-a"]})) for key in keys)
    for stage in course:
        if stage.image_of is not None:
            change = {"spec": {"image": f"example.invalid/other:{next(NUMBERS)}"}}
            await world.person.patch(world.ref("TTSModel", stage.image_of), change)
        await together(walk(*each) for each in zip(walkers, keys, stage.walks, strict=True))
    await together(world.person.put(body(key, last)) for key in keys)
    await world.person.create(body(fresh, last))
    everyone = list(zip([*walkers, newcomer], [*keys, fresh], strict=True))
    *ends, wanted = await together(end(lane, key) for lane, key in everyone)
    for reached in ends:
        assert reached == wanted
    await together(world.person.delete(world.ref("TTSTenant", key.name)) for _, key in everyone)


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All of it at once. What one raises is raised when all have ended: nothing goes on into the next example."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


async def walk(world: World, key: Key, edits: Sequence[Edit]) -> None:
    for edit, argument in edits:
        await make(world, key, edit, argument)


async def end(world: World, key: Key) -> str:
    await converge(world, key)
    return await outcome(world, key)


def body(key: Key, spec: dict[str, Any]) -> dict[str, Any]:
    return tenant(key, *spec["models"], **{name: value for name, value in spec.items() if name != "models"})


async def publish(world: World) -> None:
    for name in MODELS:
        if await world.cluster.get(world.ref("TTSModel", name)) is None:
            await world.publishes_model(name)


async def make(world: World, key: Key, edit: str, argument: Any) -> None:
    """One edit by a person, or one reconcile between two of them."""
    if edit == "spec":
        await world.person.put(body(key, argument))
    elif edit == "reconcile":
        await reconcile(key, ReconcileContext(world.cluster, SETTINGS, CLOCK))
    else:
        refs = sorted(await world.children(key.name))
        if not refs:
            return
        ref = refs[argument % len(refs)]
        try:
            if edit == "delete child":
                await world.person.delete(ref)
            else:
                await world.person.patch(ref, {"metadata": {"labels": {"app.kubernetes.io/name": "edited"}}})
        except NotFound:
            return  # it was on its way out


async def outcome(world: World, key: Key) -> str:
    """The children without what differs between any two tenants: the name, and how many replicas run just now."""
    children = {ref: dict(child) for ref, child in (await world.children(key.name)).items()}
    for ref, child in children.items():
        if ref.kind == "Deployment":
            replicas = "none" if child["spec"]["replicas"] == 0 else "some"
            children[ref] = {**child, "spec": {**child["spec"], "replicas": replicas}}
    text = json.dumps(specs(children), sort_keys=True, indent=1)
    status = await world.status(key.name)
    conditions = [(each["type"], each["status"]) for each in status["conditions"] if each["type"] in SPOKEN]
    return f"{text}\n{conditions}".replace(key.name, "NAME")


SPOKEN = {"Accepted", "ModelsResolved", "Programmed"}
"""Conditions about what the operator does; the others are about pods, and none runs here."""
