import http from 'node:http';
import http2 from 'node:http2';
import { onTestFinished } from 'vitest';
import type { Running } from '../support/carriers.ts';
import { named } from './witness.ts';

/** Requests of one situation that go on together. */
export const crowdSize = 4;

/** What lets the requests of a situation go on at the same time. */
export type Trigger = 'shared promise' | 'equal timers';

/** A point that each request of a crowd waits at, until all are there. */
export class Meeting {
  readonly #trigger: Trigger;
  readonly #points: { count: number; readonly met: Promise<void>; readonly open: () => void }[] = [];

  constructor(trigger: Trigger) {
    this.#trigger = trigger;
  }

  /** Resolves for all in the same tick, or by timers of the same list. */
  async at(point: number): Promise<void> {
    const here = (this.#points[point] ??= makePoint());
    here.count += 1;
    if (here.count === crowdSize) here.open();
    await here.met;
    if (this.#trigger === 'equal timers') await new Promise<void>((resolve) => setTimeout(resolve, 5));
  }
}

function makePoint(): { count: number; readonly met: Promise<void>; readonly open: () => void } {
  let open!: () => void;
  const met = new Promise<void>((resolve) => (open = resolve));
  return { count: 0, met, open };
}

/** One request of a client in this process. */
export interface Call {
  readonly status: number;
  readonly coding: string;
  /** `end` for a whole body, `cut` for one that was not. */
  readonly over: Promise<'end' | 'cut'>;
  leave(): void;
  pause(): void;
  resume(): void;
}

export interface Caller {
  call(owner: string, path: string, headers?: Record<string, string>): Promise<Call>;
}

/** A client of a server, for many requests at once; over HTTP/2 all on one connection. */
export function callerOf(running: Running, protocol: 'http1' | 'http2'): Caller {
  if (protocol === 'http1')
    return { call: (owner, path, headers) => callHttp1(running.port, path, { ...headers, ...named(owner) }) };
  const session = http2.connect(running.origin);
  session.on('error', () => undefined);
  session.setMaxListeners(0);
  onTestFinished(() => session.destroy());
  return { call: (owner, path, headers) => callHttp2(session, path, { ...headers, ...named(owner) }) };
}

// One that is cut before its head has gone out.
const cutCall: Call = {
  status: 0,
  coding: 'none',
  over: Promise.resolve('cut'),
  leave: () => {},
  pause: () => {},
  resume: () => {},
};

function callHttp1(port: number, path: string, headers: Record<string, string>): Promise<Call> {
  return new Promise((resolve) => {
    const req = http.get({ port, host: '127.0.0.1', path, headers, agent: false });
    req.on('error', () => resolve(cutCall));
    req.on('response', (res) => {
      res.on('error', () => undefined);
      res.resume();
      resolve({
        status: res.statusCode ?? 0,
        coding: res.headers['content-encoding'] ?? 'identity',
        over: new Promise((settle) => res.on('close', () => settle(res.complete ? 'end' : 'cut'))),
        leave: () => void req.destroy(),
        pause: () => void res.pause(),
        resume: () => void res.resume(),
      });
    });
  });
}

function callHttp2(session: http2.ClientHttp2Session, path: string, headers: Record<string, string>): Promise<Call> {
  return new Promise((resolve) => {
    const req = session.request({ ':path': path, ...headers });
    let ended = false;
    req.on('error', () => undefined);
    req.on('close', () => resolve(cutCall));
    req.on('response', (fields) => {
      req.on('end', () => (ended = true));
      req.resume();
      resolve({
        status: fields[':status'] ?? 0,
        coding: fields['content-encoding'] ?? 'identity',
        over: new Promise((settle) => req.on('close', () => settle(ended && req.rstCode === 0 ? 'end' : 'cut'))),
        leave: () => void req.close(http2.constants.NGHTTP2_CANCEL),
        pause: () => void req.pause(),
        resume: () => void req.resume(),
      });
    });
  });
}
