import { onTestFinished } from 'vitest';
import { type CloseReason, compress } from '../../src/index.ts';
import { http1Client, http2Client, type UndecodedReading } from './body-clients.ts';
import { bare, type Carrier, h2c, type Middleware } from './carriers.ts';
import { type Coding, decodeStrictly } from './decoders.ts';
import { deferred } from './deferred.ts';
import { serve } from './serve.ts';
import { noise } from './texts.ts';
import { settles, until } from './until.ts';

/** What a stream goes through on its way to a client. */
export interface Wire {
  readonly name: string;
  readonly carrier: Carrier;
  readonly coding: Coding;
}

export const wires: readonly Wire[] = [
  { name: 'HTTP/1.1', carrier: bare, coding: 'identity' },
  { name: 'HTTP/1.1 with gzip', carrier: bare, coding: 'gzip' },
  { name: 'HTTP/2', carrier: h2c, coding: 'identity' },
  { name: 'HTTP/2 with gzip', carrier: h2c, coding: 'gzip' },
];

/** A stream, and the client at its other end, which has stopped reading. */
export interface SlowVisit<S> {
  readonly stream: S;
  readonly reasons: readonly CloseReason[];
  readonly reading: UndecodedReading;
  /** Reads on, and gives the whole text of a body that ends. */
  finish(): Promise<string>;
}

/** @param make - makes the middleware that opens a stream and gives it to `keep` */
export async function visitSlowly<S extends { onClose(listener: (reason: CloseReason) => void): unknown }>(
  wire: Wire,
  make: (keep: (stream: S) => void) => Middleware,
): Promise<SlowVisit<S>> {
  const kept = deferred<S>();
  const reasons: CloseReason[] = [];
  const running = await serve(
    wire.carrier,
    compress(),
    make((stream) => {
      stream.onClose((reason) => reasons.push(reason));
      kept.resolve(stream);
    }),
  );
  const client = wire.carrier.protocol === 'http1' ? http1Client(running) : http2Client(running);
  onTestFinished(() => client.close());
  const reading = await client.get('/', wire.coding === 'identity' ? undefined : wire.coding);
  if (reading.coding !== wire.coding) throw new Error(`coded as ${reading.coding}`);
  reading.pause();
  return {
    stream: await settles(kept.promise),
    reasons,
    reading,
    finish: async () => {
      reading.resume();
      const over = await settles(reading.over);
      if (over !== 'end') throw new Error(`the body is ${over}`);
      return decodeStrictly(wire.coding, reading.bytes).toString();
    },
  };
}

/** Text that no coding makes much shorter: 4 kB, another for each number. */
export function bulk(number: number): string {
  return noise(4000, number);
}

/** Sends on and on, without waiting, until something has happened; gives what became of each send. */
export async function sendUntil(
  happened: () => boolean,
  send: (number: number) => Promise<void>,
): Promise<{ sends: Promise<void>[] }> {
  const sends: Promise<void>[] = [];
  // The kernel takes some megabytes before a client that does not read is felt.
  await until(
    () => {
      for (let burst = 0; burst < 20 && !happened(); burst++) sends.push(send(sends.length));
      return happened();
    },
    () => `nothing happened in ${sends.length} sends`,
  );
  return { sends };
}

/** Reads a little now and then, until it is told to read on. */
export function readSlowly(reading: Pick<UndecodedReading, 'pause' | 'resume'>): () => void {
  let slow = true;
  const timer = setInterval(() => {
    reading.resume();
    // One that is still due when the client stops being slow must not pause it for good.
    setImmediate(() => {
      if (slow) reading.pause();
    });
  }, 1);
  const readOn = (): void => {
    slow = false;
    clearInterval(timer);
    reading.resume();
  };
  onTestFinished(readOn);
  return readOn;
}
