/** How the switches of a fleet are set. All that travels between processes: a profile itself is code. */
export interface FleetState {
  /** Goes up by one with each change. 0: nothing was written so far. */
  readonly version: number;
  readonly enabled: boolean;
  /** The name of the profile. */
  readonly profile: string;
}

/** What a call asks for; what it leaves out stays. */
export type FleetChange = Partial<Pick<FleetState, 'enabled' | 'profile'>>;

// The name comes last: it may hold anything.
const pattern = /^([1-9]\d{0,15}) ([01]) (.+)$/s;

/** Reads what `switchScript` answers and publishes: `7 1 cheap`. `undefined` for anything else. */
export function parseFleetState(text: unknown): FleetState | undefined {
  const [, version, enabled, profile] = (typeof text === 'string' && pattern.exec(text)) || [];
  if (profile === undefined) return undefined;
  return { version: Number(version), enabled: enabled === '1', profile };
}

/**
 * Whether an instance that knows one state takes over another. The higher version wins. Two states of one version come
 * from a Redis that lost its newest write and took another: then the one that Redis has now wins, which comes later.
 */
export function supersedes(incoming: FleetState, known: FleetState): boolean {
  if (incoming.version !== known.version) return incoming.version > known.version;
  return incoming.enabled !== known.enabled || incoming.profile !== known.profile;
}

/** Whether a message shows that Redis does not have what an instance knows: it is older, or an empty question. */
export function isBehind(text: string, known: FleetState): boolean {
  const version = text === '' ? 0 : parseFleetState(text)?.version;
  return version !== undefined && version < known.version;
}
