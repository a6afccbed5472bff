"""What Redis does for the quota, each in one step that nobody else's comes between, by Redis's own clock.

Keys of one tenant share a hash tag, so that a cluster keeps them on one node, and all of them expire:

epoch        a random word: another one than before means that the counters were lost in between
day          hash: day, requests, characters, audio (microseconds); what is reserved is in it
open         hash: reservation -> "day characters audio", until it ends
leases       sorted set: reservation -> when its server must have renewed it
lapsed       sorted set: reservation -> when its server was given up and the day's counts got it back
minute       sorted set: reservation -> when it was let in;  client:<digest> the same, of one client
ledger:<day> hash: "field precision model" -> sum
done:<id>    what was charged once must not be charged again

A settled reservation is one that `open` lacks. Where the epoch has changed it may lack it because it was lost: then
`done` decides.

Times and sound are whole microseconds: a double holds them exactly. `..` would write them with 14 digits, hence `text`.
"""

from tts_server.quota.ledger import LEDGER_DAYS

# Every script: KEYS 1-5 epoch, day, open, leases, lapsed; ARGV 1 the epoch last seen, 2 an epoch to begin with,
# 3-6 the day's counts last seen, which hold where the counters were lost. It answers with what is to be seen now: the
# epoch and the day's counts.
_COMMON = """
local KEEP = 172800
local MINUTE = 60000000
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local today = math.floor(time[1] / 86400)
local function text(number) return string.format('%.0f', number + 0) end  -- + 0: never -0

local epoch = redis.call('GET', KEYS[1])
if not epoch then epoch = ARGV[2] end
redis.call('SET', KEYS[1], epoch, 'EX', KEEP)
if tonumber(redis.call('HGET', KEYS[2], 'day')) ~= today then
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[2], 'day', text(today), 'requests', 0, 'characters', 0, 'audio', 0)
end
if ARGV[1] ~= '' and ARGV[1] ~= epoch and tonumber(ARGV[3]) == today then
  for index, name in ipairs({'requests', 'characters', 'audio'}) do
    if tonumber(redis.call('HGET', KEYS[2], name)) < tonumber(ARGV[3 + index]) then
      redis.call('HSET', KEYS[2], name, ARGV[3 + index])
    end
  end
end
redis.call('EXPIRE', KEYS[2], KEEP)

local function add(day, requests, characters, audio)
  if tonumber(day) ~= today then return end
  for name, by in pairs({requests = requests, characters = characters, audio = audio}) do
    if redis.call('HINCRBY', KEYS[2], name, text(by)) < 0 then redis.call('HSET', KEYS[2], name, 0) end
  end
end
local function count(record, sign)
  local day, characters, audio = string.match(record, '(%d+) (%d+) (%d+)')
  add(day, sign, sign * characters, sign * audio)
end
local function enter(ledger, name, requests, characters, audio, cached, degraded)
  local sums = {requests = requests, characters = characters, audio = audio, cached = cached, degraded = degraded}
  for field, by in pairs(sums) do redis.call('HINCRBY', ledger, field .. ' ' .. name, text(by)) end
  redis.call('EXPIRE', ledger, 86400 * %(ledger_days)d)
end
local function seen()
  local day = redis.call('HMGET', KEYS[2], 'requests', 'characters', 'audio')
  return {epoch, today, tonumber(day[1]), tonumber(day[2]), tonumber(day[3])}
end
"""

_COUNTS = """
local function window(key, limit)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', text(now - MINUTE))
  local count = redis.call('ZCARD', key)
  if count == 0 then return 0, 0, 0, 0 end
  local function ends(index) return redis.call('ZRANGE', key, index, index, 'WITHSCORES')[2] + MINUTE - now end
  local frees = 0
  if limit and count >= limit then frees = ends(count - limit) end
  return count, ends(0), frees, ends(-1)
end
local function counts(minute_limit, client_limit)
  local m, c = {window(KEYS[6], minute_limit)}, {window(KEYS[7], client_limit)}
  local found = seen()
  for _, number in ipairs({now, m[1], m[2], m[3], m[4], c[1], c[2], c[3], c[4], redis.call('ZCARD', KEYS[4])}) do
    table.insert(found, number)
  end
  return found
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', text(now), 'LIMIT', 0, 1000)) do
  local record = redis.call('HGET', KEYS[3], id)
  if record then
    count(record, -1)
    redis.call('ZADD', KEYS[5], text(now), id)
    redis.call('EXPIRE', KEYS[5], KEEP)
  end
  redis.call('ZREM', KEYS[4], id)
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', text(now - KEEP * 1000000), 'LIMIT', 0, 1000)) do
  redis.call('HDEL', KEYS[3], id)
  redis.call('ZREM', KEYS[5], id)
end
"""

# KEYS 6 minute, 7 client. ARGV 7 id, 8-13 limits or '', 14 characters, 15 audio, 16 lease, 17 whether there
# is a client.
_RESERVE = """
if redis.call('HEXISTS', KEYS[3], ARGV[7]) == 1 then  -- the client has sent it again
  local known = counts(tonumber(ARGV[8]), tonumber(ARGV[9]))
  table.insert(known, 1, 1)
  return known
end
local function limit(index) return tonumber(ARGV[index]) end
local per_minute, per_client, concurrent = limit(8), limit(9), limit(10)
local day_limits = {limit(11), limit(12), limit(13) and limit(13) * 1000000}
local wanted = {1, tonumber(ARGV[14]), tonumber(ARGV[15])}
local before = counts(per_minute, per_client)
local room = (not per_minute or before[7] < per_minute)
  and (not per_client or before[11] < per_client)
  and (not concurrent or before[15] < concurrent)
for index = 1, 3 do
  if day_limits[index] and before[2 + index] + wanted[index] > day_limits[index] then room = false end
end
if not room then
  table.insert(before, 1, 0)
  return before
end
local function mark(key, score, seconds)
  redis.call('ZADD', key, text(score), ARGV[7])
  redis.call('EXPIRE', key, seconds)
end
if per_minute then mark(KEYS[6], now, 61) end
if ARGV[17] == '1' and per_client then mark(KEYS[7], now, 61) end
mark(KEYS[4], now + tonumber(ARGV[16]), KEEP)
redis.call('HSET', KEYS[3], ARGV[7], text(today) .. ' ' .. ARGV[14] .. ' ' .. ARGV[15])
redis.call('EXPIRE', KEYS[3], KEEP)
add(today, 1, wanted[2], wanted[3])
local after = counts(per_minute, per_client)
table.insert(after, 1, 1)
return after
"""

