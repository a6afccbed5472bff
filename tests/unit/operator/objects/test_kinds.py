"""One fact in one place: every kind, label and annotation of the operator comes from its table."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest
import yaml

import tts_operator
from hack.chart_rules import Rule, rules, template
from tests.support.operator_builders import DAY, desired, observe
from tests.support.resources import model
from tts_operator.cluster.client import path_of
from tts_operator.cluster.paths import collection_path
from tts_operator.objects.kinds import (
    CHILDREN,
    CONFIG_MAP,
    KINDS,
    LEASE,
    NAMESPACE,
    RESOURCE_CLAIM_TEMPLATE,
    SECRET,
    SERVICE,
    TENANT,
    Kind,
    kind_of,
)
from tts_operator.objects.manifest import Ref

PACKAGE = Path(tts_operator.__path__[0])
LABELS_FILE = PACKAGE / "objects" / "labels.py"


def test_everything_that_builders_make_is_a_kind_of_child() -> None:
    tenant = observe(
        "espeak", "large", known=[model(), model("large")], schedule=DAY, auth={"modes": ["APIKey", "JWT"]}
    )
    made = {(manifest.ref.api_version, manifest.ref.kind) for manifest in desired(tenant).manifests}
    assert made <= {(kind.api_version, kind.name) for kind in CHILDREN}


@pytest.mark.parametrize("attribute", ["plural", "name"])
def test_no_two_kinds_share_a_name(attribute: str) -> None:
    assert [name for name, count in Counter(getattr(kind, attribute) for kind in KINDS).items() if count > 1] == []


@pytest.mark.parametrize("kind", CHILDREN, ids=lambda kind: kind.plural)
def test_the_operator_may_do_with_a_child_what_the_plan_needs(kind: Kind) -> None:
    assert {"get", "create", "patch", "delete"} <= set(kind.verbs)
    assert kind.watched == kind.listed == (kind not in {SECRET, RESOURCE_CLAIM_TEMPLATE})


def test_a_check_of_the_watches_covers_only_kinds_that_are_watched() -> None:
    assert all(kind.watched for kind in KINDS if kind.health_checked)


def test_the_table_names_the_paths_of_the_api_server() -> None:
    assert path_of(Ref.of(CONFIG_MAP, "team", "acme")) == "/api/v1/namespaces/team/configmaps/acme"
    assert collection_path(TENANT) == "/apis/ttsfleet.io/v1alpha1/ttstenants"
    with pytest.raises(KeyError):
        kind_of("v1", "Node")


def test_neighbours_with_the_same_verbs_share_a_rule() -> None:
    assert rules([CONFIG_MAP, SERVICE]) == [Rule("", ("configmaps", "services"), CONFIG_MAP.verbs)]
    assert [rule.resources for rule in rules([CONFIG_MAP, SECRET, SERVICE])] == [
        ("configmaps",),
        ("secrets",),
        ("services",),
    ]


def test_create_is_never_limited_by_name_because_the_api_server_cannot_check_it() -> None:
    text = template().partition(f'define "ttsfleet.rules.{LEASE.plural}" -}}}}')[2].partition("{{/*")[0]
    lines = [line for line in text.replace("{{ . | quote }}", "mine").splitlines() if "{{" not in line]
    create, others = yaml.safe_load("\n".join(lines))
    assert (create["verbs"], create.get("resourceNames")) == (["create"], None)
    assert (others["verbs"], others.get("resourceNames")) == (["get", "update"], ["mine"])


def test_all_namespaces_may_be_watched_unless_the_operator_is_confined() -> None:
    text = template().partition(f'define "ttsfleet.rules.{NAMESPACE.plural}" -}}}}')[2].partition("{{/*")[0]
    assert "verbs: [get{{ if not . }}, list, watch{{ end }}]" in text


def test_no_other_module_spells_a_label_or_an_annotation() -> None:
    elsewhere = [
        f"{file.relative_to(PACKAGE)}:{node.lineno}: {node.value}"
        for file in PACKAGE.rglob("*.py")
        if file != LABELS_FILE
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value.startswith("ttsfleet.io/") and node.value != TENANT.api_version
    ]
    assert elsewhere == []
