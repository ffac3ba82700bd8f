import http from 'node:http';
import { Agent, fetch as undiciFetch } from 'undici';
import { expect, it, onTestFinished } from 'vitest';
import { contextFetch, contextOf, deadline, deadlineInterceptor } from '../../src/deadline/index.ts';
import { bare, listen, type Middleware } from '../support/carriers.ts';
import { serve } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';
import { callerOf, crowdSize, Meeting } from './crowd.ts';
import { mounted, ownerOf, type Place, type Row, Witness } from './witness.ts';

const rows: Readonly<Record<string, Row>> = {
  'fetch that contextFetch wraps': { sees: 'own' },
  'after await contextFetch': { sees: 'own' },
  'after the body': { sees: 'own' },
  'after an aborted fetch': { sees: 'own' },
  'handler onRequestStart': { sees: 'own' },
  'handler onResponseStart': { sees: 'own' },
  'handler onResponseData': { sees: 'own' },
  'handler onResponseEnd': { sees: 'own' },
  'handler onResponseError': { sees: 'own' },
};

/** A service that answers, but for `/never`. */
async function startUpstream(): Promise<string> {
  const running = await listen(
    http.createServer((req, res) => {
      if (req.url === '/never') res.writeHead(200).flushHeaders();
      else setTimeout(() => res.end('answer'), 5);
    }),
  );
  onTestFinished(() => running.close());
  return running.origin;
}

const methods = ['onRequestStart', 'onResponseStart', 'onResponseData', 'onResponseEnd', 'onResponseError'] as const;

it.each(['before', 'behind'] as const)(
  'calls for requests that go on together stay in their contexts, also on one connection, stores set %s',
  async (mount) => {
    const witness = new Witness(rows);
    const upstream = await startUpstream();
    // All calls share a connection, which belongs to the first.
    const pool = new Agent({ connections: 1, pipelining: 1 });
    onTestFinished(() => pool.destroy());
    const agent = pool.compose(deadlineInterceptor());
    const meeting = new Meeting('shared promise');
    const handler: Middleware = async (req, res) => {
      const owner = ownerOf(req);
      const see = (callback: string): void => witness.see(callback, owner);
      const call = (path: string): Promise<void> =>
        new Promise((resolve) => {
          const over = (method: string): void => {
            see(`handler ${method}`);
            if (method === 'onResponseEnd' || method === 'onResponseError') resolve();
          };
          const watched = Object.fromEntries(methods.map((method) => [method, () => over(method)]));
          agent.dispatch({ origin: upstream, path, method: 'GET' }, watched as never);
        });
      const wrapped = contextFetch((input: string, init?: RequestInit) => {
        see('fetch that contextFetch wraps');
        return undiciFetch(input, { ...init, dispatcher: pool } as never);
      });
      await meeting.at(0);
      await call('/');
      const response = await wrapped(`${upstream}/`);
      see('after await contextFetch');
      await response.text();
      see('after the body');
      // These end with the deadline.
      await meeting.at(1);
      await Promise.all([
        call('/never'),
        wrapped(`${upstream}/never`)
          .then((late) => late.text())
          .catch(() => see('after an aborted fetch')),
      ]);
      expect(contextOf(req).signal.aborted).toBe(true);
      res.end();
    };
    const running = await serve(bare, ...mounted(mount, deadline({ default: 3000 }) as Middleware), handler);
    const caller = callerOf(running, 'http1');
    const calls = Array.from({ length: crowdSize }, (_, index) =>
      caller.call(`request ${index + 1}`, '/').then(({ over }) => over),
    );
    await settles(Promise.all(calls));
    expect(running.errors).toEqual([]);
    const place: Place = { carrier: bare.name, protocol: 'http1', mount };
    await until(
      () => witness.unseen(place).length === 0,
      () => `never seen: ${witness.unseen(place).join(', ')}`,
    );
    expect(witness.faults(place)).toEqual([]);
  },
);
