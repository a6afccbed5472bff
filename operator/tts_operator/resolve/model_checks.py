"""Whether a tenant can use a model, directly or as a fallback."""

from collections.abc import Mapping

from tts_operator.api import TTSModel
from tts_operator.api.support import not_supported, unsupported_in_model
from tts_operator.objects.problem import Problem
from tts_operator.resolve.suggestions import closest
from tts_operator.snapshot.observed import Observed

FALLBACK_REASONS = {
    "ModelNotFound": "FallbackNotFound",
    "ModelInvalid": "FallbackInvalid",
    "ModelNotAllowed": "FallbackNotAllowed",
    "ModelNotSupported": "FallbackNotSupported",
    "AcceleratorsNotAllowed": "FallbackNotAllowed",
    "ModelHostNotAllowed": "FallbackNotAllowed",
    "SourceSecretNotFound": "FallbackSourceUnusable",
    "SourceSecretInvalid": "FallbackSourceUnusable",
    "SourceSecretForbidden": "FallbackSourceUnusable",
}
"""Reason why a model cannot be a fallback, by the reason why it cannot be used."""


def fallback_not_found(model: str, name: str) -> Problem:
    """The fallback of this model names a model that does not exist."""
    return Problem(
        "FallbackNotFound",
        f"TTSModel {model} falls back to TTSModel {name}, which does not exist: publish it or correct spec.fallback",
    )


def missing_labels(observed: Observed, model: TTSModel) -> Mapping[str, str]:
    """The labels that the model asks of namespaces, if the tenant's does not have all of them; else empty."""
    required = model.spec.allowed_namespaces.match_labels if model.spec.allowed_namespaces else {}
    labels = observed.namespace_labels
    return required if any(labels.get(label) != value for label, value in required.items()) else {}


def model_problem(observed: Observed, name: str) -> Problem | None:
    """Why the tenant cannot use the model; None if it can."""
    model = observed.models.get(name)
    if name in observed.model_errors:
        return Problem("ModelInvalid", f"TTSModel {name} is invalid: {observed.model_errors[name]}")
    if model is None:
        usable = (each.metadata.name for each in observed.published if not missing_labels(observed, each))
        return Problem(
            "ModelNotFound",
            f"spec.models names TTSModel {name}, which does not exist: publish the model or correct the name;"
            f" models that this namespace may use: {closest(name, usable)}",
        )
    if missing := missing_labels(observed, model):
        required = ", ".join(f"{label}={value}" for label, value in sorted(missing.items()))
        return Problem(
            "ModelNotAllowed",
            f"TTSModel {name} allows only namespaces with the labels {required}, which namespace"
            f" {observed.key.namespace} does not have: ask the platform team",
        )
    if unsupported := list(unsupported_in_model(model.spec)):
        return Problem("ModelNotSupported", f"TTSModel {name}: {not_supported(unsupported)}")
    credentials = observed.source_credentials.get(name)
    return credentials.problem if credentials else None


def fallback_problem(model: str, name: str, problem: Problem | None) -> Problem | None:
    """Why the model named ``name`` cannot be the fallback of ``model``, given why it cannot be used; None if it can."""
    if problem is None:
        return None
    if problem.reason == "ModelNotFound":
        return fallback_not_found(model, name)
    return Problem(FALLBACK_REASONS[problem.reason], f"TTSModel {model} falls back to {name}: {problem.message}")
