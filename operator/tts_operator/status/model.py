"""Status of a TTSModel: whether tenants can use it, and how many do."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tts_operator.api import TTSModel
from tts_operator.api.status import MAX_STARTS
from tts_operator.api.support import not_supported, unsupported_in_model
from tts_operator.objects import fields, quantity
from tts_operator.objects.labels import ROLLOUT_MODE
from tts_operator.objects.manifest import Body
from tts_operator.objects.problem import Problem
from tts_operator.pod_files.engine import adapters_bytes, own_engine
from tts_operator.resolve.fallback import fallback_chains, missing_voice_problems
from tts_operator.resolve.model_checks import fallback_not_found
from tts_operator.rollout.canary import CANARY_FAILED, CanaryState
from tts_operator.rollout.situation import PAUSED, Mode, mode_of
from tts_operator.snapshot.pod_starts import PodStart, load_seconds
from tts_operator.status.conditions import conditions, timestamp
from tts_server.config.schema import LocalEngine


@dataclass(frozen=True)
class Usage:
    """Tenants of one release that use a model, and how far they are with its last change."""

    tenants: int
    updated: int | None = None
    """Number of tenants that run the last change; None while the model cannot be read."""
    blocked: Problem | None = None
    """Why no further tenant starts the change."""
    failing: str = ""
    """The tenants that the change fails for, as a clause."""
    start_failures: tuple[Problem, ...] = ()
    """Why pods do not start, for each tenant that has such pods."""
    unread: bool = False
    """Some tenants have not been read yet: what was known of their pods stays."""
    canary: CanaryState | None = None
    """State of the last change among the tenants that take it first; None without a canary, and once all run it."""


SERVABLE = "Servable"
"""Condition that is False while pods of tenants do not start, and the model is at fault."""
MOST_CAUSES = 3
"""Most sentences about start failures in a message."""
SERVER_MEMORY_BYTES = 300 * 2**20
"""Memory that a pod needs besides its engine processes."""


@dataclass(frozen=True)
class Report:
    """Findings of this release about a model."""

    release: str
    usage: Usage
    model: TTSModel | None
    error: str | None = None
    """Why the stored object does not parse."""
    fallback: Problem | None = None
    """Problem of the fallback chain."""
    starts: tuple[PodStart, ...] = ()
    """Starts of pods that the status does not have yet."""


def model_status(body: Body, report: Report, now: datetime) -> dict[str, Any]:
    """The whole status: this release's report beside those of others, and what follows from all of them.

    It follows from the reports alone, so that releases that read the same reports write the same.
    """
    generation = int(body["metadata"].get("generation", 0))
    reports = {each["name"]: each for each in (body.get("status") or {}).get("releases") or ()}
    reports[report.release] = release_status(body, report, generation, now)
    releases = [reports[name] for name in sorted(reports)]
    current = [each for each in releases if each.get("observedGeneration") == generation]
    updated = [each["updatedTenants"] for each in current if "updatedTenants" in each]
    measured = load_seconds([seconds for each in current for seconds in each.get("startSeconds") or ()])
    return {
        "observedGeneration": generation,
        "tenants": sum(each["tenants"] for each in current),
        **({"updatedTenants": sum(updated)} if updated else {}),
        **({"loadSeconds": measured} if measured is not None else {}),
        **merged_canary(current),
        "conditions": merged([each["conditions"] for each in current]),
        "releases": releases,
    }


def release_status(body: Body, report: Report, generation: int, now: datetime) -> dict[str, Any]:
    """The entry of this release in `status.releases`."""
    usage, model, accepted = report.usage, report.model, judge(report.model, report.error)
    status = body.get("status") or {}
    own = next((each for each in status.get("releases") or () if each["name"] == report.release), status)
    before = own.get("conditions") or ()
    starts = servable(usage, before)
    mode = mode_of(model.metadata.annotations) if model else Mode.AUTO
    canary = canary_problem(model.metadata.name, usage, now) if model and mode is Mode.AUTO else None
    failed = canary if canary is not None and canary.reason == CANARY_FAILED else None
    problems = {
        "Accepted": accepted,
        "FallbackResolved": report.fallback,
        SERVABLE: starts,
        "RolledOut": canary or rolling_out(usage, mode),
        "Ready": accepted or report.fallback or (starts if everywhere(usage) else None) or failed or usage.blocked,
    }
    notes = {"Accepted": (bad_mode(model) or tight_memory(model)) if model else None, "RolledOut": mode_note(mode)}
    return {
        "name": report.release,
        "observedGeneration": generation,
        "tenants": usage.tenants,
        **({"updatedTenants": usage.updated} if usage.updated is not None else {}),
        **start_fields(own, report.starts),
        **({"canary": canary_fields(usage.canary)} if usage.canary is not None else {}),
        "conditions": conditions(problems, notes, before, generation, now),
    }


def start_fields(before: Mapping[str, Any], starts: Sequence[PodStart]) -> dict[str, Any]:
    """The last starts of pods in the entry of this release: those that it has, and new ones after them."""
    new = sorted(starts, key=lambda start: (start.ready_at, start.seconds))
    seconds = [*(before.get("startSeconds") or ()), *(start.seconds for start in new)][-MAX_STARTS:]
    if not seconds:
        return {}
    last = [known] if (known := fields.instant(before.get("lastStartTime"))) else []
    return {"startSeconds": seconds, "lastStartTime": timestamp(max([*last, *(start.ready_at for start in new)]))}


def canary_problem(model: str, usage: Usage, now: datetime) -> Problem | None:
    """Why the others do not take the change yet, and how to go on or back; None if they do."""
    state = usage.canary
    if state is None or usage.updated is None or state.released(now):
        return None
    progress = f"{usage.updated} of {usage.tenants} tenants run the model's last change"
    first = f"{len(state.updated)} of the {len(state.tenants)} that take it first"
    if state.failures:
        named = [f"{key} ({failure})" for key, failure in list(state.failures.items())[:2]]
        return Problem(
            CANARY_FAILED,
            f"{progress}; it fails for {len(state.failures)} of those that took it, such as {' and '.join(named)}; the"
            " others keep the version before. To go on regardless: kubectl annotate ttsmodel"
            f" {model} {ROLLOUT_MODE}={Mode.IGNORE_FAILURES}; to go back, apply the TTSModel as it was before",
        )
    if state.soaks_until is None:
        return Problem("CanaryRollingOut", f"{progress}, {first}; the others wait for these")
    return Problem(
        "CanarySoaking",
        f"{progress}, {first}; the others follow at {timestamp(state.soaks_until)} unless it fails for one of them",
    )


def canary_fields(state: CanaryState) -> dict[str, Any]:
    """The field `canary` of a report."""
    return {
        "tenants": len(state.tenants),
        "updatedTenants": len(state.updated),
        "failedTenants": len(state.failures),
        **({"soaksUntil": timestamp(state.soaks_until)} if state.soaks_until is not None else {}),
    }


def merged_canary(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts of all releases together, and the latest end of a soak time; empty without a canary."""
    found = [each["canary"] for each in reports if "canary" in each]
    if not found:
        return {}
    ends = [each["soaksUntil"] for each in found if "soaksUntil" in each]
    return {
        "canary": {
            **{name: sum(each[name] for each in found) for name in ("tenants", "updatedTenants", "failedTenants")},
            **({"soaksUntil": max(ends)} if len(ends) == len(found) else {}),
        }
    }


