"""Lua scripts of the quota in Redis. Each is one atomic step, by Redis's clock.

Keys of one tenant share a hash tag, so that a cluster keeps them on one node. Every key expires.

epoch        random word; another word than the last one means that the counters were lost in between
day          hash: day, requests, characters, audio (microseconds); includes what is reserved. With `other_` before its
             name: the same of the day that the clock had before this one, and may have again
open         hash: reservation -> "day characters audio", until it ends
leases       sorted set: reservation -> time by which its server must renew it
lapsed       sorted set: reservation -> time at which its lease ran out and the day's counters were reduced by it
minute       sorted set: reservation -> time of admission; a sliding limit of the tenant has such a log
client:<...> the same for one client, by the digest of its name
ledger:<day> hash: "field precision model" -> sum
done:<id>    guards against charging twice

A settled reservation is missing from `open`. If the epoch has changed, it may be missing because it was lost: then
`done` decides.

A script finds its keys in `key` and its arguments in `arg`, both by name; what fills these tables, and what orders the
keys and arguments of a call, is made from the same names. The table of limits gives it the constants WINDOWS (sliding
windows in seconds), NUMBERS (their order in replies), PER_CLIENT and DAY_COUNTERS, all by counter. Times and audio are
whole microseconds, which a double holds exactly. `..` would write only 14 digits of them, hence `text`.
"""

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, TypeAlias

from tts_server.quota.ledger import LEDGER_DAYS
from tts_server.quota.limit_table import COUNTED, DAILY, MICROSECONDS, SLIDING, Scope
from tts_server.quota.protocol import LEASE_SECONDS

COMMON_KEYS = ("epoch", "day", "open", "leases", "lapsed")
"""Keys of every script."""
LOGS = tuple(limit.counter for limit in SLIDING)
COUNTERS = tuple(limit.counter for limit in COUNTED)
DAY_COUNTERS = tuple(limit.counter for limit in DAILY)
SUMS = ("requests", "characters", "audio", "cached", "degraded")
"""Fields of a line of the ledger."""


class Type(Enum):
    """Types of arguments, with the expression that reads one in Lua."""

    TEXT = "ARGV[{}]"
    NUMBER = "tonumber(ARGV[{}])"
    FLAG = "ARGV[{}] == '1'"
    JSON = "cjson.decode(ARGV[{}])"
    """A list of any length. It costs more than the other types: no script that every request runs has one."""


Arguments: TypeAlias = Mapping[str, Type | tuple[str, ...]]
"""Types by name; names stand for a table of numbers by these names, of which each may be missing."""


@dataclass(frozen=True)
class Script:
    """A script, the names of its keys in the order of KEYS, and its arguments in the order of ARGV."""

    text: str
    keys: tuple[str, ...]
    arguments: Arguments

    @cached_property
    def sha1(self) -> str:
        """The name under which Redis caches the script."""
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def order(self, keys: Mapping[str, str], more: Sequence[str] = ()) -> list[str]:
        """KEYS of a call: the keys by name, then keys that the script finds by number."""
        return [*(keys[name] for name in self.keys), *more]

    def encode(self, arg: Mapping[str, Any]) -> list[str | int]:
        """ARGV of a call: the arguments by name."""
        encoded: list[str | int] = []
        for name, type_ in self.arguments.items():
            value = arg[name]
            if isinstance(type_, tuple):
                encoded += [value.get(number, "") for number in type_]
            elif type_ is Type.JSON:
                encoded.append(json.dumps(value))
            else:
                encoded.append(int(value) if type_ is Type.FLAG else value)
        return encoded


