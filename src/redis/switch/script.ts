import { randomBytes } from 'node:crypto';
import type { FleetChange, FleetState } from '../policy/fleet-state.ts';

/**
 * Brings the state of the fleet and that of one instance together, makes a change if there is one, and tells all
 * instances. Answers with the state from then on, or with an empty string where nothing was written so far.
 *
 * A restart or a failover may have lost the newest state. The instance that knows a higher version writes it again, so
 * that a change that was confirmed is not undone. An instance that finds nothing asks the others for it, with an empty
 * message: they stay connected when a Redis forgets a key.
 *
 * A change is made once, though it is tried again when its answer is lost: on a connection that was dark, a call may
 * arrive after the connection was replaced, and after later changes of others. So Redis keeps the tokens of the last
 * changes.
 */
export const switchScript = `
local stored = redis.call('HMGET', KEYS[1], 'version', 'enabled', 'profile', 'changes')
local before = tonumber(stored[1] or '0') or 0
local version, enabled, profile = before, stored[2], stored[3]

-- What this instance knows. Its version is 0 if it has not heard of the fleet.
local known = tonumber(ARGV[3])
if known > before or before == 0 then
  version, enabled, profile = known, ARGV[4], ARGV[5]
end

-- What is to change; an empty string: nothing.
local wanted_enabled, wanted_profile, token = ARGV[6], ARGV[7], ARGV[8]
local changes = stored[4] or ''
local is_change = (wanted_enabled ~= '' or wanted_profile ~= '') and not string.find(changes, token, 1, true)
local is_same = (wanted_enabled == '' or wanted_enabled == enabled)
  and (wanted_profile == '' or wanted_profile == profile)
if is_change and (version == 0 or not is_same) then
  version = version + 1
  if wanted_enabled ~= '' then enabled = wanted_enabled end
  if wanted_profile ~= '' then profile = wanted_profile end
end

if version == 0 then
  redis.call(ARGV[1], ARGV[2], '')
  return ''
end
local state = string.format('%.0f %s %s', version, enabled, profile)
if is_change then redis.call('HSET', KEYS[1], 'changes', string.sub(token .. ' ' .. changes, 1, 1000)) end
if version ~= before then
  redis.call('HSET', KEYS[1], 'version', string.format('%.0f', version), 'enabled', enabled, 'profile', profile)
  redis.call(ARGV[1], ARGV[2], state)
end
return state
`;

/** The arguments of the script, behind the command that publishes: `PUBLISH`, or `SPUBLISH` in a cluster. */
export function switchArguments(channel: string, known: FleetState, change: FleetChange): string[] {
  const { enabled, profile = '' } = change;
  const wanted = enabled === undefined ? '' : digit(enabled);
  const token = randomBytes(9).toString('base64url');
  return [channel, String(known.version), digit(known.enabled), known.profile, wanted, profile, token];
}

function digit(value: boolean): string {
  return value ? '1' : '0';
}
