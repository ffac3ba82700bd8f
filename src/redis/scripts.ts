/*
 * What Redis does in one step. A log is:
 *
 *     KEYS[1]  hash    epoch: of its ids · last: sequence of the newest entry · floor: of the newest that is gone
 *                      base: sequence at which the epoch began · bytes: of the entries that are kept · ended: 1
 *                      past: earlier epochs, each with the sequence up to which its ids hold: `e1-8 e2-20`
 *                      run: what the history of the server was called that took the newest entry
 *                      born: its first epoch. A log that was not kept, and begins anew, has another
 *                      fence: of the newest claim · holder: its token · until: when it is over, in ms
 *     KEYS[2]  stream  the entries, `<sequence>-0`; and the name under which new ones are published
 *
 * All keys of a log have the same hash tag, so they are on one node of a cluster. Sequences have no gaps: the number
 * alone shows what is missing. Entries up to `floor` may still be in the stream, because trimming whole nodes of it is
 * much cheaper. They count as gone.
 *
 * An epoch ends with the history of its server, at a failover or a restart: entries that the new server does not have
 * would have the numbers of its next ones. Ids of what both have hold on.
 *
 * What only reads makes no key: names may come from clients. A log that is not there is at sequence 0 of an epoch that
 * begins with a zero. An id of it stands before the first entry of the log to come.
 *
 * ARGV[1]     an epoch, for a log that begins
 * ARGV[2, 3]  epoch and sequence of the newest entry that the process knows, for a Redis that has lost some
 * ARGV[4]     ms that the log is kept; 0: for ever. A claim keeps it until its own time is over
 * Replies are strings, because clients map numbers in several ways.
 */
const prelude = `
local names = { 'epoch', 'last', 'floor', 'base', 'bytes', 'ended', 'fence', 'until', 'holder', 'past', 'run', 'born' }
local fields = redis.call('HMGET', KEYS[1], unpack(names))
local epoch, ended, fence, holder = fields[1], fields[6] == '1', tonumber(fields[7] or 0), fields[9]
local last, floor, base = tonumber(fields[2] or 0), tonumber(fields[3] or 0), tonumber(fields[4] or 0)
local bytes, claimed_until = tonumber(fields[5] or 0), tonumber(fields[8] or 0)
local past, run, born = fields[10] or '', fields[11], fields[12] or ''

-- Lua writes large numbers as 1e+15.
local function text(number) return string.format('%.0f', number) end
local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000), time
end
local function expire()
  local ms = tonumber(ARGV[4])
  if ms > 0 and claimed_until > 0 then ms = math.max(ms, claimed_until - clock()) end
  for index = 1, 2 do
    if ms == 0 then redis.call('PERSIST', KEYS[index]) else redis.call('PEXPIRE', KEYS[index], text(ms)) end
  end
end

-- Another one after a failover or a restart. Nothing where it may not be asked for.
local function current_run()
  local info = redis.pcall('INFO', 'replication')
  return type(info) == 'string' and string.match(info, 'master_replid:(%x+)') or ''
end
local function begin_epoch(now)
  -- Without a name for the history others may have appended since: then no id of before is sure.
  past = now == '' and '' or past .. ' ' .. epoch .. '-' .. text(last)
  local _, count = string.gsub(past, '%S+', '')
  if count > 16 then past = string.gsub(past, '^%s*%S+%s+', '') end
  epoch, base, run = ARGV[1], last, now
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'base', text(base), 'past', past, 'run', run)
end
local function create()
  if epoch then return end
  -- A stream without its hash was left behind by an eviction.
  redis.call('DEL', KEYS[2])
  epoch, born, run = ARGV[1], ARGV[1], current_run()
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'born', born, 'last', '0', 'run', run)
  expire()
end

-- Entries that a process has seen are gone. Clients that have them are told.
if epoch and epoch == ARGV[2] and last < tonumber(ARGV[3]) then begin_epoch(current_run()) end
`;

/**
 * Appends entries, and publishes them.
 *
 * KEYS[3] the last batch of the writer · KEYS[4 …] idempotency keys
 * ARGV[5] the number of the batch · ARGV[6, 7] entries and bytes that are kept · ARGV[8] the command that publishes
 * ARGV[9] ms for which the batch may be tried again
 * ARGV[10 …] four for each entry: encoded · 1: it is the last of the log · its fence, if any · 1: it has a key
 *
 * Replies for each entry: its id, `ended` or `fenced`; or `stale` alone, for a batch that is later than the next one.
 */
