import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { afterAll, afterEach, beforeAll, expect, onTestFinished } from 'vitest';
import {
  compress,
  type CompressErrorMessage,
  type CompressionDecisionMessage,
  type CompressOptions,
} from '../../src/compress/index.ts';
import { bare, type Carrier, h2c, type Middleware, type Running } from './carriers.ts';
import { type CodedReading, type CodedRequest, openCoded, type Protocol } from './coded-clients.ts';
import { until } from './until.ts';

/** A server behind `compress` for all tests of a file or a `describe`, each with handlers of its own. */
export interface CompressSite {
  readonly running: Running;
  /** Mounts a handler for one test. Returns its path. */
  answer(handler: Middleware): string;
  /** Mounts a handler for one test, and sends it a request. */
  visit(handler: Middleware, protocol: Protocol, request?: CodedRequest): Promise<CodedReading>;
}

/** The carrier for a protocol whose subject is not the carrier. */
export function carrierOf(protocol: Protocol): Carrier {
  return protocol === 'HTTP/2' ? h2c : bare;
}

/**
 * Starts one before the tests. After each test no encoder may be open any more, and nothing may have gone wrong in one.
 * @param before - middlewares above `compress`
 */
export function useSite(carrier: Carrier, options: CompressOptions | undefined, ...before: Middleware[]): CompressSite {
  const compression = compress(options);
  return useStack(carrier, [...before, compression as Middleware], () => compression.activeEncoders);
}

/** `useSite` with any stack of middlewares. */
export function useStack(
  carrier: Carrier,
  stack: readonly Middleware[],
  activeEncoders: () => number = () => 0,
): CompressSite {
  const handlers = new Map<string, Middleware>();
  let running: Running | undefined;
  let count = 0;
  let failures: unknown[] = [];
  const noteFailure = (message: unknown): void => void failures.push((message as CompressErrorMessage).error);

  beforeAll(async () => {
    subscribe('sluice:compress:error', noteFailure);
    running = await carrier.start(...stack, async (req, res, next) => {
      try {
        await handlers.get(req.url?.split('?', 1)[0] ?? '')?.(req, res, next);
      } catch (error) {
        next(error);
      }
    });
  });
  afterAll(async () => {
    unsubscribe('sluice:compress:error', noteFailure);
    await running?.close();
  });
  afterEach(async () => {
    const seen = failures;
    failures = [];
    await until(
      () => activeEncoders() === 0,
      () => `${activeEncoders()} encoders are open`,
    );
    expect(seen).toEqual([]);
  });

  const site: CompressSite = {
    get running() {
      if (!running) throw new Error('the site is not up yet');
      return running;
    },
    answer(handler) {
      const path = `/${count++}`;
      handlers.set(path, handler);
      onTestFinished(() => void handlers.delete(path));
      return path;
    },
    async visit(handler, protocol, request) {
      const reading = await openCoded(site.running, protocol, { ...request, path: site.answer(handler) });
      onTestFinished(() => reading.destroy());
      return reading;
    },
  };
  return site;
}

/** What `compress` decides while a test runs. */
export function watchDecisions(): readonly CompressionDecisionMessage[] {
  const seen: CompressionDecisionMessage[] = [];
  const note = (message: unknown): void => void seen.push(message as CompressionDecisionMessage);
  subscribe('sluice:compress:decision', note);
  onTestFinished(() => void unsubscribe('sluice:compress:decision', note));
  return seen;
}
