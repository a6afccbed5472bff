"""Rows of everything that watches have told, and the pages that hear of each change."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from tts_operator.clock import Clock
from tts_operator.console.rows import Row, model_row, rollout_id, rollout_row, tenant_row
from tts_operator.console.week import week_json, week_of
from tts_operator.informer.indexer import Change, Indexer
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import DEPLOYMENT, MODEL, TENANT
from tts_operator.objects.manifest import Body

ROWS_AT_ONCE = 200
"""Most tenants of one message: a page draws between two of them."""
Message = dict[str, Any]


@dataclass(eq=False)
class Subscription:
    """One open page, and what it has not been told yet. A page that reads slowly is told the latest state only."""

    tenants: dict[Key, None] = field(default_factory=dict)
    models: bool = True
    rollouts: bool = True
    notices: bool = True
    weeks: dict[str, str] = field(default_factory=dict)
    """Monday of each week that the page has."""
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Fleet:
    """Receives changes of objects, and keeps a row for each."""

    def __init__(self, clock: Clock) -> None:
        self.indexer = Indexer()
        self._clock = clock
        self._tenants: dict[Key, Row] = {}
        self._models: dict[str, Row] = {}
        self._rollouts: dict[str, Row] = {}
        self._notices: dict[str, str] = {}
        self._schedules: dict[str, str] = {}
        self._subscriptions: set[Subscription] = set()
        self.synced = False
        """Whether all tenants that may be read have been read once."""

    def repaired(self, change: Change) -> None:
        pass  # `changed` follows

    def delivered(self, plural: str, version: str) -> None:
        pass  # what changes nothing is no news

    def changed(self, change: Change) -> None:
        held = change.held
        body = None if change.after is None else change.after.body()
        if held.kind is TENANT:
            self._tenant(Key(held.namespace, held.name), body)
        elif held.kind is MODEL:
            self._put(self._models, held.name, None if body is None else model_row(body))
            self._tell("models")
        elif held.kind is DEPLOYMENT:
            name = rollout_id(held.body())
            if self._put(self._rollouts, name, None if body is None else rollout_row(body)):
                self._tell("rollouts")

    def notice(self, subject: str, sentence: str | None) -> None:
        """Tell pages what cannot be read, and why; None once it can."""
        if self._notices.get(subject) != sentence:
            if sentence is None:
                self._notices.pop(subject, None)
            else:
                self._notices[subject] = sentence
            self._tell("notices")

    def listed(self) -> None:
        """Note that all tenants have been read once."""
        if not self.synced:
            self.synced = True
            self._tell("notices")

    def body(self, key: Key) -> Body | None:
        """A tenant as the API server has it; None for one that does not exist."""
        held = self.indexer.get(TENANT, key.namespace, key.name)
        return held.body() if held else None

    def row(self, key: Key) -> Row | None:
        """A tenant's row."""
        return self._tenants.get(key)

    def time_passed(self) -> None:
        """Compute rows anew whose next change is past, and weeks that are over."""
        now = self._clock.now()
        for key, row in list(self._tenants.items()):
            change = row["next"]
            if change is not None and datetime.fromisoformat(change["at"]) <= now:
                self._tenant(key, self.body(key))
        for each in self._subscriptions:
            outdated = {name for name, monday in each.weeks.items() if self._week(name).get("monday", "") != monday}
            if outdated:
                each.tenants.update((key, None) for key, row in self._tenants.items() if row["week"] in outdated)
                each.news.set()

    def subscribe(self) -> Subscription:
        """Begin to tell a page everything."""
        subscription = Subscription(dict.fromkeys(self._tenants))
        subscription.news.set()
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Forget a page that is closed."""
        self._subscriptions.discard(subscription)

    def messages(self, subscription: Subscription) -> Iterator[Message]:
        """Take what a page has not been told yet. The last message has no rows left behind it."""
        subscription.news.clear()
        first = True
        while first or subscription.tenants:
            first = False
            yield self._message(subscription)

    def _message(self, subscription: Subscription) -> Message:
        keys = list(islice(subscription.tenants, ROWS_AT_ONCE))
        for key in keys:
            del subscription.tenants[key]
        rows = [row for key in keys if (row := self._tenants.get(key)) is not None]
        message: Message = {
            "tenants": rows,
            "gone": [str(key) for key in keys if key not in self._tenants],
            "weeks": dict(self._new_weeks(subscription, {row["week"] for row in rows})),
            "synced": self.synced and not subscription.tenants,
        }
        if subscription.models:
            message["models"] = [self._models[name] for name in sorted(self._models)]
        if subscription.rollouts:
            message["rollouts"] = [self._rollouts[name] for name in sorted(self._rollouts)]
        if subscription.notices:
            message["notices"] = [self._notices[name] for name in sorted(self._notices)]
        subscription.models = subscription.rollouts = subscription.notices = False
        return message

    def _new_weeks(self, subscription: Subscription, names: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        for name in names:
            week = self._week(name)
            if week and subscription.weeks.get(name) != week["monday"]:
                subscription.weeks[name] = week["monday"]
                yield name, week

    def _week(self, name: str) -> dict[str, Any]:
        week = week_of(self._schedules[name], self._clock.now())
        return {} if week is None else week_json(week)

    def _tenant(self, key: Key, body: Body | None) -> None:
        row = None
        if body is not None:
            row = tenant_row(body, self._clock.now())
            schedule = row.pop("schedule")
            row["week"] = hashlib.sha256(schedule.encode()).hexdigest()[:12]
            self._schedules[row["week"]] = schedule
        if self._put(self._tenants, key, row):
            for each in self._subscriptions:
                each.tenants[key] = None
                each.news.set()

    def _put(self, rows: dict[Any, Row], name: object, row: Row | None) -> bool:
        """Whether that is news."""
        if rows.get(name) == row:
            return False
        if row is None:
            del rows[name]
        else:
            rows[name] = row
        return True

    def _tell(self, part: str) -> None:
        for each in self._subscriptions:
            setattr(each, part, True)
            each.news.set()