export const appendScript: string = `${prelude}
-- Two minutes: as long as a publisher may try again.
local memory = 120000

local number = tonumber(ARGV[5])
local before = redis.call('GET', KEYS[3])
if before then
  local batch = cjson.decode(before)
  if batch[1] == number then return batch[2] end
  if batch[1] > number then return { 'stale' } end
end

create()
local now = current_run()
if run and run ~= now then begin_epoch(now) end

local results, added, key = {}, {}, 4
local first = last + 1
for at = 10, #ARGV, 4 do
  local entry, is_end, given, has_key = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3] == '1'
  -- The key of an entry that was not kept may outlive the log.
  local result, log = string.match(has_key and redis.call('GET', KEYS[key]) or '', '^(%S+) (%S*)$')
  if log ~= born then result = nil end
  if result then
    -- It is in the log already.
  elseif given ~= '' and tonumber(given) < fence then
    result = 'fenced'
  elseif ended then
    result = 'ended'
  else
    last = last + 1
    bytes = bytes + tonumber(string.match(entry, '^%[(%d+)'))
    ended = is_end == '1'
    result = epoch .. '-' .. text(last)
    redis.call('XADD', KEYS[2], text(last) .. '-0', 'e', entry)
    if has_key then redis.call('SET', KEYS[key], result .. ' ' .. born, 'PX', memory) end
    added[#added + 1] = entry
  end
  if has_key then key = key + 1 end
  results[#results + 1] = result
end
redis.call('SET', KEYS[3], cjson.encode({ number, results }), 'PX', text(math.max(memory, tonumber(ARGV[9]))))
if #added == 0 then return results end

local most_entries, most_bytes, old_floor = tonumber(ARGV[6]), tonumber(ARGV[7]), floor
-- The end stays: clients that come later are told it.
local least = ended and 1 or 0
local function is_over() return last - floor > least and (last - floor > most_entries or bytes > most_bytes) end
while is_over() do
  local count = math.max(1, math.min(100, last - floor - most_entries))
  local oldest = redis.call('XRANGE', KEYS[2], text(floor + 1) .. '-0', '+', 'COUNT', count)
  if #oldest == 0 then
    floor, bytes = last, 0
    break
  end
  for _, each in ipairs(oldest) do
    if not is_over() then break end
    floor = tonumber(string.match(each[1], '^%d+'))
    bytes = bytes - tonumber(string.match(each[2][2], '^%[(%d+)'))
  end
end
if floor > old_floor then redis.call('XTRIM', KEYS[2], 'MINID', '~', text(floor + 1) .. '-0') end
redis.call('HSET', KEYS[1], 'last', text(last), 'floor', text(floor), 'bytes', text(bytes), 'run', now)
if ended then redis.call('HSET', KEYS[1], 'ended', '1') end
expire()
redis.call(ARGV[8], KEYS[2], epoch .. '-' .. text(first) .. '\\n' .. table.concat(added))
return results
`;

/**
 * Reads entries.
 *
 * ARGV[5, 6] epoch and sequence after which it reads · ARGV[7] how many at most
 *
 * Replies `unknown-id`, `gap`, or `more` or `end`, the epoch and the entries.
 */
export const readScript: string = `${prelude}
local after, given = tonumber(ARGV[6]), ARGV[5]
-- The sequence up to which ids of the given epoch hold.
local bound = given == epoch and last
if after == 0 and string.sub(given, 1, 1) == '0' then
  if not epoch then return { 'more', given } end
  bound = last
end
for name, number in string.gmatch(past, '(%w+)-(%d+)') do
  if name == given then bound = tonumber(number)
  elseif bound and given ~= epoch then bound = math.min(bound, tonumber(number)) end
end
if not bound or after > bound then return { 'unknown-id' } end
if after < floor then return { 'gap' } end
local reply = { 'more', epoch }
if after < last then
  local list = redis.call('XRANGE', KEYS[2], text(after + 1) .. '-0', '+', 'COUNT', ARGV[7])
  if #list == 0 or list[1][1] ~= text(after + 1) .. '-0' then
    -- An eviction took entries. The next reader begins behind them.
    floor = list[1] and tonumber(string.match(list[1][1], '^%d+')) - 1 or last
    redis.call('HSET', KEYS[1], 'floor', text(floor))
    return { 'gap' }
  end
  for _, each in ipairs(list) do reply[#reply + 1] = each[2][2] end
end
if ended and after + #reply - 2 == last then reply[1] = 'end' end
return reply
`;

/**
 * Where a log is. Also keeps it for as long as after an entry. Replies epoch, last, floor, base, and 1 for ended. The
 * epoch of a log that is not there is the one that the process knows, if it knows it so.
 */
export const stateScript: string = `${prelude}
if not epoch then return { string.sub(ARGV[2], 1, 1) == '0' and ARGV[2] or '0' .. ARGV[1], '0', '0', '0', '0' } end
expire()
return { epoch, text(last), text(floor), text(base), ended and '1' or '0' }
`;

const claims = `${prelude}
local now, time = clock()
local function hold(ms)
  create()
  claimed_until = now + ms
  redis.call('HSET', KEYS[1], 'fence', text(fence), 'until', text(claimed_until), 'holder', holder)
  expire()
end
`;

/**
 * Claims a log for a producer.
 *
 * ARGV[5] ms that it holds · ARGV[6] a token: the same claim may be tried again, when the reply to the first was lost
 *
 * A fence is the time in microseconds, or more: it is later than those before also when Redis has lost them.
 *
 * Replies `held`, `ended`, or `claimed` and the fence.
 */
export const claimScript: string = `${claims}
if ended then return { 'ended' } end
if claimed_until > now and holder ~= ARGV[6] then return { 'held' } end
if holder ~= ARGV[6] then fence = math.max(fence + 1, tonumber(time[1]) * 1000000 + tonumber(time[2])) end
holder = ARGV[6]
hold(tonumber(ARGV[5]))
return { 'claimed', text(fence) }
`;

/** Prolongs a claim. ARGV[5] ms that it holds · ARGV[6] its fence. Replies 1, or 0 for a claim that counts no more. */
export const renewScript: string = `${claims}
local given = tonumber(ARGV[6])
if ended or given < fence then return '0' end
fence, holder = given, holder or ''
hold(tonumber(ARGV[5]))
return '1'
`;

/** Gives a log back. ARGV[5] the fence of the claim. */
export const releaseScript: string = `${claims}
if tonumber(ARGV[5]) == fence then redis.call('HSET', KEYS[1], 'until', '0', 'holder', '') end
return '1'
`;

/** Replies 1 if a producer has the log. */
export const claimedScript: string = `${claims}
return not ended and claimed_until > now and '1' or '0'
`;