def merged(reports: Sequence[Sequence[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    """One condition of each type: the first that is False, else the first."""
    by_type: dict[str, Mapping[str, Any]] = {}
    for condition in (condition for report in reports for condition in report):
        known = by_type.setdefault(condition["type"], condition)
        if known["status"] == "True" and condition["status"] == "False":
            by_type[condition["type"]] = condition
    return list(by_type.values())


def own_part(status: Mapping[str, Any], release: str) -> dict[str, Any]:
    """The part of the whole status that this release applies: without the reports of others."""
    return {**status, "releases": [each for each in status["releases"] if each["name"] == release]}


def in_order(status: Mapping[str, Any] | None) -> dict[str, Any]:
    """The stored status with its lists in the order of `model_status`: field managers append to them."""
    stored = dict(status or {})
    if "releases" in stored:
        stored["releases"] = sorted(stored["releases"], key=lambda each: str(each["name"]))
    return stored


def servable(usage: Usage, before: Sequence[Mapping[str, Any]]) -> Problem | None:
    """Why pods of tenants do not start. It names no tenant: everybody who may use the model reads it."""
    failures = Counter(usage.start_failures).most_common()
    if not failures:
        known = next((each for each in before if each["type"] == SERVABLE and each["status"] == "False"), None)
        return Problem(known["reason"], known["message"]) if known and usage.unread else None
    failures.sort(key=lambda each: (-each[1], each[0]))
    counted = len(failures) > 1
    causes = [f"{problem.message}{f' ({count})' if counted else ''}" for problem, count in failures[:MOST_CAUSES]]
    more = [f"and {len(failures) - MOST_CAUSES} other causes"] if len(failures) > MOST_CAUSES else []
    scope = f"pods of {len(usage.start_failures)} of {usage.tenants} tenants do not start"
    return Problem(failures[0][0].reason, f"{scope}: {'; '.join([*causes, *more])}")


def everywhere(usage: Usage) -> bool:
    """Whether pods of every tenant do not start."""
    return 0 < usage.tenants <= len(usage.start_failures)


def rolling_out(usage: Usage, mode: Mode) -> Problem | None:
    """Why not every tenant runs the model's last change; None if all do, and while the model cannot be read."""
    if usage.updated is None or usage.updated >= usage.tenants:
        return None
    progress = f"{usage.updated} of {usage.tenants} tenants run the model's last change"
    failing = f"; {usage.failing}" if usage.failing else ""
    if mode is Mode.PAUSED:
        advice = f"remove the annotation {ROLLOUT_MODE} to resume"
        return Problem(PAUSED, f"{progress}; the annotation {ROLLOUT_MODE} pauses the rollout: {advice}")
    if usage.blocked is not None:
        return Problem(usage.blocked.reason, f"{progress}; {usage.blocked.message}")
    return Problem("RollingOut", f"{progress}{failing}")


def mode_note(mode: Mode) -> Problem | None:
    """A note while an annotation lifts the limits for every later change, too."""
    if mode not in {Mode.IGNORE_FAILURES, Mode.UNLIMITED}:
        return None
    message = f"the annotation {ROLLOUT_MODE} is {mode}, for later changes too: remove it to limit them again"
    return Problem("RolloutUnlimited" if mode is Mode.UNLIMITED else "FailuresIgnored", message)


def bad_mode(model: TTSModel) -> Problem | None:
    """A note if the annotation for the rollout mode has none of its values."""
    value = model.metadata.annotations.get(ROLLOUT_MODE)
    if value is None or value in set(Mode):
        return None
    return Problem("RolloutModeUnknown", f"the annotation {ROLLOUT_MODE} has no effect: set it to {', '.join(Mode)}")


def tight_memory(model: TTSModel) -> Problem | None:
    """A note if the engine processes may use more memory together than the pod: the kernel may kill it."""
    for option in model.spec.precisions:
        engine, limit = own_engine(model, option.name), option.resources.limits.get("memory")
        if limit is None or not isinstance(engine, LocalEngine) or engine.memory_limit_bytes is None:
            continue
        # The memory of adapters is in both: pods get it on top of limits.memory, processes on top of memoryLimit.
        needed_bytes = engine.processes * (engine.memory_limit_bytes - adapters_bytes(model)) + SERVER_MEMORY_BYTES
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
