"""What the operator says of a TTSModel: whether tenants can use it, and how many do."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tts_operator.api import TTSModel
from tts_operator.api.support import unsupported_in_model
from tts_operator.objects import quantity
from tts_operator.objects.manifest import Body
from tts_operator.objects.problem import Problem
from tts_operator.pod_files.engine import local_engine
from tts_operator.resolve.fallback import chains, missing_voices
from tts_operator.resolve.model_checks import not_supported
from tts_operator.status.conditions import conditions

SERVER_BYTES = 300 * 2**20
"""What a pod needs beside its engines."""


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
    """The whole status; `fallback` is what is wrong with the chain that begins here, `halted` with the last change."""
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
    """A pod whose engines may grow to more than it may use: the kernel would end it before the watchdog ends one."""
    for option in model.spec.precisions:
        engine, limit = local_engine(model, option.name), option.resources.limits.get("memory")
        if limit is None or engine.memory_limit_bytes is None:
            continue
        needed_bytes = engine.processes * engine.memory_limit_bytes + SERVER_BYTES
        if needed_bytes > quantity.parse(limit):
            needs = f"{engine.processes} x memoryLimit {model.spec.memory_limit} and 300Mi for the server"
            message = (
                f"spec.precisions[{option.name}]: limits.memory is {limit}, less than the {-(-needed_bytes // 2**20)}Mi"
                f" of {needs}: the kernel may end pods"
            )
            return Problem("MemoryTight", message)
    return None


def judge_fallback(name: str, models: Mapping[str, TTSModel | None], errors: Mapping[str, str]) -> Problem | None:
    """What is wrong with the chain that begins at this model; None if whoever it leads to can speak."""

    def problem(by: str, standby: str) -> Problem | None:
        model = models.get(standby)
        if model is None and standby not in errors:
            return Problem("FallbackNotFound", f"TTSModel {by} falls back to {standby}, which no TTSModel is called")
        unusable = judge(model, errors.get(standby))
        if unusable is None:
            return None
        reason = "FallbackInvalid" if model is None else "FallbackNotSupported"
        return Problem(reason, f"TTSModel {by} falls back to {standby}: {unusable.message}")

    found = chains([name], models, problem)
    voices = [
        problem
        for by, standby in found.links.items()
        if (model := models[by]) and (other := models[standby])
        for problem in missing_voices(model, other)
    ]
    return next(iter((*found.problems, *voices)), None)


def judge(model: TTSModel | None, error: str | None) -> Problem | None:
    """Why no tenant can use the model."""
    if model is None:
        return Problem("Invalid", error or "the stored object cannot be read")
    if later := list(unsupported_in_model(model.spec)):
        return Problem("NotSupportedYet", not_supported(later))
    return None
