"""Files of tenants that `kubectl tts` reads or refuses, and YAML whose meaning to kubectl is known."""

from __future__ import annotations

from tts_operator.cli.kubectl_yaml import JSON

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
        "spec.schedule.windows[0]: start and end must differ; for the whole day leave out both",
    ),
    "start without end": (
        "end: 06:00, ",
        "",
        "spec.schedule.windows[0]: start and end go together; leave out both for the whole day",
    ),
    "min above max": (
        "minReplicas: 1",
        "minReplicas: 5",
        "spec.schedule.windows[0]: minReplicas must not exceed maxReplicas; minReplicas is 0 only if",
    ),
    "min 0 below a max": (
        "minReplicas: 3",
        "minReplicas: 0",
        "spec.schedule.default: minReplicas must not exceed maxReplicas; minReplicas is 0 only if maxReplicas is 0 too",
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
        "spec.schedule: preset comes with its own default and windows; leave those out, or leave out preset",
    ),
    "no name": ("{name: night, ", "{", "spec.schedule.windows[0].name: required field is missing"),
    "no tenant": (
        "kind: TTSTenant",
        "kind: Tenant",
        "no TTSTenant found (apiVersion ttsfleet.io/v1alpha1)",
    ),
    "no YAML": ("metadata: {name: acme", "metadata: {name: ]", "cannot be read as YAML: line 7: "),
}

SCALARS: dict[str, JSON] = {
    "22:00": "22:00",  # PyYAML: 1320
    "06:00": "06:00",
    "00:00": "00:00",
    "24:00": "24:00",
    "12:30:45": "12:30:45",
    "190:20:30.15": "190:20:30.15",
    "1_0:00": "1_0:00",
    "2026-11-11": "2026-11-11",  # PyYAML: a date
    "2026-11-11T00:00:00Z": "2026-11-11T00:00:00Z",
    "2026-11-11 10:00:00": "2026-11-11 10:00:00",
    "y": True,  # PyYAML: "y"
    "Y": True,
    "n": False,
    "N": False,
    "yes": True,
    "Yes": True,
    "no": False,
    "NO": False,
    "on": True,
    "off": False,
    "true": True,
    "TRUE": True,
    "tRue": "tRue",
    "False": False,
    "~": None,
    "null": None,
    "Null": None,
    "nUll": "nUll",
    "": None,
    "3": 3,
    "+5": 5,
    "-0": 0,
    "3.0": 3,
    "0.1": 0.1,
    ".5": 0.5,
    "+.5": 0.5,
    "1.": 1,
    "1e3": 1000,
    "1.5e-7": 1.5e-7,
    "1e21": 1e21,
    "1e400": "1e400",
    "1_000": 1000,
    "010": 8,
    "0777": 511,
    "0o10": 8,
    "08": 8,
    "0x1F": 31,
    "-0x1F": -31,
    "0b11": 3,
    "12345678901234567": 12345678901234567,
    "99999999999999999999": 100000000000000000000,
    "9" * 5000: "9" * 5000,
    "=": "=",
    "'22:00'": "22:00",
    '"y"': "y",
    "'5'": "5",
    "!!str 5": "5",
    "!!str y": "y",
    "!!int '5'": 5,
    "!!float 3": 3,
    "!!bool y": True,
    "!!timestamp 2026-11-11": "2026-11-11",
    "!own 5": "5",
    "Mon": "Mon",
    "Asia/Shanghai": "Asia/Shanghai",
}

MAPPINGS: dict[str, tuple[str, JSON]] = {
    "keys become strings": (
        "{1: a, 2.5: b, y: c, n: d, 2026-11-11: e, 22:00: f}",
        {"1": "a", "2.5": "b", "true": "c", "false": "d", "2026-11-11": "e", "22:00": "f"},
    ),
    "a later key wins": ("{a: 1, b: 2, a: 3}", {"a": 3, "b": 2}),
    "an alias repeats its anchor": ("{a: &x {b: 22:00}, c: *x}", {"a": {"b": "22:00"}, "c": {"b": "22:00"}}),
    "a merge replaces what came before it": ("{a: 1, <<: {a: 2, b: 3}, b: 4}", {"a": 2, "b": 4}),
    "of merged mappings the first wins": ("{<<: [{a: 1}, {a: 2, b: 3}]}", {"a": 1, "b": 3}),
    "a quoted merge is a key": ("{'<<': {a: 1}}", {"<<": {"a": 1}}),
    "a block is text": ("a: |\n  22:00\nb: >-\n  y\n", {"a": "22:00\n", "b": "y"}),
}
