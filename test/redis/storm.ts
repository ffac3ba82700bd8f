import { expect, onTestFinished } from 'vitest';
import { type Channel, createChannel } from '../../src/channel/index.ts';
import { type Backplane, redisBackplane, type RedisBackplaneOptions } from '../../src/redis/index.ts';
import { serveChannel, type Visitor } from '../channel/site.ts';
import { until } from '../support/until.ts';

// Clients of both instances together, and what is published while Redis is in trouble.
const clients = Number(process.env['SLUICE_REDIS_CLIENTS'] ?? 40);
const interval = 5;

// Faults are found soon. A service has 5 s for each.
const quick = { timeout: 400, ping: 400 };

/** One process of a service. */
export interface Instance {
  readonly channel: Channel;
  readonly visitors: readonly Visitor[];
}

/** A process with clients that have nothing yet. */
async function startInstance(name: string, options: RedisBackplaneOptions): Promise<Instance> {
  const backplane = redisBackplane({ ...quick, ...options });
  const channel = createChannel({ name, backplane, history: { count: 100_000, bytes: '100mb' } });
  onTestFinished(() => {
    channel.close();
    return backplane.close();
  });
  const site = await serveChannel(channel, { from: 'earliest' });
  const visitors = await Promise.all(Array.from({ length: clients / 2 }, () => site.join()));
  await until(() => channel.subscribers().length === clients / 2);
  return { channel, visitors };
}

/** Two processes. What the first publishes waits for Redis; what the second publishes is rejected without one. */
export async function startInstances(name: string, options: RedisBackplaneOptions): Promise<readonly Instance[]> {
  return [await startInstance(name, { ...options, wait: '60s' }), await startInstance(name, options)];
}

export interface Published {
  /** What `publish` resolved for. */
  readonly confirmed: string[];
  readonly failed: unknown[];
}

/**
 * Publishes 200 events a second, in turn by each instance, until the trouble is over and more are confirmed. Then ends
 * the channel: the end is the last entry, so that a client that has it has all before it.
 * @param trouble - gets what was published so far
 */
export async function publishThrough(
  instances: readonly Instance[],
  trouble: (published: Published) => Promise<void>,
): Promise<Published> {
  const result: Published = { confirmed: [], failed: [] };
  const pending: Promise<void>[] = [];
  const timer = setInterval(() => {
    const data = `event ${String(pending.length)}`;
    const { channel } = instances[pending.length % instances.length]!;
    const publishing = channel.publish(data).then(
      () => void result.confirmed.push(data),
      (error: unknown) => void result.failed.push(error),
    );
    pending.push(publishing);
  }, interval);
  onTestFinished(() => clearInterval(timer));
  await until(() => result.confirmed.length > 50);
  await trouble(result);
  const before = result.confirmed.length;
  await until(() => result.confirmed.length > before + 100);
  clearInterval(timer);
  await Promise.all(pending);
  await instances[0]!.channel.end();
  return result;
}

/** The texts that a client got; for another event than a message, its name. */
export const textsOf = ({ events }: Visitor): string[] =>
  events.map(({ data, type }) => (type === 'message' ? data : type));

/** What the log has, in its order. */
export async function logOf(name: string, options: RedisBackplaneOptions): Promise<string[]> {
  const backplane: Backplane = redisBackplane(options);
  const log = backplane.open(name, { count: 100_000, bytes: 1e8 }, { entries: () => undefined, lost: () => undefined });
  const page = await log.read(await log.start('earliest'), 100_000);
  log.close();
  await backplane.close();
  if (page.lost !== undefined) throw new Error(page.lost);
  return page.entries.flatMap(({ data }) => data ?? []);
}

/** The log has every event that was confirmed, and each once. Every client has the log. */
export async function expectNothingLost(
  log: readonly string[],
  instances: readonly Instance[],
  { confirmed }: Published,
): Promise<void> {
  expectWhole(log, confirmed);
  for (const visitor of instances.flatMap(({ visitors }) => visitors)) {
    await visitor.over;
    expect(textsOf(visitor)).toEqual(log);
  }
}

/** The log has every event that was confirmed, and each once. */
export function expectWhole(log: readonly string[], confirmed: readonly string[]): void {
  const inLog = new Set(log);
  expect(inLog.size).toBe(log.length);
  expect(confirmed.filter((data) => !inLog.has(data))).toEqual([]);
}

export const codesOf = (errors: readonly unknown[]): string[] => [
  ...new Set(errors.map((error) => (error as { code: string }).code)),
];
