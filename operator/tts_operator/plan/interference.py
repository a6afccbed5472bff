"""Tells when a correction does not last: another program changes a child again after each of them, or on the way.

Two programs that each restore their own value would write for ever. So from the third correction of a field on the
operator names the program in the tenant's status, and writes the same value at most once a minute. A change of the
desired value is written at once, and so are the objects that bind a team: a pause would be its way around them. What
admission rewrites in the operator's own apply is noticed by the first one.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Self

from tts_operator.objects import fields
from tts_operator.objects.additions import additions
from tts_operator.objects.diff import FieldChange, Path, changed, dropped, field_name, owned_fields, readable
from tts_operator.objects.field_managers import field_managers, managers_text
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    NETWORK_POLICY,
    SCALED_OBJECT,
    SECRET,
)
from tts_operator.objects.manifest import Body, Ref
from tts_operator.objects.problem import Problem
from tts_operator.plan.actions import Action, Annotate, Apply, Delete, Remove, Scale
from tts_operator.plan.outcome import Interference, Outcome
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed

REPEATS = 3
"""Corrections of one field to the same value from which on somebody is said to contest it."""
QUIET_TIME = timedelta(minutes=10)
"""Time without a correction after which a field is no longer contested."""
FIRST_PAUSE = timedelta(seconds=10)
"""Shortest time between two corrections of a contested field; each further one doubles it."""
LONGEST_PAUSE = timedelta(minutes=1)
REWRITE_PAUSE = timedelta(minutes=5)
"""Time after which a value that admission rewrote is applied again, to see whether it still does."""
BINDING = frozenset(
    {CONFIG_MAP.name, SECRET.name, NETWORK_POLICY.name, HORIZONTAL_POD_AUTOSCALER.name, SCALED_OBJECT.name}
)
"""Kinds that hold limits of a team, which its members may edit: corrected at once, however often."""
MAX_FIELDS_NAMED = 3
AUTOSCALERS = frozenset({"kube-controller-manager", "keda"})
"""Field managers of replicas that move them by right: the HPA controller, and KEDA's operator."""
EXISTENCE: Path = ()
"""Path of a child as a whole: it was deleted."""
REPLICAS: Path = ("spec", "replicas")
BEYOND_BOUNDS: Path = (*REPLICAS, "bounds")
"""Path of replicas that the HPA corrects, not the operator."""
IMMUTABLE: Path = ("immutable",)


class Field(NamedTuple):
    """One field of one child."""

    ref: Ref
    path: Path


@dataclass
class Correction:
    """Corrections of one field to one value."""

    value: str
    shown: str
    """The value in messages; empty where it is long or secret."""
    last: datetime
    count: int = 1
    managers: set[str] = field(default_factory=set)
    seen: str = ""
    """Distinguishes foreign writes where the operator itself writes nothing."""

    @property
    def contested(self) -> bool:
        """Whether it happened so often that the operator pauses."""
        return self.count >= REPEATS

    @property
    def next_at(self) -> datetime:
        """Earliest time of the next correction."""
        doublings = max(min(self.count - REPEATS, 8), 0)
        return self.last + min(FIRST_PAUSE * (1 << doublings), LONGEST_PAUSE)


class WriteOf(NamedTuple):
    """A child, and whether it is applied or others' additions are removed from it."""

    ref: Ref
    removes: bool

    @classmethod
    def action(cls, action: Apply | Remove) -> Self:
        """The write that an action is."""
        return cls(action.ref, isinstance(action, Remove))


class Rewrite(NamedTuple):
    """Write of which the API server stored something else."""

    manifest: str
    stored: Mapping[Path, str]
    """Stored value of each field that is not the desired one."""
    problem: Problem
    at: datetime


@dataclass
class Record:
    """History of one tenant's children."""

    uid: str = ""
    """UID of the tenant: a namesake that follows begins anew."""
    corrections: dict[Field, Correction] = field(default_factory=dict)
    rewrites: dict[WriteOf, Rewrite] = field(default_factory=dict)


class Admitted(NamedTuple):
    """Actions that may be performed now, and those that are held back."""

    actions: list[Action]
    held: list[Action]


