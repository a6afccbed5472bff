"""Tables of rollouts, voices, keys and `top`, from objects; colours and formats for programs."""

from __future__ import annotations

import io
import json
import shlex
from typing import Any

import pytest
import yaml

from tts_operator.cli.colours import paint_for, painted
from tts_operator.cli.common_flags import as_data
from tts_operator.cli.keys_command import key_rows
from tts_operator.cli.rollout_command import cells as rollout_cells
from tts_operator.cli.rollout_command import waiting
from tts_operator.cli.tables import table
from tts_operator.cli.top_command import Seen, in_order, page, summary
from tts_operator.cli.voices_command import cells as voice_cells
from tts_operator.cli.voices_command import chosen, listen, speakers_of
from tts_operator.credentials.api_keys import KeyEntries
from tts_operator.fleet.model_view import ModelView
from tts_operator.fleet.pod_metrics import Activity
from tts_operator.fleet.tenant_view import TenantView
from tts_operator.objects.keys import Key


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def model(name: str = "kokoro", mode: str = "", **status: Any) -> ModelView:
    annotations = {"ttsfleet.io/rollout-mode": mode} if mode else {}
    voices = [
        {"name": "af_heart", "languages": ["en"]},
        {"name": "zf_xiaobei", "languages": ["zh"], "gender": "Female"},
    ]
    spec = {"engine": "Onnx", "languages": ["en", "zh"], "voices": voices, "license": "Apache-2.0"}
    return ModelView({"metadata": {"name": name, "annotations": annotations}, "spec": spec, "status": status})


def tenant(name: str = "acme", ready: int = 1, namespace: str = "team-acme", **status: Any) -> TenantView:
    pool = {"model": "kokoro", "role": "Entry", "ready": ready, "desired": 1, "min": 1, "max": 1}
    return TenantView(
        {"metadata": {"name": name, "namespace": namespace}, "spec": {}, "status": {"pools": [pool], **status}}
    )


def test_colours_are_for_terminals_that_want_them() -> None:
    assert paint_for(io.StringIO(), {}) is None
    assert paint_for(Terminal(), {"NO_COLOR": "1"}) is None
    assert paint_for(Terminal(), {"TERM": "dumb"}) is None
    assert paint_for(Terminal(), {"TERM": "xterm"}) is painted


def test_colours_do_not_move_columns() -> None:
    rows = [("READY", "NAME"), ("True", "a"), ("Unknown", "b")]
    plain, coloured = ("".join(table(rows, paint)) for paint in (None, painted))
    assert "\x1b[32mTrue\x1b[0m" in coloured
    for code in ("\x1b[32m", "\x1b[33m", "\x1b[0m"):
        coloured = coloured.replace(code, "")
    assert coloured == plain


def test_json_and_yaml_have_the_same_content() -> None:
    content = [{"name": "zhōng", "replicas": 2, "cost": None}]
    assert json.loads("".join(as_data("json", content))) == content
    assert yaml.safe_load("".join(as_data("yaml", content))) == content


def test_a_rollout_says_how_far_it_is_and_what_holds_it() -> None:
    rolled_out = {"type": "RolledOut", "status": "False", "reason": "RolloutPaused", "message": "Paused."}
    seen = model(mode="Paused", tenants=5, updatedTenants=2, conditions=[rolled_out])
    assert rollout_cells(seen) == ("kokoro", "Paused", "2/5", "False", "RolloutPaused", "Paused.")
    assert rollout_cells(model())[:4] == ("kokoro", "Auto", "-/-", "-")


def test_tenants_that_are_up_to_date_are_not_listed() -> None:
    waits = {"type": "Progressing", "status": "True", "reason": "WaitingForRollout", "message": "3 before it"}
    done = {"type": "Progressing", "status": "False", "reason": "Complete", "message": ""}
    tenants = [tenant("a", conditions=[waits]), tenant("b", conditions=[done]), tenant("c")]
    assert waiting("kokoro", tenants) == [("team-acme", "a", "WaitingForRollout", "3 before it")]
    assert waiting("other", tenants) == []


def test_a_voice_has_a_command_that_plays_it() -> None:
    speakers = speakers_of([tenant("idle", ready=0), tenant("busy"), tenant("later")])
    english, chinese = chosen(model().voices(), None, None)
    words = ["kubectl", "tts", "say", "busy", "早上好，请听听这个声音。", "-n", "team-acme"]
    assert shlex.split(listen(chinese, speakers)) == [*words, "--model", "kokoro", "--voice", "zf_xiaobei", "--play"]
    assert voice_cells(chinese, speakers)[:6] == ("zf_xiaobei", "zh", "Female", "Apache-2.0", "kokoro", "Onnx")
    assert voice_cells(english, {})[2] == "-"
    assert listen(english, {}) == ""


def test_voices_are_chosen_by_language_and_model() -> None:
    voices = list(model().voices())
    assert [each.name for each in chosen(voices, "ZH", None)] == ["zf_xiaobei"]
    assert chosen(voices, "z", None) == []
    assert chosen(voices, None, "other") == []


def test_keys_that_do_not_work_come_last() -> None:
    assert list(key_rows(["laptop"], KeyEntries(1, ("leaked",), ("note",)))) == [
        ("laptop", "usable"),
        ("leaked", "plain text"),
        ("note", "no hash"),
    ]


ACTIVE = Activity(12.5, 0.25, 0.42, 3, 1, ("requestsPerDay", 0.12))


def test_top_shows_the_busiest_first_and_says_what_is_missing() -> None:
    tenants = [tenant("a"), tenant("b", cost={"hourly": "2.10"})]
    seen = Seen(tenants, {Key("team-acme", "b"): ACTIVE}, {"no right to pods/proxy": 2})
    text = "".join(page(seen, None, wide=False)).splitlines()
    assert [each.name for each in in_order(seen)] == ["b", "a"]
    assert text[1].split() == [
        "team-acme",
        "b",
        "Unknown",
        "12.5",
        "0.42",
        "s",
        "0.2",
        *["12%", "of", "requestsPerDay", "2.1"],
    ]
    assert text[2].split() == ["team-acme", "a", "Unknown", "-", "-", "-", "-", "-"]
    assert text[3] == "Metrics of 2 pods are missing: no right to pods/proxy."
    assert summary(tenants[1], seen)["quotaLeft"] == {"limit": "requestsPerDay", "fraction": 0.12}


@pytest.mark.parametrize("wide", [False, True])
def test_top_without_tenants_says_so(wide: bool) -> None:
    assert "There are no tenants here" in "".join(page(Seen([], {}, {}), None, wide=wide))
