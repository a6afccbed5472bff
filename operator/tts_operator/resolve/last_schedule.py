"""The last accepted schedule, by which replicas go on while a later spec is refused.

It is an annotation of the default pool's HPA: it must outlive the operator, and the stored spec no longer has it.
"""

from typing import NamedTuple

from pydantic import ValidationError

from tts_operator.api import Schedule
from tts_operator.objects import fields
from tts_operator.objects.field_managers import field_managers
from tts_operator.objects.kinds import HORIZONTAL_POD_AUTOSCALER
from tts_operator.objects.labels import SCHEDULE
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed


class LastSchedule(NamedTuple):
    """The schedule of the last accepted spec, and the pool that follows it."""

    pool: str
    schedule: Schedule


def last_schedule(observed: Observed) -> LastSchedule | None:
    """The schedule that was last accepted; None if that spec had none, or there never was one."""
    names = [ref.name for ref in sorted(observed.children) if ref.kind == HORIZONTAL_POD_AUTOSCALER.name]
    entry = lookup.selected_pool(observed)
    for name in sorted(names, key=lambda name: name != entry):  # in a cutover an older default pool has one, too
        live = lookup.autoscaler(observed, name)
        if live is None or field_managers(live, ("metadata", "annotations", SCHEDULE)):
            continue  # somebody else wrote it, who may not choose replicas
        if text := fields.annotation(live, SCHEDULE):
            try:
                return LastSchedule(name, Schedule.model_validate_json(text))
            except ValidationError:
                continue  # edited by hand
    return None


def schedule_text(schedule: Schedule) -> str:
    """The annotation's value."""
    return schedule.model_dump_json(by_alias=True, exclude_defaults=True)
