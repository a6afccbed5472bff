"""Whatever people do, in whatever order, the end is that of a tenant made fresh."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.operator.test_lifecycle import CLOCK, converge
from tests.integration.operator.world import NUMBERS, SETTINGS, World, specs, tenant
from tts_operator.api_errors import NotFound
from tts_operator.observed import Key
from tts_operator.reconcile import reconcile

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
    st.tuples(st.just("image of"), st.sampled_from(MODELS)),
    st.tuples(st.just("delete child"), st.integers(0, 11)),
    st.tuples(st.just("edit child"), st.integers(0, 11)),
    st.tuples(st.just("reconcile"), st.none()),
)


@pytest.mark.timeout(1200)  # two tenants' lives, a hundred times
@settings(
    max_examples=100,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(sequence=st.lists(edits, min_size=2, max_size=8), last=specifications)
async def test_any_sequence_of_edits_ends_like_a_fresh_create(
    world: World, sequence: Sequence[tuple[str, Any]], last: dict[str, Any]
) -> None:
    await publish(world)
    walked, fresh = Key(world.namespace, f"walked-{next(NUMBERS)}"), Key(world.namespace, f"fresh-{next(NUMBERS)}")
    await world.person.create(body(walked, {"models": ["sequence-a"]}))
    for edit, argument in [*sequence, ("spec", last)]:
        await make(world, walked, edit, argument)
    await converge(world, walked)
    await world.person.create(body(fresh, last))
    await converge(world, fresh)
    assert await outcome(world, walked) == await outcome(world, fresh)
    for key in (walked, fresh):
        await world.person.delete(world.ref("TTSTenant", key.name))


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
    elif edit == "image of":
        change = {"spec": {"image": f"example.invalid/other:{next(NUMBERS)}"}}
        await world.person.patch(world.ref("TTSModel", argument), change)
    elif edit == "reconcile":
        await reconcile(key, world.cluster, SETTINGS, CLOCK)
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
