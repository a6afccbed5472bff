"""Pools of a tenant: for the models of its spec, for their fallbacks, and for pools that are still in use."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

from tts_operator.api import Engine, TenantModel, TTSModel, TTSTenant
from tts_operator.api.engine import OnnxFiles
from tts_operator.calendar.bounds import Bounds
from tts_operator.calendar.window_settings import WindowPrecision
from tts_operator.objects.names import pool_name
from tts_operator.objects.problem import Problem
from tts_operator.resolve.fallback import FallbackChains
from tts_operator.resolve.precision import PrecisionChoice, effective_precision, precision_of_window
from tts_operator.resolve.resolved import Pool, Role
from tts_operator.rollout.cutover import Cutover, is_entry
from tts_operator.rollout.update_strategy import UpdateStrategy, rollout
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed

ONE_REPLICA = Bounds(1, 1)
ONE_PRECISION = frozenset({Engine.COSYVOICE, Engine.INDEX_TTS})
"""Engines whose pods load the weights in one precision."""


def model_pool(
    observed: Observed,
    tenant: TTSTenant,
    tenant_model: TenantModel,
    bounds: Bounds,
    *,
    usable: bool,
    now: datetime,
    by_window: WindowPrecision | None = None,
) -> Pool:
    """The pool of one model, as a member: `with_roles` determines which pools are entries.

    `by_window`: precision by the schedule, of the first model.
    """
    name = pool_name(observed.key.name, tenant_model.name)
    model = observed.models[tenant_model.name] if usable else None
    precision: PrecisionChoice | None = None
    loaded: tuple[str, ...] = ()
    if model is not None:
        precision, loaded = loaded_precisions(model, tenant, tenant_model, by_window)
    return Pool(
        name=name,
        model_name=tenant_model.name,
        role="Member",
        bounds=bounds,
        model=model,
        precision=precision,
        loaded=loaded,
        rollout=rollout(observed, name, update_strategy(tenant, model), now),
        deployed=lookup.deployment(observed, name) is not None,
    )


def update_strategy(tenant: TTSTenant, model: TTSModel | None) -> Literal["Auto", "Surge", "Replace"]:
    """Strategy that the tenant chooses, else its model."""
    own = tenant.spec.rollout.strategy if tenant.spec.rollout else "Auto"
    if own == "Auto" and model is not None and model.spec.rollout is not None:
        return model.spec.rollout.strategy
    return own


def loaded_precisions(
    model: TTSModel, tenant: TTSTenant, tenant_model: TenantModel, by_window: WindowPrecision | None = None
) -> tuple[PrecisionChoice, tuple[str, ...]]:
    """The effective precision, and the precisions that requests may select, in the model's order.

    A precision of engine Onnx is a graph: requests cannot select one that has the files of the effective precision. A
    process of CosyVoice or IndexTTS computes in the effective precision only.
    """
    offered = [option.name.value for option in model.spec.precisions]
    scenario = tenant.spec.scenario.value if tenant.spec.scenario else None
    if by_window is not None and by_window.precision is not None:
        precision = precision_of_window(offered, by_window.precision, by_window.window)
    else:
        precision = effective_precision(offered, tenant_model.precision, scenario)
    allowed = {each.value for each in tenant_model.allowed_precisions or ()}
    if model.spec.onnx is not None:
        files = onnx_files(model)
        allowed = {each for each in allowed if each in files and files[each] != files[precision.name]}
    elif model.spec.engine in ONE_PRECISION:
        allowed = set()
    return precision, tuple(each for each in offered if each in {precision.name, *allowed})


def onnx_files(model: TTSModel) -> dict[str, dict[str, str]]:
    """Paths in the source of the files of engine Onnx, by precision."""
    common = model.spec.onnx.files if model.spec.onnx else None
    return {option.name.value: (option.files or OnnxFiles()).over(common) for option in model.spec.precisions}


def precision_notes(tenant: TTSTenant, pools: Sequence[Pool]) -> Iterator[Problem]:
    """A note for each model with `allowedPrecisions` that its pods do not load."""
    for entry, pool in zip(tenant.spec.models, pools, strict=False):  # pools of fallbacks follow
        left_out = [each.value for each in entry.allowed_precisions or () if each.value not in pool.loaded]
        offered = {option.name.value for option in pool.model.spec.precisions} if pool.model else set()
        if pool.precision is not None and (named := ", ".join(name for name in left_out if name in offered)):
            yield Problem(
                "PrecisionNotLoaded",
                f"spec.models[{entry.name}].allowedPrecisions: requests cannot select {named}, because"
                f" {one_precision(pool)} {pool.precision.name}",
            )


def one_precision(pool: Pool) -> str:
    """Why requests cannot select another precision, up to the effective one."""
    model, _ = pool.served
    if model.spec.engine in ONE_PRECISION:
        return f"a pod of engine {model.spec.engine.value} loads one precision, here"
    return f"TTSModel {pool.model_name} has no files of its own for it: it would be computed with those of"


def fallback_pools(observed: Observed, tenant: TTSTenant, chains: FallbackChains, now: datetime) -> list[Pool]:
    """Pools of models that are only used as fallbacks, with one replica each.

    A pool whose model can no longer be used stays as it is if it is deployed.
    """
    pools = [
        model_pool(observed, tenant, TenantModel(name=name), ONE_REPLICA, usable=name in chains.unlisted, now=now)
        for name in (*chains.unlisted, *chains.unusable)
    ]
    return [replace(each, role="Fallback", offered=False) for each in pools if each.model is not None or each.deployed]


def with_roles(observed: Observed, pools: Sequence[Pool], cutover: Cutover) -> tuple[Pool, ...]:
    """The pools with entries marked: the default model's, and in a cutover every pool that may still get requests."""

    def role(position: int, pool: Pool) -> Role:
        draining = cutover.draining_pools and is_entry(observed, pool.name)
        entries = {cutover.entry, cutover.following}
        return "Entry" if position == 0 or pool.name in entries or draining else pool.role

    marked = tuple(replace(pool, role=role(position, pool)) for position, pool in enumerate(pools))
    if any(pool.name == cutover.entry for pool in marked):
        return marked
    return (*marked, replace(retiring_pool(observed, cutover.entry), role="Entry"))


def retiring_pool(observed: Observed, name: str) -> Pool:
    """A pool that the spec no longer asks for, and that still gets requests."""
    return Pool(
        name=name,
        model_name=lookup.model_of(observed, name),
        role="Member",
        bounds=lookup.autoscaler_bounds(observed, name) or ONE_REPLICA,
        model=None,
        precision=None,
        loaded=(),
        rollout=UpdateStrategy("Surge"),
        deployed=True,
        retiring=True,
        offered=False,
    )
