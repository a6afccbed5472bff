"""A tenant's schedule with the dates of its TTSCalendars, from files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tts_operator.api import Schedule, TTSCalendar, TTSTenant
from tts_operator.calendar.dates import references, with_dates
from tts_operator.cli.tenant_file import STDIN, TenantFileError, calendars_in, documents_of, tenant_in


@dataclass(frozen=True)
class ScheduleFiles:
    """A tenant of the files, and the calendars in them."""

    tenant: TTSTenant
    """The tenant, with the dates of the calendars in its schedule."""
    calendars: Mapping[str, TTSCalendar]

    @classmethod
    def of(cls, tenant: TTSTenant, calendars: Mapping[str, TTSCalendar]) -> ScheduleFiles:
        """The tenant as it is in its file, with the dates of these calendars."""
        if tenant.spec.schedule is None:
            return cls(tenant, calendars)
        spec = tenant.spec.model_copy(update={"schedule": with_dates(tenant.spec.schedule, calendars)})
        return cls(tenant.model_copy(update={"spec": spec}), calendars)

    @property
    def schedule(self) -> Schedule | None:
        """The schedule, with the dates of the calendars."""
        return self.tenant.spec.schedule

    def left_out(self) -> Iterator[str]:
        """A sentence for each exception whose calendar is in none of the files."""
        for exception, name in references(self.schedule).items():
            if name not in self.calendars:
                yield (
                    f"spec.schedule.exceptions[{exception}] is left out: TTSCalendar {name} is in none of the files;"
                    f" add it: kubectl get ttscalendar {name} -o yaml > {name}.yaml, and -f {name}.yaml"
                )


def read_schedule(paths: Sequence[str], tenant: str | None, namespace: str | None) -> ScheduleFiles:
    """The files' only TTSTenant, or the one of this name, with their calendars. Raises TenantFileError."""
    objects = documents_of(paths)
    try:
        return ScheduleFiles.of(tenant_in(objects, tenant, namespace), calendars_in(objects))
    except TenantFileError as error:
        if len(paths) > 1:
            raise
        file = "standard input" if paths[0] == STDIN else paths[0]
        raise TenantFileError(*(f"{file}: {problem}" for problem in error.problems)) from error
