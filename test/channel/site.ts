import { onTestFinished } from 'vitest';
import { type Channel, type ChannelOptions, createChannel, type SubscribeOptions } from '../../src/index.ts';
import { type Carrier, express5, type Middleware } from '../support/carriers.ts';
import { type Reading } from '../support/clients.ts';
import { EventParser, type ParsedEvent } from '../support/event-parser.ts';
import { serve, type Served } from '../support/serve.ts';
import { until } from '../support/until.ts';

/** A channel that is closed when the test is over. */
export function channelOf(options: Partial<ChannelOptions> = {}): Channel {
  const channel = createChannel({ name: 'ticks', ...options });
  onTestFinished(() => channel.close());
  return channel;
}

/** A client of a channel. */
export interface Visitor extends Reading {
  /** The events so far. */
  readonly events: readonly ParsedEvent[];
  /** What its next request would carry. */
  readonly lastEventId: string;
  /** Waits for so many events. */
  count(least: number): Promise<readonly ParsedEvent[]>;
}

/** A server of one channel. */
export interface Site {
  readonly channel: Channel;
  readonly running: Served;
  /** Subscribes, and waits until the channel knows of it. */
  join(headers?: Record<string, string>, path?: string): Promise<Visitor>;
}

/** The request of an `EventSource`. */
export const eventSource = { accept: 'text/event-stream', 'cache-control': 'no-cache' };

export function visitorOf(reading: Reading): Visitor {
  const parsed = (): EventParser => new EventParser().push(Buffer.from(reading.text));
  const visitor: Visitor = Object.create(reading, {
    events: { get: () => parsed().events },
    lastEventId: { get: () => parsed().lastEventId },
    count: {
      value: async (least: number) => {
        await until(
          () => parsed().events.length >= least,
          () => `${String(parsed().events.length)} events of ${String(least)}: ${reading.text.slice(-500)}`,
        );
        return parsed().events;
      },
    },
  }) as Visitor;
  return visitor;
}

export async function serveChannel(
  channel: Channel,
  options?: SubscribeOptions,
  { carrier = express5, before = [] }: { carrier?: Carrier; before?: readonly Middleware[] } = {},
): Promise<Site> {
  const running = await serve(carrier, ...before, channel.subscribe(options) as Middleware);
  return {
    channel,
    running,
    async join(headers = {}, path = '/') {
      const visitor = visitorOf(await running.visit({ headers, path }));
      return visitor;
    },
  };
}

/** The data of events. */
export function dataOf(events: readonly ParsedEvent[]): string[] {
  return events.map(({ data }) => data);
}
