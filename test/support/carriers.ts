import http from 'node:http';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import connect from 'connect';
import express from 'express';
import express4 from 'express4';
import type { HttpRequest, HttpResponse, Next } from '../../src/index.ts';

export type Middleware = (req: HttpRequest, res: HttpResponse, next: Next) => unknown;

/** A server that runs a stack of middlewares for every request, and what tests need of it. */
export interface Running {
  readonly origin: string;
  readonly port: number;
  readonly server: http.Server | http2.Http2Server;
  /** Errors that reached the end of the stack. */
  readonly errors: unknown[];
  close(): Promise<void>;
}

export interface Carrier {
  readonly name: string;
  readonly protocol: 'http1' | 'http2';
  start(...stack: Middleware[]): Promise<Running>;
}

type Listener = (req: HttpRequest, res: HttpResponse) => void;

/** Every way in which a middleware of ours can be mounted. */
export const allCarriers: readonly Carrier[] = [
  carrier('Express 5', 'http1', (stack, errors) => expressApp(express, stack, errors)),
  carrier('Express 4', 'http1', (stack, errors) => expressApp(express4, stack, errors)),
  carrier('connect', 'http1', connectApp),
  carrier('node:http', 'http1', bareApp),
  carrier('node:http2', 'http2', bareApp),
];

// What Express 4 and Connect add to Express 5 is asked on the oldest version of Node, and on the newest: between them
// it is Node that differs.
const repeats = ['Express 4', 'connect'];

/** Those that a test repeats itself over. */
export const carriers: readonly Carrier[] =
  process.env['SLUICE_SUITE'] === 'between' ? allCarriers.filter(({ name }) => !repeats.includes(name)) : allCarriers;

export const http1Carriers: readonly Carrier[] = carriers.filter((each) => each.protocol === 'http1');

/** A framework, for tests whose subject is not the carrier. */
export const express5: Carrier = allCarriers[0]!;

/** The plain one, likewise. */
export const bare: Carrier = allCarriers[3]!;

/** HTTP/2 with prior knowledge, over the compatibility API. */
export const h2c: Carrier = allCarriers[4]!;

function carrier(
  name: string,
  protocol: Carrier['protocol'],
  make: (stack: readonly Middleware[], errors: unknown[]) => Listener,
): Carrier {
  return {
    name,
    protocol,
    start(...stack) {
      const errors: unknown[] = [];
      const listener = make(stack, errors);
      const server = protocol === 'http1' ? http.createServer(listener) : http2.createServer(listener);
      return listen(server, errors);
    },
  };
}

function expressApp(framework: typeof express, stack: readonly Middleware[], errors: unknown[]): Listener {
  const app = framework();
  for (const middleware of stack) app.use(middleware as express.RequestHandler);
  app.use(((error, _req, res, _next) => {
    answerError(errors, error, res);
  }) satisfies express.ErrorRequestHandler);
  return app as unknown as Listener;
}

function connectApp(stack: readonly Middleware[], errors: unknown[]): Listener {
  const app = connect();
  for (const middleware of stack) app.use(middleware as connect.NextHandleFunction);
  app.use(((error, _req, res, _next) => {
    answerError(errors, error, res);
  }) satisfies connect.ErrorHandleFunction);
  return app as unknown as Listener;
}

function bareApp(stack: readonly Middleware[], errors: unknown[]): Listener {
  return (req, res) => {
    const run = (index: number, error?: unknown): void => {
      const middleware = stack[index];
      if (error !== undefined || !middleware) {
        answerError(errors, error ?? new Error('nobody answered'), res);
        return;
      }
      Promise.resolve(middleware(req, res, (failure?: unknown) => run(index + 1, failure))).catch((failure: unknown) =>
        answerError(errors, failure, res),
      );
    };
    run(0);
  };
}

/** As a framework's last handler does: the error's status while there is a head to send, else the connection is cut. */
function answerError(errors: unknown[], error: unknown, res: HttpResponse): void {
  errors.push(error);
  if (res.headersSent) {
    res.destroy();
    return;
  }
  res.statusCode = (error as { status?: number }).status ?? 500;
  res.setHeader('Content-Type', 'text/plain');
  res.end(`error: ${(error as Error).message}`);
}

/** Listens on a free port of the loopback interface. */
export function listen(server: http.Server | http2.Http2Server, errors: unknown[] = []): Promise<Running> {
  const sessions = new Set<http2.Http2Session>();
  server.on('session', (session: http2.Http2Session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      resolve({
        origin: `http://127.0.0.1:${port}`,
        port,
        server,
        errors,
        close: () =>
          new Promise((done) => {
            server.close(() => done());
            if ('closeAllConnections' in server) server.closeAllConnections();
            for (const session of sessions) session.destroy();
          }),
      });
    });
  });
}
