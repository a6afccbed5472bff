"""Turns the operator's table of kinds into the chart's RBAC rules and the scope of its admission policies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from tts_operator.objects.kinds import CHILDREN, KINDS, AddOn, Kind, Scope

HEADER = "{{/* Generated from operator/tts_operator/objects/kinds.py by `make generate`; do not edit. */}}\n"


@dataclass(frozen=True)
class Rule:
    """One RBAC rule."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    comment: str = ""
    cluster_wide_verbs: tuple[str, ...] = ()
    """Further verbs where the operator is not confined to namespaces."""


def rules(kinds: Iterable[Kind]) -> list[Rule]:
    """Rules that grant these kinds' verbs. Neighbours of one group with the same verbs share a rule."""
    single = [rule for kind in kinds for rule in _rules_of(kind)]
    return [
        Rule(group, tuple(resource for rule in same for resource in rule.resources), verbs, comment, more)
        for (group, verbs, comment, more), same in groupby(
            single, lambda rule: (rule.group, rule.verbs, rule.comment, rule.cluster_wide_verbs)
        )
    ]


def _rules_of(kind: Kind) -> Iterator[Rule]:
    yield Rule(kind.group, (kind.plural,), kind.verbs, kind.comment, kind.cluster_wide_verbs)
    for name, verbs in kind.subresources:
        yield Rule(kind.group, (f"{kind.plural}/{name}",), verbs)


def template() -> str:
    """Content of templates/_rules.tpl."""
    parts = [
        HEADER,
        define(
            "ttsfleet.tenantRules",
            "Verbs that the operator uses in a namespace with tenants, and no others.",
            rules(kind for kind in KINDS if kind.scope is Scope.TENANTS and kind.add_on is None),
            {add_on: rules(kind for kind in KINDS if kind.add_on is add_on) for add_on in AddOn},
        ),
        define(
            "ttsfleet.clusterRules",
            "Verbs that the operator uses on cluster-scoped objects.",
            rules(kind for kind in KINDS if kind.scope is Scope.CLUSTER and not kind.by_name),
        ),
        *(
            define(
                f"ttsfleet.rules.{kind.plural}",
                "Takes the name of the only object to grant access to; empty for all.",
                rules([kind]),
                by_name=True,
            )
            for kind in KINDS
            if kind.by_name
        ),
        _children(),
    ]
    return "\n".join(parts)


def define(
    name: str,
    comment: str,
    content: Iterable[Rule],
    of_add_ons: Mapping[AddOn, Iterable[Rule]] | None = None,
    *,
    by_name: bool = False,
) -> str:
    """A named template of rules, and of those that depend on an add-on."""
    body = "".join(_yaml(rule, by_name=by_name) for rule in content)
    for add_on, more in (of_add_ons or {}).items():
        rendered = "".join(_yaml(rule, by_name=False) for rule in more)
        body += f"{{{{- if .Values.{add_on}.enabled }}}}\n{rendered}{{{{- end }}}}\n"
    return f'{{{{/* {comment} */}}}}\n{{{{- define "{name}" -}}}}\n{body}{{{{- end }}}}\n'


def _yaml(rule: Rule, *, by_name: bool) -> str:
    comment = f"# {rule.comment}\n" if rule.comment else ""
    head = f"{comment}- apiGroups: [{rule.group or chr(34) * 2}]\n  resources: [{', '.join(rule.resources)}]\n"
    if not by_name:
        return f"{head}  verbs: [{', '.join(rule.verbs)}]\n"
    # RBAC cannot limit `create` by name: the API server does not know the name when it authorizes the request.
    create = f"{head}  verbs: [create]\n" if "create" in rule.verbs else ""
    others = ", ".join(verb for verb in rule.verbs if verb != "create")
    if rule.cluster_wide_verbs:  # one object has a name only for an operator that is confined
        others += f"{{{{ if not . }}}}, {', '.join(rule.cluster_wide_verbs)}{{{{ end }}}}"
    names = "  {{- with . }}\n  resourceNames: [{{ . | quote }}]\n  {{- end }}\n"
    return f"{create}{head}{names}  verbs: [{others}]\n"


def _children() -> str:
    """The resourceRules of admission policies over all children."""
    groups: dict[str, list[str]] = {}
    for kind in CHILDREN:
        groups.setdefault(kind.group, []).append(kind.plural)
    body = "".join(
        f"- apiGroups: [{group or chr(34) * 2}]\n"
        '  apiVersions: ["*"]\n'
        "  operations: [CREATE, UPDATE, DELETE]\n"
        f"  resources: [{', '.join(plurals)}]\n"
        for group, plurals in groups.items()
    )
    comment = "Writes of a tenant's children, in every version of their groups."
    return f'{{{{/* {comment} */}}}}\n{{{{- define "ttsfleet.childResourceRules" -}}}}\n{body}{{{{- end }}}}\n'