# Every script has the arguments `new_epoch`, and `last_epoch` and `last`: the epoch and the day's counters that this
# replica saw last. The latter are restored where the counters were lost. It replies with the epoch and the day's
# counters.
_COMMON = """
local KEEP_SECONDS = 172800
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local today = math.floor(time[1] / 86400)
local function text(number) return string.format('%.0f', number + 0) end  -- + 0: never -0

local epoch = redis.call('GET', key.epoch)
if not epoch then epoch = arg.new_epoch end
redis.call('SET', key.epoch, epoch, 'EX', KEEP_SECONDS)
local days = redis.call('HMGET', key.day, 'day', 'other_day')
local day, other = tonumber(days[1]), tonumber(days[2])
if day ~= today then
  for _, counter in ipairs(DAY_COUNTERS) do
    local left = redis.call('HGET', key.day, counter) or 0
    local found = other == today and redis.call('HGET', key.day, 'other_' .. counter) or 0
    redis.call('HSET', key.day, counter, found, 'other_' .. counter, left)
  end
  redis.call('HSET', key.day, 'day', text(today), 'other_day', text(day or 0))
  other = day
end
if arg.last_epoch ~= '' and arg.last_epoch ~= epoch and arg.last.day == today then
  for _, counter in ipairs(DAY_COUNTERS) do
    if tonumber(redis.call('HGET', key.day, counter)) < arg.last[counter] then
      redis.call('HSET', key.day, counter, text(arg.last[counter]))
    end
  end
end
redis.call('EXPIRE', key.day, KEEP_SECONDS)

local function add(day, amounts, sign)
  local prefix = tonumber(day) == today and '' or tonumber(day) == other and 'other_'
  if not prefix then return end
  for counter, amount in pairs(amounts) do
    if redis.call('HINCRBY', key.day, prefix .. counter, text(sign * amount)) < 0 then
      redis.call('HSET', key.day, prefix .. counter, 0)
    end
  end
end
local function add_record(record, sign)
  local day, characters, audio = string.match(record, '(%d+) (%d+) (%d+)')
  add(day, {requests = 1, characters = characters, audio = audio}, sign)
end
local function enter(ledger, name, sums)
  for field, amount in pairs(sums) do redis.call('HINCRBY', ledger, field .. ' ' .. name, text(amount)) end
  redis.call('EXPIRE', ledger, 86400 * LEDGER_DAYS)
end
local function seen()
  local reply, used = {epoch, today}, {}
  for index, value in ipairs(redis.call('HMGET', key.day, unpack(DAY_COUNTERS))) do
    used[DAY_COUNTERS[index]] = tonumber(value)
    table.insert(reply, tonumber(value))
  end
  return reply, used
end
"""

# arg.limits by counter, those that are set. Replies with `seen`, the time, concurrent requests, and four numbers for
# each sliding window.
_COUNTS = """
-- After the clock was set back, what is later than it may be would stay for as long as that.
local function set_back(set, latest)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', set, '(' .. text(latest), '+inf', 'LIMIT', 0, 1000)) do
    redis.call('ZADD', set, text(latest), id)
  end
end
local function window(log, length, limit)
  redis.call('ZREMRANGEBYSCORE', log, '-inf', text(now - length))
  local count = redis.call('ZCARD', log)
  if count == 0 then return 0, 0, 0, 0 end
  local function leaves(index) return redis.call('ZRANGE', log, index, index, 'WITHSCORES')[2] + length - now end
  local last = leaves(-1)
  if last > length then
    set_back(log, now)
    last = leaves(-1)
  end
  local frees = 0
  if limit and count >= limit then frees = leaves(count - limit) end
  return count, leaves(0), frees, last
end
local function counts()
  local reply, used = seen()
  used.leases = redis.call('ZCARD', key.leases)
  local last = #reply + 2
  reply[last - 1], reply[last] = now, used.leases
  for counter, seconds in pairs(WINDOWS) do
    local at = last + 4 * NUMBERS[counter]
    local limit = arg.limits[counter]
    reply[at - 3], reply[at - 2], reply[at - 1], reply[at] = window(key[counter], seconds * 1000000, limit)
    used[counter] = reply[at - 3]
  end
  return reply, used
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', key.leases, '-inf', text(now), 'LIMIT', 0, 1000)) do
  local record = redis.call('HGET', key.open, id)
  if record then
    add_record(record, -1)
    redis.call('ZADD', key.lapsed, text(now), id)
    redis.call('EXPIRE', key.lapsed, KEEP_SECONDS)
  end
  redis.call('ZREM', key.leases, id)
end
local forgotten = text(now - KEEP_SECONDS * 1000000)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key.lapsed, '-inf', forgotten, 'LIMIT', 0, 1000)) do
  redis.call('HDEL', key.open, id)
  redis.call('ZREM', key.lapsed, id)
end
"""

