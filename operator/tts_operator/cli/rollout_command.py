"""`kubectl tts rollout`: how far the last change of each model has got, and whether it may go on."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from tts_operator.cli.arguments import object_name
from tts_operator.cli.colours import paint_for
from tts_operator.cli.command import Answer, CommandError
from tts_operator.cli.common_flags import JSON, YAML, add_cluster_flags, add_output_flag, as_data
from tts_operator.cli.tables import table
from tts_operator.fleet.kubectl import Kubectl
from tts_operator.fleet.model_view import MODELS, ModelView
from tts_operator.fleet.tenant_view import TenantView
from tts_operator.objects.labels import ROLLOUT_MODE
from tts_operator.rollout.situation import Mode

HEADER = ("MODEL", "MODE", "UPDATED", "ROLLED OUT", "REASON", "MESSAGE")
TENANTS_HEADER = ("NAMESPACE", "TENANT", "STATE", "MESSAGE")
PURPOSES = {
    "status": "Show how many tenants run the last change of each model, and what holds the others.",
    "pause": "Let no further tenant start a change of the model. Those that roll go on.",
    "resume": "Let tenants start again: remove the annotation that paused the rollout.",
}


def add_flags(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(required=True, dest="action", metavar="ACTION", title="actions")
    for name, purpose in PURPOSES.items():
        action = actions.add_parser(name, help=purpose, description=purpose)
        required = name != "status"
        help_ = "Name of the TTSModel." + ("" if required else " With it, its tenants are shown, too. (default: all)")
        action.add_argument("model", nargs=None if required else "?", type=object_name, metavar="MODEL", help=help_)
        add_cluster_flags(action)
        if name == "status":
            add_output_flag(action)
        action.set_defaults(parser=action)


def run(options: argparse.Namespace) -> Answer:
    """Show rollouts, or set whether one may go on."""
    kubectl = Kubectl.of(options)
    if options.action == "status":
        return _status(kubectl, options)
    return _set_paused(kubectl, options.model, pause=options.action == "pause")


def _status(kubectl: Kubectl, options: argparse.Namespace) -> Answer:
    models = [_model(kubectl, options.model)] if options.model else _all(kubectl)
    if options.output in (JSON, YAML):
        return Answer(as_data(options.output, [summary(model) for model in models]))
    if not models:
        return Answer.of("There are no TTSModels.\n")
    parts = [*table([HEADER, *map(cells, models)], paint_for())]
    if options.model:
        parts += _tenants(kubectl, models[0])
    return Answer(parts)


def cells(model: ModelView) -> tuple[str, ...]:
    """One line for a model."""
    rolled_out = model.condition("RolledOut")
    updated, tenants = ("-" if number is None else str(number) for number in model.tenants)
    told = (rolled_out.status, rolled_out.reason, rolled_out.message) if rolled_out else ("-", "-", "")
    return (model.name, model.mode.value, f"{updated}/{tenants}", *told)


def summary(model: ModelView) -> dict[str, Any]:
    """One model for programs."""
    rolled_out = model.condition("RolledOut")
    updated, tenants = model.tenants
    return {
        "model": model.name,
        "mode": model.mode.value,
        "updatedTenants": updated,
        "tenants": tenants,
        "rolledOut": rolled_out.status == "True" if rolled_out else None,
        "reason": rolled_out.reason if rolled_out else None,
        "message": rolled_out.message if rolled_out else None,
    }


def waiting(model: str, tenants: Iterable[TenantView]) -> list[tuple[str, ...]]:
    """Tenants with a pool of the model that are not up to date: those that wait, roll, or fail."""
    using = (tenant for tenant in tenants if any(pool.get("model") == model for pool in tenant.pools))
    return [
        (tenant.namespace, tenant.name, progress.reason, progress.message)
        for tenant in using
        if (progress := tenant.progressing) is not None and progress.reason != "Complete"
    ]


def _tenants(kubectl: Kubectl, model: ModelView) -> Sequence[str]:
    bodies = kubectl.everywhere().permitted_items("ttstenants.ttsfleet.io")
    if bodies is None:
        return ["\nYou may not list the tenants of all namespaces.\n"]
    rows = waiting(model.name, map(TenantView, bodies))
    return ["\n", *table([TENANTS_HEADER, *rows], paint_for())] if rows else []


def _set_paused(kubectl: Kubectl, name: str, *, pause: bool) -> Answer:
    model = _model(kubectl, name)
    if pause and model.annotation == Mode.PAUSED:
        return Answer.of(f"rollouts of {name} are paused already\n")
    if not pause and not model.annotation:
        return Answer.of(f"rollouts of {name} are not paused\n")
    value = Mode.PAUSED.value if pause else None
    kubectl.patch(MODELS, name, {"metadata": {"annotations": {ROLLOUT_MODE: value}}})
    before = f"; its mode was {model.annotation}" if model.annotation not in ("", Mode.PAUSED) else ""
    if pause:
        return Answer.of(f"no further tenant starts a change of {name}; those that roll go on{before}\n")
    return Answer.of(f"changes of {name} roll out again, a few tenants at a time{before}\n")


def _model(kubectl: Kubectl, name: str) -> ModelView:
    body = kubectl.object(MODELS, name)
    if body is None:
        raise CommandError(f"there is no TTSModel {name}; kubectl tts rollout status lists them")
    return ModelView(body)


def _all(kubectl: Kubectl) -> list[ModelView]:
    return sorted(map(ModelView, kubectl.items(MODELS)), key=lambda model: model.name)
