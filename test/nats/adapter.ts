import { connect, type NatsConnection } from '@nats-io/transport-node';
import type { Backplane } from '../../src/channel/index.ts';
import { examplesOf, openRoom } from '../support/docs.ts';

/** Options of `natsBackplane`. */
export interface NatsBackplaneOptions {
  readonly name?: string;
  readonly ttl?: number;
  readonly timeout?: number;
}

/** The backplane that docs/nats.md shows, as it stands there; and the package that it imports, with its checks. */
export interface Adapter {
  readonly code: string;
  /** Knows the errors of the backplane as its own. */
  readonly sluice: typeof import('../../src/index.ts');
  natsBackplane(nc: NatsConnection, options?: NatsBackplaneOptions): Promise<Backplane>;
  backplaneChecks: typeof import('../../src/conformance/index.ts').backplaneChecks;
  remove(): void;
}

export async function loadAdapter(): Promise<Adapter> {
  const room = openRoom();
  const code = examplesOf('docs/nats.md').find(({ key }) => key === 'docs/nats.md: The backplane')!.code;
  const loaded = [
    await room.load(room.write('backplane.mjs', code)),
    await room.load(room.write('checks.mjs', "export * from 'sluice/conformance';")),
  ];
  const sluice = await room.load(room.write('sluice.mjs', "export * from 'sluice';"));
  return Object.assign({ code, sluice, remove: room.remove }, ...loaded) as Adapter;
}

/** A connection as the page has it, which finds soon that it is dead, and soon tries again. */
export function connectTo(url: string): Promise<NatsConnection> {
  return connect({ servers: url, maxReconnectAttempts: -1, reconnectTimeWait: 50, pingInterval: 200 });
}