# KEYS 6 minute, 7 client. ARGV 7-8 the limits of both, or ''.
_LOOK = "return counts(tonumber(ARGV[7]), tonumber(ARGV[8]))"

# ARGV 7 lease, then reservations.
_RENEW = """
for index = 8, #ARGV do
  local id = ARGV[index]
  local record = redis.call('HGET', KEYS[3], id)
  if record then
    if redis.call('ZREM', KEYS[5], id) == 1 then count(record, 1) end
    redis.call('ZADD', KEYS[4], text(now + tonumber(ARGV[7])), id)
    redis.call('EXPIRE', KEYS[4], KEEP)
    redis.call('EXPIRE', KEYS[3], KEEP)
  end
end
return seen()
"""

# KEYS 6 ledger of the reservation's day, 7 done.
# ARGV 7 id, 8 epoch of the reservation, 9 its record, 10 audio sent, 11 name in the ledger, 12 cached, 13 degraded,
# 14 characters, 15 whether it was sent before.
_SETTLE = """
local record = redis.call('HGET', KEYS[3], ARGV[7])
if record then
  if redis.call('ZREM', KEYS[5], ARGV[7]) == 1 then count(record, 1) end
  redis.call('HDEL', KEYS[3], ARGV[7])
  redis.call('ZREM', KEYS[4], ARGV[7])
elseif ARGV[8] == epoch and ARGV[15] == '1' or not redis.call('SET', KEYS[7], 1, 'NX', 'EX', KEEP) then
  return seen()
elseif ARGV[8] == epoch then
  count(ARGV[9], 1)  -- a server that took over had not heard of it yet
end
local day, _, audio = string.match(record or ARGV[9], '(%d+) (%d+) (%d+)')
add(day, 0, 0, ARGV[10] - audio)
enter(KEYS[6], ARGV[11], 1, ARGV[14], ARGV[10], ARGV[12], ARGV[13])
return seen()
"""

# KEYS 6 minute, 7 done, 8 client. ARGV 7 id, 8 epoch of the reservation, 9 its record.
_GIVE_BACK = """
local record = redis.call('HGET', KEYS[3], ARGV[7])
if record then
  redis.call('ZREM', KEYS[6], ARGV[7])
  redis.call('ZREM', KEYS[8], ARGV[7])
  if redis.call('ZREM', KEYS[5], ARGV[7]) == 0 then count(record, -1) end
  redis.call('HDEL', KEYS[3], ARGV[7])
  redis.call('ZREM', KEYS[4], ARGV[7])
elseif ARGV[8] ~= epoch and redis.call('SET', KEYS[7], 1, 'NX', 'EX', KEEP) then
  count(ARGV[9], -1)
end
return seen()
"""

# KEYS 6 ledger of the charge's day, 7 done. ARGV 7 day, 8 name in the ledger, 9-13 the line, 14 whether it is counted.
_CHARGE = """
if not redis.call('SET', KEYS[7], 1, 'NX', 'EX', KEEP) then return seen() end
if ARGV[14] == '0' then add(ARGV[7], ARGV[9], ARGV[10], ARGV[11]) end
enter(KEYS[6], ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13])
return seen()
"""


# KEYS 6 minute, 7 and on clients. ARGV 7 and on four words for each request: id, its age, whether it is of the minute,
# and the number of its client's key or 0. A later answer than its question makes a request younger, never older.
_RESTORE = """
local function mark(key, age, id)
  redis.call('ZADD', key, 'NX', text(now - age), id)
  redis.call('EXPIRE', key, 61)
end
for index = 7, #ARGV, 4 do
  local id, age, client = ARGV[index], math.max(0, tonumber(ARGV[index + 1])), KEYS[tonumber(ARGV[index + 3])]
  if age < MINUTE then
    if ARGV[index + 2] == '1' then mark(KEYS[6], age, id) end
    if client then mark(client, age, id) end
  end
end
return seen()
"""

# KEYS 6 minute, 7 client. ARGV 7 id.
_TAKE_BACK = """
redis.call('ZREM', KEYS[6], ARGV[7])
redis.call('ZREM', KEYS[7], ARGV[7])
return seen()
"""


def _script(*parts: str) -> str:
    return "".join(parts).replace("%(ledger_days)d", str(LEDGER_DAYS))


RESERVE = _script(_COMMON, _COUNTS, _RESERVE)
LOOK = _script(_COMMON, _COUNTS, _LOOK)
RENEW = _script(_COMMON, _RENEW)
SETTLE = _script(_COMMON, _SETTLE)
GIVE_BACK = _script(_COMMON, _GIVE_BACK)
CHARGE = _script(_COMMON, _CHARGE)
RESTORE = _script(_COMMON, _RESTORE)
TAKE_BACK = _script(_COMMON, _TAKE_BACK)
