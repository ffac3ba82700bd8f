/** A change that the page asks for. */
export type Action =
  | { readonly kind: 'switch'; readonly enabled: boolean }
  | { readonly kind: 'profile'; readonly profile: string }
  | { readonly kind: 'evict'; readonly id: string; readonly registry: number }
  | { readonly kind: 'canary'; readonly name: string; readonly weights: Readonly<Record<string, number>> }
  | { readonly kind: 'drain' };

/** An action as observers of it see it. */
export function describeAction(action: Action): {
  readonly action: Action['kind'];
  readonly target: string | undefined;
  readonly value: boolean | string | Readonly<Record<string, number>> | undefined;
} {
  switch (action.kind) {
    case 'switch':
      return { action: 'switch', target: undefined, value: action.enabled };
    case 'profile':
      return { action: 'profile', target: undefined, value: action.profile };
    case 'evict':
      return { action: 'evict', target: action.id, value: undefined };
    case 'canary':
      return { action: 'canary', target: action.name, value: action.weights };
    case 'drain':
      return { action: 'drain', target: undefined, value: undefined };
  }
}

/** The paths of actions. */
export const actionNames = ['switch', 'evict', 'canary', 'drain'] as const;
export type ActionName = (typeof actionNames)[number];

/** Reads the body of an action. A string says what is wrong with it. */
export function parseAction(name: ActionName, body: unknown): Action | string {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return 'The body must be a JSON object.';
  const fields = body as Readonly<Record<string, unknown>>;
  const stranger = Object.keys(fields).find((key) => !allowed[name].includes(key));
  if (stranger !== undefined) return `The body may have: ${allowed[name].join(', ') || 'nothing'}.`;
  return parsers[name](fields);
}

const allowed: Readonly<Record<ActionName, readonly string[]>> = {
  switch: ['enabled', 'profile'],
  evict: ['id', 'registry'],
  canary: ['name', 'weights'],
  drain: [],
};

type Parser = (fields: Readonly<Record<string, unknown>>) => Action | string;

const parsers: Readonly<Record<ActionName, Parser>> = {
  switch({ enabled, profile }) {
    if (typeof enabled === 'boolean' && profile === undefined) return { kind: 'switch', enabled };
    if (typeof profile === 'string' && enabled === undefined) return { kind: 'profile', profile };
    return 'The body needs either `enabled`, a boolean, or `profile`, the name of a profile.';
  },
  evict({ id, registry = 0 }) {
    if (typeof id !== 'string') return 'The body needs `id`, the id of a connection.';
    if (typeof registry !== 'number' || !Number.isInteger(registry)) return '`registry` must be an integer.';
    return { kind: 'evict', id, registry };
  },
  canary({ name, weights }) {
    if (typeof name !== 'string') return 'The body needs `name`, the name of a canary.';
    if (!isWeights(weights)) return 'The body needs `weights`: a number for each arm that changes.';
    return { kind: 'canary', name, weights };
  },
  drain: () => ({ kind: 'drain' }),
};

function isWeights(value: unknown): value is Readonly<Record<string, number>> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((weight) => typeof weight === 'number')
  );
}