class InterferenceRecord:
    """Remembers corrections of every tenant. A new leader begins anew. Used by one event loop."""

    def __init__(self) -> None:
        self._records: dict[Key, Record] = {}

    def forget(self, key: Key) -> None:
        """Drop a tenant that is gone."""
        self._records.pop(key, None)

    def admit(self, actions: Sequence[Action], observed: Observed, now: datetime) -> Admitted:
        """Hold back corrections that would only be undone again, until their pause is over."""
        record = self._of(observed)
        held: list[Action] = []
        if record is not None:
            held = [each for each in actions if self._is_held(record, each, actions, observed, now)]
        held_refs = {action.ref for action in held if isinstance(action, Apply)}
        written = {action.ref for action in actions if isinstance(action, Apply | Remove) and action not in held}
        unwritten = any(ref.kind in {CONFIG_MAP.name, SECRET.name} for ref in held_refs)
        admitted: list[Action] = []
        for action in actions:
            if action in held or (unwritten and isinstance(action, Annotate)):
                continue
            if isinstance(action, Scale) and action.resource_version is None and action.ref not in written:
                if (live := observed.children.get(action.ref)) is not None:
                    version = str(live["metadata"].get("resourceVersion", ""))
                    admitted.append(replace(action, resource_version=version))
            elif action.ref not in held_refs or isinstance(action, Remove | Scale):
                admitted.append(self._owning(action, observed))
        return Admitted(admitted, held)

    def record(self, admitted: Admitted, observed: Observed, outcome: Outcome, now: datetime) -> Outcome:
        """Count what was corrected. Returns the outcome with the interference that it shows."""
        record = self._of(observed) or Record(observed.uid)
        record.corrections = {where: each for where, each in record.corrections.items() if now - each.last < QUIET_TIME}
        corrected = self._count(record, admitted, observed, outcome, now)
        writes = [each for each in (*admitted.actions, *admitted.held) if isinstance(each, Apply | Remove)]
        planned = {WriteOf.action(each) for each in writes}
        record.rewrites = {write: each for write, each in record.rewrites.items() if write in planned}
        foreign_scaling(record, observed, now)
        if record.corrections or record.rewrites:
            self._records[observed.key] = record
        else:
            self._records.pop(observed.key, None)
        return replace(
            outcome,
            interference=(*outcome.interference, *interference(record, corrected)),
            requeue_at=min(requeue_times(record, now), default=None),
        )

    def _of(self, observed: Observed) -> Record | None:
        record = self._records.get(observed.key)
        return record if record is not None and record.uid == observed.uid else None

    def _count(
        self, record: Record, admitted: Admitted, observed: Observed, outcome: Outcome, now: datetime
    ) -> set[Ref]:
        """Count each correction that was made. Returns the children that were corrected."""
        corrected = set()
        for action in admitted.actions:
            if isinstance(action, Delete) and not replaced(action, admitted.actions):
                record.corrections = {
                    where: each for where, each in record.corrections.items() if where[0] != action.ref
                }
            stored = outcome.applied.get(action.ref)
            if not isinstance(action, Apply | Remove | Scale):
                continue
            if action.ref not in (outcome.scaled if isinstance(action, Scale) else outcome.applied):
                continue  # not written: a conflict with a controller is no fight
            rewritten: set[Path] = set()
            if isinstance(action, Apply | Remove) and stored is not None:
                rewritten = note_rewrite(record, action, stored, now)
            live = observed.children.get(action.ref)
            for change in corrections(action, admitted.actions, live):
                where = Field(action.ref, change.path)
                if change.path in rewritten:
                    record.corrections.pop(where, None)
                    continue
                bump(record, where, change, field_managers(live, change.path) if live else [], now)
            corrected.add(action.ref)
        return corrected

    def _owning(self, action: Action, observed: Observed) -> Action:
        """Make the second correction of replicas one that shows who undoes it, unless that is known already."""
        if not isinstance(action, Scale) or action.resource_version is None or action.owns:
            return action
        record, live = self._of(observed), observed.children.get(action.ref)
        repeats = record is not None and Field(action.ref, REPLICAS) in record.corrections
        return replace(action, owns=repeats and live is not None and not field_managers(live, REPLICAS))

    def _is_held(
        self, record: Record, action: Action, actions: Sequence[Action], observed: Observed, now: datetime
    ) -> bool:
        if not isinstance(action, Apply | Remove | Scale):
            return False
        found = list(corrections(action, actions, observed.children.get(action.ref)))
        if not found:
            return False
        rewrite = None if isinstance(action, Scale) else record.rewrites.get(WriteOf.action(action))
        if isinstance(action, Apply | Remove) and rewrite is not None:
            unchanged = rewrite.manifest == text(action.manifest.body)
            same = {change.path: text(change.before) for change in found} == rewrite.stored
            if unchanged and same and now < rewrite.at + REWRITE_PAUSE:
                return True
        if action.ref.kind in BINDING:
            return False
        known = [record.corrections.get(Field(action.ref, change.path)) for change in found]
        return all(
            each is not None and each.contested and each.value == text(change.after) and now < each.next_at
            for each, change in zip(known, found, strict=True)
        )


