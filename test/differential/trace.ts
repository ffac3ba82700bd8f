import type { ServerResponse } from 'node:http';
import type { Step } from './script.ts';

/** What a handler sees of its response. */
export interface Trace {
  /** One for each step, in order. */
  readonly calls: Call[];
  /** Callbacks and events, in order. */
  readonly events: string[];
  /** Whether the script was through, and whether it left the response open: it is destroyed then. */
  outcome: 'running' | 'ended' | 'left open';
  /** Of the response when it had closed. */
  last: Sample | undefined;
}

export interface Call {
  readonly step: Step;
  /** Its index in the script. */
  readonly at: number;
  /** What it returned or threw. */
  readonly result: string;
  /** Of the response, directly behind it. */
  readonly sample: Sample;
}

const properties = [
  'headersSent',
  'writableEnded',
  'finished',
  'destroyed',
  'closed',
  'statusCode',
  'statusMessage',
  'writableFinished',
  'writableLength',
] as const;

/** What a response says of itself. */
export type Sample = Readonly<Record<(typeof properties)[number], unknown>>;

/** Of how much waits, only the type: it is the encoder's business. */
export function sample(res: ServerResponse): Sample {
  const seen = Object.fromEntries(properties.map((name) => [name, res[name]])) as Sample;
  return { ...seen, writableLength: typeof seen.writableLength };
}

/** A value that a call returned, as text. */
export function describeValue(value: unknown, res: ServerResponse): string {
  if (value === res) return 'the response';
  if (typeof value !== 'object' && typeof value !== 'string')
    return typeof value === 'function' ? 'a function' : String(value as undefined);
  return JSON.stringify(value, (_key, each: unknown) => (each === res ? 'the response' : each));
}

/** An error by its code, or by what it says. */
export function nameOfError(error: unknown): string {
  const { code, name, message } = error as NodeJS.ErrnoException;
  return code ?? `${name}: ${message}`;
}

/** Whether a call threw. */
export function threw({ result }: Call): boolean {
  return result.startsWith('threw');
}