# arg.id; arg.limits by counter, those that are set; arg.amounts by counter of the day; arg.lease in microseconds;
# arg.client: whether the request has a client. Replies with 1 or 0, whether the request is admitted, then as `counts`.
_RESERVE = """
local before, used = counts()
if redis.call('HEXISTS', key.open, arg.id) == 1 then  -- the client library has sent the command again
  table.insert(before, 1, 1)
  return before
end
for counter, limit in pairs(arg.limits) do
  if used[counter] + (arg.amounts[counter] or 1) > limit then
    table.insert(before, 1, 0)
    return before
  end
end
local function mark(set, score, seconds)
  redis.call('ZADD', set, text(score), arg.id)
  redis.call('EXPIRE', set, seconds)
end
for counter, seconds in pairs(WINDOWS) do
  if arg.limits[counter] and (arg.client or not PER_CLIENT[counter]) then mark(key[counter], now, seconds + 1) end
end
mark(key.leases, now + arg.lease, KEEP_SECONDS)
local record = text(today) .. ' ' .. text(arg.amounts.characters) .. ' ' .. text(arg.amounts.audio)
redis.call('HSET', key.open, arg.id, record)
redis.call('EXPIRE', key.open, KEEP_SECONDS)
add(today, arg.amounts, 1)
local after = counts()
table.insert(after, 1, 1)
return after
"""

# arg.limits. Every server looks every few seconds: often enough for leases after the clock was set back.
_LOOK = """
set_back(key.leases, now + LEASE)
local reply = counts()
return reply
"""

# arg.ids, reservations; arg.lease in microseconds.
_RENEW = """
for _, id in ipairs(arg.ids) do
  local record = redis.call('HGET', key.open, id)
  if record then
    if redis.call('ZREM', key.lapsed, id) == 1 then add_record(record, 1) end
    redis.call('ZADD', key.leases, text(now + arg.lease), id)
    redis.call('EXPIRE', key.leases, KEEP_SECONDS)
    redis.call('EXPIRE', key.open, KEEP_SECONDS)
  end
end
local reply = seen()
return reply
"""

# key.ledger of the reservation's day, key.done. arg.id; arg.epoch and arg.record of the reservation; arg.name, the
# line of the ledger; arg.sums, what is added to it; arg.is_repeated: the command was sent before.
_SETTLE = """
local record = redis.call('HGET', key.open, arg.id)
if record then
  if redis.call('ZREM', key.lapsed, arg.id) == 1 then add_record(record, 1) end
  redis.call('HDEL', key.open, arg.id)
  redis.call('ZREM', key.leases, arg.id)
elseif arg.epoch == epoch and arg.is_repeated
    or not redis.call('SET', key.done, 1, 'NX', 'EX', KEEP_SECONDS) then
  local reply = seen()
  return reply
elseif arg.epoch == epoch then
  add_record(arg.record, 1)  -- a replica was promoted before it had received the reservation
end
local day, _, reserved = string.match(record or arg.record, '(%d+) (%d+) (%d+)')
add(day, {audio = arg.sums.audio - reserved}, 1)
enter(key.ledger, arg.name, arg.sums)
local reply = seen()
return reply
"""

# Keys of the logs; key.done. arg.id; arg.epoch and arg.record of the reservation.
_GIVE_BACK = """
local record = redis.call('HGET', key.open, arg.id)
if record then
  for counter in pairs(WINDOWS) do redis.call('ZREM', key[counter], arg.id) end
  if redis.call('ZREM', key.lapsed, arg.id) == 0 then add_record(record, -1) end
  redis.call('HDEL', key.open, arg.id)
  redis.call('ZREM', key.leases, arg.id)
elseif arg.epoch ~= epoch and redis.call('SET', key.done, 1, 'NX', 'EX', KEEP_SECONDS) then
  add_record(arg.record, -1)
end
local reply = seen()
return reply
"""

# key.ledger of the charge's day, key.done. arg.day; arg.name, the line of the ledger; arg.sums; arg.is_counted: the
# day's counters include it.
_CHARGE = """
if redis.call('SET', key.done, 1, 'NX', 'EX', KEEP_SECONDS) then
  if not arg.is_counted then
    local sums = arg.sums
    add(arg.day, {requests = sums.requests, characters = sums.characters, audio = sums.audio}, 1)
  end
  enter(key.ledger, arg.name, arg.sums)
end
local reply = seen()
return reply
"""


