"""Files of tenants that `kubectl tts` reads or refuses, and YAML whose meaning to kubectl is known."""

from __future__ import annotations

TENANT = """\
apiVersion: v1
kind: Namespace
metadata: {name: team-acme}
---
apiVersion: ttsfleet.io/v1alpha1
kind: TTSTenant
metadata: {name: acme, namespace: team-acme}
spec:
  tier: VIP
  scenario: CustomerService
  models: [{name: espeak}]
  languageRouting: [{language: default, voice: en}]
  schedule:
    timeZone: Asia/Shanghai
    default: {minReplicas: 3, maxReplicas: 6}
    windows:
      - {name: night, start: 22:00, end: 06:00, minReplicas: 1, maxReplicas: 2}
    exceptions:
      - {name: singles-day, from: 2026-11-11, to: 2026-11-11, minReplicas: 6, maxReplicas: 20}
"""
WITHOUT_VALUES = """\
apiVersion: ttsfleet.io/v1alpha1
kind: TTSTenant
metadata: {name: acme, namespace: team-acme, labels: }
spec:
  models: [{name: espeak, precision: }]
  voiceAliases:
  schedule:
    timeZone:
    default: {minReplicas: 3}
    windows:
    # - {name: night, start: "22:00", end: "06:00", minReplicas: 1}
"""
SPAN = ("--from", "2026-11-10T00:00:00Z", "--to", "2026-11-11T22:00:00Z")

PROBLEMS: dict[str, tuple[str, str, str]] = {
    # the mistake: what is replaced, by what, and what the author reads
    "a zone that is not one": (
        "Asia/Shanghai",
        "Asia/Shangai",
        "spec.schedule.timeZone: 'Asia/Shangai' is not an IANA time zone, such as Europe/Paris or UTC",
    ),
    "an offset for a zone": (
        "Asia/Shanghai",
        "'+08:00'",
        'spec.schedule.timeZone: "+08:00" is not valid: write an IANA name, such as Asia/Shanghai or UTC',
    ),
    "start = end": (
        "end: 06:00",
        "end: 22:00",
        "spec.schedule.windows[0]: start and end must differ; omit both for the whole day",
    ),
    "start without end": (
        "end: 06:00, ",
        "",
        "spec.schedule.windows[0]: set both start and end, or neither for the whole day",
    ),
    "min above max": (
        "minReplicas: 1",
        "minReplicas: 5",
        "spec.schedule.windows[0]: minReplicas must not exceed maxReplicas, and may be 0 only if",
    ),
    "min 0 below a max": (
        "minReplicas: 3",
        "minReplicas: 0",
        "spec.schedule.default: minReplicas must not exceed maxReplicas, and may be 0 only if maxReplicas is 0",
    ),
    "a time that is a boolean": (
        "22:00",
        "y",
        "spec.schedule.windows[0].start: true is not valid: write local time as HH:MM, from 00:00 to 23:59",
    ),
    "24:00 for a start": (
        "22:00",
        "24:00",
        'spec.schedule.windows[0].start: "24:00" is not valid: write local time as HH:MM, from 00:00 to 23:59',
    ),
    "an hour without its zero": (
        "06:00",
        "6:00",
        'spec.schedule.windows[0].end: "6:00" is not valid: write local time as HH:MM, from 00:00 to 24:00',
    ),
    "a name that is a boolean": (
        "name: night",
        "name: n",
        "spec.schedule.windows[0].name: false is not valid: put it in quotes; unquoted y, n, yes, no, on and off",
    ),
    "a number that is a string": (
        "minReplicas: 3",
        'minReplicas: "3"',
        'spec.schedule.default.minReplicas: "3" is not valid: write a whole number from 0 to 1000',
    ),
    "a day in full": (
        "start: 22:00",
        "days: [Monday], start: 22:00",
        'spec.schedule.windows[0].days[0]: "Monday" is not valid: write a list of Mon, Tue, Wed, Thu, Fri, Sat, Sun',
    ),
    "dates the wrong way round": (
        "to: 2026-11-11",
        "to: 2026-11-10",
        "spec.schedule.exceptions[0]: from must not be later than to",
    ),
    "a date with slashes": (
        "from: 2026-11-11",
        "from: 2026/11/11",
        'spec.schedule.exceptions[0].from: "2026/11/11" is not valid: write a date as YYYY-MM-DD',
    ),
    "a field that is not one": (
        "windows:",
        "window:",
        "spec.schedule.window: unknown field; check its spelling",
    ),
    "a preset with windows": (
        "default: {minReplicas: 3, maxReplicas: 6}",
        "preset: DayNightWeekend",
        "spec.schedule: preset defines default and windows: remove those fields, or remove preset",
    ),
    "no name": ("{name: night, ", "{", "spec.schedule.windows[0].name: required field is missing"),
    "no tenant": (
        "kind: TTSTenant",
        "kind: Tenant",
        "no TTSTenant found (apiVersion ttsfleet.io/v1alpha1)",
    ),
    "no YAML": ("metadata: {name: acme", "metadata: {name: ]", "cannot be read as YAML: line 7: "),
}
