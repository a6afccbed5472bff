"""Why a tenant cannot use a model, or cannot fall back to it."""

from collections.abc import Sequence

from tts_operator.api.support import unsupported_in_model
from tts_operator.objects.problem import Problem
from tts_operator.snapshot.observed import Observed

FALLBACK_REASONS = {
    "ModelNotFound": "FallbackNotFound",
    "ModelInvalid": "FallbackInvalid",
    "ModelNotAllowed": "FallbackNotAllowed",
    "ModelNotSupported": "FallbackNotSupported",
}
"""Why a model cannot stand in for another, by why nobody can use it."""


def not_supported(phrases: Sequence[str]) -> str:
    """One line that names what to take out."""
    it = "it" if len(phrases) == 1 else "them"
    return f"{', '.join(phrases)}: not supported yet; change {it}, or take {it} out of the spec"


def model_problem(observed: Observed, name: str) -> Problem | None:
    """Why the tenant cannot use the model; None if it can."""
    model = observed.models.get(name)
    if name in observed.model_errors:
        return Problem("ModelInvalid", f"TTSModel {name} cannot be read: {observed.model_errors[name]}")
    if model is None:
        return Problem(
            "ModelNotFound",
            f"spec.models names {name}, and there is no TTSModel of that name: publish it, or correct the name",
        )
    allowed = model.spec.allowed_namespaces
    labels = observed.namespace_labels
    if allowed is not None and any(labels.get(label) != value for label, value in allowed.match_labels.items()):
        wanted = ", ".join(f"{label}={value}" for label, value in sorted(allowed.match_labels.items()))
        message = f"TTSModel {name} is only for namespaces labelled {wanted}, and {observed.key.namespace} is not"
        return Problem("ModelNotAllowed", message)
    if later := list(unsupported_in_model(model.spec)):
        return Problem("ModelNotSupported", f"TTSModel {name}: {not_supported(later)}")
    return None


def fallback_problem(observed: Observed, by: str, name: str) -> Problem | None:
    """Why a model cannot speak in place of another; None if it can."""
    found = model_problem(observed, name)
    if found is None:
        return None
    message = "there is no TTSModel of that name" if found.reason == "ModelNotFound" else found.message
    return Problem(FALLBACK_REASONS[found.reason], f"TTSModel {by} falls back to {name}: {message}")