def corrections(action: Apply | Remove | Scale, actions: Sequence[Action], live: Body | None) -> Iterator[FieldChange]:
    """Fields that an action sets to other values than they have."""
    if isinstance(action, Scale):
        if live is not None and not action.creates:
            yield FieldChange(REPLICAS, fields.replicas(live), action.replicas)
        return
    if isinstance(action, Remove):
        yield from (each.change for each in action.additions)
        return
    if action.create or live is None:
        was_immutable = any(isinstance(each, Delete) and each.ref == action.ref for each in actions)
        yield FieldChange(IMMUTABLE if was_immutable else EXISTENCE, None, None)
        return
    yield from changed(action.manifest.body, live, ())
    for path in dropped(owned_fields(live) or {}, action.manifest.body, ()):
        yield FieldChange(path, "set", None)


def replaced(action: Delete, actions: Sequence[Action]) -> bool:
    """Whether the plan creates again what it deletes."""
    return any(isinstance(each, Apply) and each.ref == action.ref for each in actions)


def bump(record: Record, where: Field, change: FieldChange, managers: Sequence[str], now: datetime) -> None:
    """Count one correction. One to another value than the last begins anew."""
    value, before = text(change.after), record.corrections.get(where)
    if before is None or before.value != value:
        shown = str(change.after) if where.ref.kind != SECRET.name and readable(change.after) else ""
        record.corrections[where] = Correction(value, shown, now, managers=set(managers))
        return
    before.count += 1
    before.last = now
    before.managers |= set(managers)


def foreign_scaling(record: Record, observed: Observed, now: datetime) -> None:
    """Count replicas that another program set beyond the HPA's bounds: the HPA corrects them, not the operator."""
    for ref, live in observed.children.items():
        bounds = lookup.autoscaler_bounds(observed, ref.name) if ref.kind == DEPLOYMENT.name else None
        if bounds is None or fields.replicas(live) in {0, *range(bounds.min_replicas, bounds.max_replicas + 1)}:
            continue  # zero is corrected by the operator
        managers = [name for name in field_managers(live, REPLICAS) if name not in AUTOSCALERS]
        generation = str(live["metadata"].get("generation", ""))
        where = Field(ref, BEYOND_BOUNDS)
        before = record.corrections.get(where)
        if not managers or (before is not None and before.seen == generation):
            continue
        bump(record, where, FieldChange(BEYOND_BOUNDS, None, "bounds"), managers, now)
        record.corrections[where].seen = generation


def note_rewrite(record: Record, action: Apply | Remove, stored: Body, now: datetime) -> set[Path]:
    """Record whether the API server stored something else than was written. Returns the fields."""
    write = WriteOf.action(action)
    if isinstance(action, Apply):
        found = list(changed(action.manifest.body, stored, ()))
    else:
        removed = {each.path for each in action.additions}
        left = additions(action.manifest.body, stored, labels=True)
        found = [each.change for each in left if each.path in removed]
    if not found:
        record.rewrites.pop(write, None)
        return set()
    values = {change.path: text(change.before) for change in found}
    problem = rewritten(action.ref, found)
    record.rewrites[write] = Rewrite(text(action.manifest.body), values, problem, now)
    return set(values)


