import { IncomingMessage, ServerResponse } from 'node:http';
import { type AddressInfo, type Server, Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import type { HttpRequest, HttpResponse, Next } from '../../src/internal/http/message.ts';
import { lifecycle, type Lifecycle, type LifecycleOptions } from '../../src/lifecycle/index.ts';
import type { Carrier, Middleware } from '../support/carriers.ts';
import { serve, type Served } from '../support/serve.ts';
import { until } from '../support/until.ts';

/** A lifecycle for one test: without signals, and in no hurry to cut. */
export function makeLife(options: LifecycleOptions = {}): Lifecycle {
  const life = lifecycle({ signals: false, preDrain: 0, spread: 0, drainTimeout: '1m', ...options });
  onTestFinished(() => life.close());
  return life;
}

/** Has a load balancer ask once: a drain of what nothing watches has no `preDrain`. */
export function probe(life: Lifecycle): Lifecycle {
  const req = new IncomingMessage(new Socket());
  life.ready(req, new ServerResponse(req));
  return life;
}

/** A stack of middlewares behind a lifecycle that is attached to its server. */
export async function serveAttached(carrier: Carrier, life: Lifecycle, ...stack: Middleware[]): Promise<Served> {
  const served = await serve(carrier, life as Middleware, ...stack);
  onTestFinished(life.attach(served.server));
  return served;
}

/** Answers by path. */
export function routes(
  handlers: Readonly<Record<string, (req: HttpRequest, res: HttpResponse, next: Next) => unknown>>,
): Middleware {
  return (req, res, next) => {
    const [path = ''] = (req.url ?? '').split('?');
    const handler = handlers[path];
    if (handler) return handler(req, res, next);
    res.statusCode = 404;
    res.end('not found');
    return undefined;
  };
}

export function portOf(server: { address(): AddressInfo | string | null }): number {
  return (server.address() as AddressInfo).port;
}

/**
 * What the server knows of its connections, from now on: a client that is connected, or has written, says nothing of
 * that.
 */
export function followConnections(server: Pick<Server, 'on'>): {
  accepted(count: number): Promise<void>;
  heard(bytes?: number): Promise<void>;
} {
  const sockets: Socket[] = [];
  server.on('connection', (socket: Socket) => sockets.push(socket));
  return {
    accepted: (count) => until(() => sockets.length >= count),
    /** From each. */
    heard: (bytes = 1) => until(() => sockets.length > 0 && sockets.every(({ bytesRead }) => bytesRead >= bytes)),
  };
}

/** Counts, and waits for so many. */
export function makeCounter(): { note(): void; reached(count: number): Promise<void> } {
  let calls = 0;
  return { note: () => void (calls += 1), reached: (count) => until(() => calls >= count) };
}

/** A wait of that many milliseconds. */
export function pause(delay: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, delay);
  });
}
