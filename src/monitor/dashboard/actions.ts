import type { Refusal } from './policy/access.ts';
import type { Action } from './policy/action.ts';
import type { ResolvedMonitorOptions } from '../options.ts';

/** What an action did, or why it did nothing. */
export type ActionResult = { readonly status: 200 | 202; readonly value: object } | Refusal;

/** Does what the page asks for. Does not reject. */
export async function perform(action: Action, options: ResolvedMonitorOptions): Promise<ActionResult> {
  switch (action.kind) {
    case 'switch':
    case 'profile':
      return changeCompression(action, options);
    case 'evict':
      return evict(action, options);
    case 'canary':
      return setWeights(action, options);
    case 'drain':
      return drain(options);
  }
}

async function changeCompression(
  action: Action & { readonly kind: 'switch' | 'profile' },
  { compress, profiles }: ResolvedMonitorOptions,
): Promise<ActionResult> {
  if (!compress) return notGiven('compress');
  const control = compress.switch;
  try {
    if (action.kind === 'switch') {
      await throwSwitch(control, action.enabled);
    } else {
      const profile = ownValue(profiles, action.profile);
      if (!profile) return unknown('profile', action.profile);
      await control.swap({ name: action.profile, ...profile });
    }
  } catch (error) {
    return failed(500, error);
  }
  const { enabled, version, profile } = control.current;
  return { status: 200, value: { enabled, version, profile: profile.name } };
}

/** The calls of a switch that several processes share give promises. */
async function throwSwitch(control: { enable(): unknown; disable(): unknown }, enabled: boolean): Promise<void> {
  await (enabled ? control.enable() : control.disable());
}

function evict(
  { id, registry }: Action & { readonly kind: 'evict' },
  { registries }: ResolvedMonitorOptions,
): ActionResult {
  if (registries.length === 0) return notGiven('registry');
  return registries[registry]?.evict(id) === true ? { status: 200, value: { id } } : unknown('connection', id);
}

function setWeights(
  { name, weights }: Action & { readonly kind: 'canary' },
  { canaries }: ResolvedMonitorOptions,
): ActionResult {
  const canary = ownValue(canaries, name);
  if (!canary) return Object.keys(canaries).length === 0 ? notGiven('canaries') : unknown('canary', name);
  try {
    canary.setWeights(weights);
  } catch (error) {
    return failed(400, error);
  }
  return { status: 200, value: { name, version: canary.version } };
}

function drain({ lifecycle }: ResolvedMonitorOptions): ActionResult {
  if (!lifecycle) return notGiven('lifecycle');
  // It takes as long as the slowest client, and does not reject.
  void lifecycle.drain();
  return { status: 202, value: { state: lifecycle.state } };
}

/** The names come from a client: `constructor` is none. */
function ownValue<T>(values: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(values, name) ? values[name] : undefined;
}

function notGiven(option: string): Refusal {
  return { status: 404, code: 'not-available', message: `The monitor has no option \`${option}\`.` };
}

function unknown(what: string, name: string): Refusal {
  return {
    status: 404,
    code: `unknown-${what}`,
    message: `There is no ${what} ${JSON.stringify(name.slice(0, 100))}.`,
  };
}

function failed(status: number, error: unknown): Refusal {
  const { code = 'failed', message = String(error) } = error as { code?: string; message?: string };
  return { status, code, message };
}