def rewritten(ref: Ref, found: Sequence[FieldChange]) -> Problem:
    """Problem of a child that admission rewrites."""

    def sentence(change: FieldChange) -> str:
        values = (change.before, change.after)
        if change.after is None:
            return f"{field_name(change.path)} is added again"
        if ref.kind == SECRET.name or not all(map(readable, values)):
            return f"{field_name(change.path)} is stored with another value than the operator's"
        return f"{field_name(change.path)} is stored as {change.before}, and the operator sets {change.after}"

    named = sorted(map(sentence, found))
    return Problem(
        "RewrittenByAdmission",
        f"{'; '.join(limited(named))}: a mutating admission policy or webhook rewrites it. Exclude objects with the"
        " label app.kubernetes.io/managed-by=tts-operator from it; `kubectl get mutatingadmissionpolicies,"
        "mutatingwebhookconfigurations` lists them",
    )


def interference(record: Record, corrected: set[Ref]) -> Iterator[Interference]:
    """Interference with each child, by reason."""
    for write, rewrite in sorted(record.rewrites.items()):
        yield Interference(write.ref, rewrite.problem, write.ref in corrected)
    contested: dict[tuple[Ref, str], dict[Path, Correction]] = {}
    for where, each in sorted(record.corrections.items(), key=lambda item: item[0]):
        if each.contested:
            contested.setdefault((where.ref, reason_of(where)), {})[where.path] = each
    for (ref, reason), paths in contested.items():
        yield Interference(ref, contested_problem(ref, reason, paths), ref in corrected)


def reason_of(where: Field) -> str:
    """Reason of a contested field."""
    if where.path == EXISTENCE:
        return "DeletedRepeatedly"
    if where.path in (REPLICAS, BEYOND_BOUNDS) and where.ref.kind == DEPLOYMENT.name:
        return "ReplicasContested"
    return "FieldContested"


def contested_problem(ref: Ref, reason: str, paths: Mapping[Path, Correction]) -> Problem:
    """Problem of a child that another program changes again and again. It has no number that grows."""
    who = managers_text(sorted({manager for each in paths.values() for manager in each.managers} - AUTOSCALERS))
    pause = f"; meanwhile the operator corrects it at most once in {int(LONGEST_PAUSE.total_seconds())} seconds"
    if ref.kind in BINDING:
        pause = "; the operator corrects it each time"
    if reason == "DeletedRepeatedly":
        return Problem(
            "DeletedRepeatedly",
            f"is deleted again and again by a program that only the audit log of the API server names: stop it{pause}",
        )
    if reason == "ReplicasContested":
        return Problem(
            "ReplicasContested",
            f"{who} keeps scaling it, against the HPA and the operator: stop it, and set spec.schedule or spec.suspend"
            " of the TTSTenant instead",
        )
    named = [
        f"{field_name(path)}{f' (the operator sets {each.shown})' if each.shown else ''}"
        for path, each in sorted(paths.items())
    ]
    return Problem(
        "FieldContested",
        f"{who} keeps changing {', '.join(limited(named))}: stop it, or change the TTSTenant or TTSModel instead"
        f"{pause}",
    )


def limited(parts: Sequence[str]) -> list[str]:
    """The first few, and how many more there are."""
    more = [f"and {len(parts) - MAX_FIELDS_NAMED} more"] if len(parts) > MAX_FIELDS_NAMED else []
    return [*parts[:MAX_FIELDS_NAMED], *more]


def requeue_times(record: Record, now: datetime) -> Iterator[datetime]:
    """When to look again without an event: at the end of a pause, and when nothing is contested any more."""
    for each in record.corrections.values():
        if each.contested:
            yield each.next_at if each.next_at > now else each.last + QUIET_TIME
    for rewrite in record.rewrites.values():
        yield rewrite.at + REWRITE_PAUSE


def text(value: Any) -> str:
    """A value as text, to compare it with another one later."""
    return json.dumps(value, sort_keys=True, default=str)
