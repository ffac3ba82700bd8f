import http from 'node:http';
import type { ServerResponse } from 'node:http';
import http2 from 'node:http2';
import { setTimeout as delay } from 'node:timers/promises';
import express from 'express';
import express4 from 'express4';
import {
  brotli,
  compress,
  deadline,
  deflate,
  gzip,
  heartbeat,
  type HttpRequest,
  type HttpResponse,
  lifecycle,
  zstd,
} from '../../src/index.ts';
import { listen, type Middleware } from '../support/carriers.ts';
import { Player } from './interpreter.ts';
import type { Message } from './messages.ts';
import { type CarrierName, isHttp2, type Scenario } from './script.ts';
import { nameOfError, type Trace } from './trace.ts';
import { visitHttp1 } from './visit-http1.ts';
import { visitHttp2 } from './visit-http2.ts';

/** What a response goes through. */
export type Dressing = 'bare' | 'lifecycle' | 'deadline' | 'heartbeat' | 'compress' | 'full';

/** What the client saw. */
export interface Visit {
  readonly messages: readonly Message[];
  /** Whether the connection served another request behind it, or how it was left. */
  readonly connection: string;
  /** Whether bytes came that belong to no message. */
  readonly hasRest: boolean;
}

/** All that is seen of one scenario, from both ends. */
export interface Observation extends Visit {
  readonly traces: readonly Trace[];
  /** What nothing has caught. */
  readonly uncaught: readonly string[];
}

/** A server with one dressing, used again and again. */
export interface Site {
  readonly dressing: Dressing;
  observe(scenario: Scenario): Promise<Observation>;
  close(): Promise<void>;
}

interface Stack {
  readonly middlewares: Middleware[];
  attach(server: http.Server | http2.Http2Server): void;
  close(): void;
}

function stackOf(dressing: Dressing): Stack {
  const life = lifecycle({ signals: false });
  // The scripts have bodies for both: encoded at once, and in the thread pool.
  const pool = { syncThreshold: '16kb' };
  const compression = compress({ codecs: [zstd(), brotli(), gzip(pool), deflate(pool)] });
  // In the order of the README. No clock of theirs is due while a scenario runs.
  const parts = {
    lifecycle: life as Middleware,
    deadline: deadline({ default: '60s', idle: '30s' }) as Middleware,
    heartbeat: heartbeat() as Middleware,
    compress: compression as Middleware,
  };
  const middlewares = dressing === 'bare' ? [] : dressing === 'full' ? Object.values(parts) : [parts[dressing]];
  return {
    middlewares,
    attach: (server) => void (middlewares.includes(parts.lifecycle) && life.attach(server)),
    close: () => {
      life.close();
      compression.close();
    },
  };
}

type Listener = (req: HttpRequest, res: HttpResponse) => void;

type AnyServer = http.Server | http2.Http2Server;

function makeServer(carrier: CarrierName, middlewares: readonly Middleware[], last: Listener): AnyServer {
  if (carrier === 'express4' || carrier === 'express5') {
    const app = (carrier === 'express4' ? express4 : express)();
    for (const middleware of [...middlewares, last]) app.use(middleware as express.RequestHandler);
    return http.createServer(app);
  }
  const listener: Listener = (req, res) => {
    const run = (index: number): void => {
      const middleware = middlewares[index];
      if (middleware) void middleware(req, res, () => run(index + 1));
      else last(req, res);
    };
    run(0);
  };
  return carrier === 'http2' ? http2.createServer(listener) : http.createServer(listener);
}

/**
 * Starts a server.
 * @param middleware - in place of the library
 */
export async function openSite(dressing: Dressing, carrier: CarrierName, middleware?: Middleware): Promise<Site> {
  const stack = middleware
    ? { middlewares: [middleware], attach: () => undefined, close: () => undefined }
    : stackOf(dressing);
  let current: Listener | undefined;
  const server = makeServer(carrier, stack.middlewares, (req, res) => current?.(req, res));
  stack.attach(server);
  const running = await listen(server);
  return {
    dressing,
    observe: async (scenario) => {
      const uncaught = watchUncaught();
      const players: Player[] = [];
      current = (req, res) => {
        serve(req, res as ServerResponse, scenario, players);
      };
      try {
        const visit = isHttp2(scenario)
          ? await visitHttp2(running, scenario, players)
          : await visitHttp1(running, scenario, players);
        for (const player of players) player.stop();
        // What an encoder still does for a response that is gone is this scenario's.
        await delay(2);
        return { ...visit, traces: players.map((player) => player.trace), uncaught: uncaught.seen };
      } finally {
        current = undefined;
        uncaught.stop();
      }
    },
    close: async () => {
      await running.close();
      stack.close();
    },
  };
}

function serve(req: HttpRequest, res: ServerResponse, scenario: Scenario, players: Player[]): void {
  if (req.url === '/after') {
    res.end('after');
    return;
  }
  if (scenario.type !== undefined) res.setHeader('Content-Type', scenario.type);
  const steps = req.url === '/second' ? scenario.second : scenario.steps;
  const player = new Player({ res, steps, listens: scenario.listens, isHttp2: isHttp2(scenario) });
  players.push(player);
  void player.play();
}

const uncaughtEvents = ['uncaughtException', 'unhandledRejection'] as const;

/** The test runner's own listeners stand aside meanwhile. */
function watchUncaught(): { readonly seen: string[]; stop(): void } {
  const seen: string[] = [];
  const others = uncaughtEvents.map((event) => process.listeners(event as 'uncaughtException'));
  for (const event of uncaughtEvents) {
    process.removeAllListeners(event);
    process.on(event, (error: unknown) => void seen.push(`${event} ${nameOfError(error)}`));
  }
  return {
    seen,
    stop: () =>
      uncaughtEvents.forEach((event, index) => {
        process.removeAllListeners(event);
        for (const other of others[index]!) process.on(event as 'uncaughtException', other);
      }),
  };
}
