import type { ServerResponse } from 'node:http';
import { bare, type Carrier, h2c } from './carriers.ts';
import type { Protocol } from './coded-clients.ts';
import { prose } from './texts.ts';

/** A response behind `compress`. */
export type FlushingResponse = ServerResponse & { flush(callback?: () => void): void };

/** How a body is made, and with it which of the engines is at work. */
export interface Engine {
  readonly name: string;
  readonly type: string;
}

export const events: Engine = { name: 'an event stream', type: 'text/event-stream' };
export const long: Engine = { name: 'a long body', type: 'text/plain; charset=utf-8' };
export const streamed = [events, long];

/** Complete bodies below and above what the thread pool gets. */
export const small = prose(4000);
export const large = prose(300_000);

/** The protocols that a contract is kept over, each with its carrier. */
export const both = [
  ['HTTP/1.1', bare],
  ['HTTP/2', h2c],
] as const satisfies readonly (readonly [Protocol, Carrier])[];
