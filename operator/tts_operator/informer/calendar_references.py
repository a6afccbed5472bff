"""TTSCalendars that a stored TTSTenant refers to: a change of one reaches these tenants, and no others."""

import json
from collections.abc import Iterator, Mapping
from itertools import chain

from tts_operator.objects.manifest import Body

FIELD = "calendarRef"


def named_calendars(tenant: Body) -> frozenset[str]:
    """Names of the calendars, by its spec or the last accepted one. The tenant need not be valid."""
    accepted = str((tenant.get("status") or {}).get("acceptedSpec") or "")
    specs = (tenant.get("spec"), _parsed(accepted) if FIELD in accepted else None)
    return frozenset(chain.from_iterable(map(_named, specs)))


def _named(spec: object) -> Iterator[str]:
    schedule = spec.get("schedule") if isinstance(spec, Mapping) else None
    exceptions = schedule.get("exceptions") if isinstance(schedule, Mapping) else None
    for each in exceptions if isinstance(exceptions, list) else ():
        reference = each.get(FIELD) if isinstance(each, Mapping) else None
        if isinstance(reference, Mapping) and isinstance(reference.get("name"), str):
            yield str(reference["name"])


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
