"""Status of a TTSModel: whether tenants can use it, and how many do."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tts_operator.api import TTSModel
from tts_operator.api.support import unsupported_in_model
from tts_operator.objects import quantity
from tts_operator.objects.manifest import Body
from tts_operator.objects.problem import Problem
from tts_operator.pod_files.engine import local_engine
from tts_operator.resolve.fallback import fallback_chains, missing_voice_problems
from tts_operator.resolve.model_checks import fallback_not_found, not_supported
from tts_operator.status.conditions import conditions

SERVER_MEMORY_BYTES = 300 * 2**20
"""Memory that a pod needs besides its engine processes."""


def model_status(
    body: Body,
    model: TTSModel | None,
    error: str | None,
    in_use: int,
    now: datetime,
    *,
    fallback: Problem | None = None,
    blocked: Problem | None = None,
) -> dict[str, Any]:
    """The whole status. `fallback`: problem of the fallback chain; `blocked`: problem of the last change's rollout."""
    accepted = judge(model, error)
    problems = {"Accepted": accepted, "FallbackResolved": fallback, "Ready": accepted or fallback or blocked}
    notes = {"Accepted": tight_memory(model) if model else None}
    before = (body.get("status") or {}).get("conditions") or ()
    generation = int(body["metadata"].get("generation", 0))
    return {
        "observedGeneration": generation,
        "tenants": in_use,
        "conditions": conditions(problems, notes, before, generation, now),
    }


def tight_memory(model: TTSModel) -> Problem | None:
    """A note if the engine processes may use more memory together than the pod: the kernel may kill it."""
    for option in model.spec.precisions:
        engine, limit = local_engine(model, option.name), option.resources.limits.get("memory")
        if limit is None or engine.memory_limit_bytes is None:
            continue
        needed_bytes = engine.processes * engine.memory_limit_bytes + SERVER_MEMORY_BYTES
        if needed_bytes > quantity.parse(limit):
            message = (
                f"spec.precisions[{option.name}]: limits.memory {limit} is less than {-(-needed_bytes // 2**20)}Mi"
                f" ({engine.processes} x memoryLimit {model.spec.memory_limit} and 300Mi for the server), so the kernel"
                " may kill pods: raise limits.memory or lower memoryLimit"
            )
            return Problem("MemoryTight", message)
    return None


def judge_fallback(name: str, models: Mapping[str, TTSModel | None], errors: Mapping[str, str]) -> Problem | None:
    """The first problem of the fallback chain that begins at this model; None if every model in it can be used."""

    def problem(by: str, fallback: str) -> Problem | None:
        model = models.get(fallback)
        if model is None and fallback not in errors:
            return fallback_not_found(by, fallback)
        unusable = judge(model, errors.get(fallback))
        if unusable is None:
            return None
        reason = "FallbackInvalid" if model is None else "FallbackNotSupported"
        return Problem(reason, f"TTSModel {by} falls back to {fallback}: {unusable.message}")

    chains = fallback_chains([name], models, problem)
    voices = [
        voice_problem
        for by, fallback in chains.links.items()
        if (model := models[by]) and (fallback_model := models[fallback])
        for voice_problem in missing_voice_problems(model, fallback_model)
    ]
    return next(iter((*chains.problems, *voices)), None)


def judge(model: TTSModel | None, error: str | None) -> Problem | None:
    """Why no tenant can use the model; None if they can."""
    if model is None:
        return Problem("Invalid", error or "the stored object is invalid")
    if unsupported := list(unsupported_in_model(model.spec)):
        return Problem("NotSupportedYet", not_supported(unsupported))
    return None