# arg.logs: the number in KEYS and the `seconds` of each log; arg.requests: `id`, `age` in microseconds, and `logs`,
# their numbers in arg.logs. If the command was late, a request becomes younger, never older.
_RESTORE = """
for _, request in ipairs(arg.requests) do
  local age = math.max(0, request.age)
  for _, number in ipairs(request.logs) do
    local log = arg.logs[number]
    if age < log.seconds * 1000000 then
      redis.call('ZADD', KEYS[log.key], 'NX', text(now - age), request.id)
      redis.call('EXPIRE', KEYS[log.key], log.seconds + 1)
    end
  end
end
local reply = seen()
return reply
"""

# Keys of the logs. arg.id.
_UNDO = """
for counter in pairs(WINDOWS) do redis.call('ZREM', key[counter], arg.id) end
local reply = seen()
return reply
"""


def _table(fields: Mapping[str, object]) -> str:
    """A table of Lua with fields by name."""
    return f"{{{', '.join(f'{name} = {value}' for name, value in fields.items())}}}"


def _arguments(arguments: Arguments) -> str:
    """The table of the arguments, each at its place in ARGV."""
    numbers = itertools.count(1)
    return _table({
        name: _table({each: Type.NUMBER.value.format(next(numbers)) for each in type_})
        if isinstance(type_, tuple)
        else type_.value.format(next(numbers))
        for name, type_ in arguments.items()
    })  # fmt: skip


def _script(*parts: str, keys: tuple[str, ...] = (), **arguments: Type | tuple[str, ...]) -> Script:
    all_keys = (*COMMON_KEYS, *keys)
    all_arguments = {**COMMON_ARGUMENTS, **arguments}
    tables = {
        "key": _table({name: f"KEYS[{number}]" for number, name in enumerate(all_keys, start=1)}),
        "arg": _arguments(all_arguments),
        "DAY_COUNTERS": f"{{{', '.join(map(repr, DAY_COUNTERS))}}}",
        "WINDOWS": _table({limit.counter: limit.window.seconds for limit in SLIDING}),
        "NUMBERS": _table({limit.counter: number for number, limit in enumerate(SLIDING, start=1)}),
        "PER_CLIENT": _table({limit.counter: "true" for limit in SLIDING if limit.scope is Scope.CLIENT}),
        "LEDGER_DAYS": LEDGER_DAYS,
        "LEASE": int(LEASE_SECONDS * MICROSECONDS),
    }
    text = "".join((*(f"local {name} = {value}\n" for name, value in tables.items()), *parts))
    return Script(text, all_keys, all_arguments)


COMMON_ARGUMENTS: Arguments = {
    "new_epoch": Type.TEXT,
    "last_epoch": Type.TEXT,
    "last": ("day", *DAY_COUNTERS),
}
TEXT, NUMBER, FLAG, JSON = Type.TEXT, Type.NUMBER, Type.FLAG, Type.JSON

RESERVE = _script(
    _COMMON, _COUNTS, _RESERVE, keys=LOGS, id=TEXT, limits=COUNTERS, amounts=DAY_COUNTERS, client=FLAG, lease=NUMBER
)
LOOK = _script(_COMMON, _COUNTS, _LOOK, keys=LOGS, limits=COUNTERS)
RENEW = _script(_COMMON, _RENEW, ids=JSON, lease=NUMBER)
SETTLE = _script(
    _COMMON, _SETTLE, keys=("ledger", "done"),
    id=TEXT, epoch=TEXT, record=TEXT, name=TEXT, sums=SUMS, is_repeated=FLAG,
)  # fmt: skip
GIVE_BACK = _script(_COMMON, _GIVE_BACK, keys=(*LOGS, "done"), id=TEXT, epoch=TEXT, record=TEXT)
CHARGE = _script(_COMMON, _CHARGE, keys=("ledger", "done"), day=NUMBER, name=TEXT, sums=SUMS, is_counted=FLAG)
RESTORE = _script(_COMMON, _RESTORE, requests=JSON, logs=JSON)
UNDO = _script(_COMMON, _UNDO, keys=LOGS, id=TEXT)
