import { onTestFinished } from 'vitest';
import type { Carrier, Middleware, Running } from './carriers.ts';
import { open, type Reading, type RequestInput } from './clients.ts';
import { connectRaw, type RawClient } from './raw.ts';

/** A server, and its clients, that are gone when the test is over. */
export interface Served extends Running {
  /** Sends a request by the server's protocol. */
  visit(input?: RequestInput): Promise<Reading>;
  /** Opens a connection to write bytes on. */
  dial(): Promise<RawClient>;
}

/** Starts a stack of middlewares for one test. */
export async function serve(carrier: Carrier, ...stack: Middleware[]): Promise<Served> {
  return attend(await carrier.start(...stack), carrier.protocol);
}

/** Adds the clients to a server that runs already. */
export function attend(running: Running, protocol: Carrier['protocol'] = 'http1'): Served {
  onTestFinished(() => running.close());
  return {
    ...running,
    async visit(input) {
      const reading = await open(running, protocol, input);
      onTestFinished(() => reading.destroy());
      return reading;
    },
    async dial() {
      const client = await connectRaw(running.port);
      onTestFinished(() => client.destroy());
      return client;
    },
  };
}
