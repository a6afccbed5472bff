"""Tells of changes of others in a pod template whose correction waits, because it would replace pods."""

from collections.abc import Iterator, Mapping, Sequence

from tts_operator.desired.build import Desired
from tts_operator.objects.diff import Path, changed, field_name
from tts_operator.objects.field_managers import field_managers, managers_text
from tts_operator.objects.ownership import controlled_by
from tts_operator.objects.problem import Problem
from tts_operator.plan.interference import limited
from tts_operator.plan.outcome import Interference
from tts_operator.snapshot.observed import Observed

TEMPLATE: Path = ("spec", "template")


def postponed(desired: Desired, observed: Observed) -> Iterator[Interference]:
    """Changes of others in pod templates that stay as they are for now: their correction replaces pods."""
    for ref, later in sorted(desired.later.items(), key=lambda each: each[0]):
        live = observed.children.get(ref)
        if later is None or live is None or not controlled_by(live, observed.uid):
            continue
        found = {
            change.path: managers
            for change in changed(later.body["spec"]["template"], live["spec"]["template"], TEMPLATE)
            if change.before is not None and (managers := field_managers(live, change.path))
        }
        if found:
            yield Interference(ref, changed_meanwhile(found))


def changed_meanwhile(found: Mapping[Path, Sequence[str]]) -> Problem:
    """Problem of a pod template that another program has changed, and that stays as it is for now."""
    who = managers_text(sorted({name for managers in found.values() for name in managers}))
    named = ", ".join(limited([field_name(path) for path in sorted(found)]))
    return Problem(
        "ChangedMeanwhile",
        f"{who} has changed {named}, and the rollout of a change waits for its turn: the operator corrects both then",
    )
