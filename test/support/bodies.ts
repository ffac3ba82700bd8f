import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { sse } from '../../src/index.ts';
import type { Middleware } from './carriers.ts';

type Piece = string | Uint8Array;

/** A way in which a handler makes a body out of pieces. */
export interface BodyStyle {
  readonly name: string;
  /** Whether each piece has to arrive without a flush. */
  readonly isEventStream: boolean;
  /**
   * Sends each piece as soon as the source has it; a string in the form of the style, bytes as they are. A source that
   * fails cuts the body.
   */
  send(source: AsyncIterable<Piece>): Middleware;
  /** Sends all pieces in one turn of the event loop. */
  burst(pieces: readonly Piece[]): Middleware;
  /** The whole text that a client sees. */
  expected(pieces: readonly Piece[]): string;
}

/** A text as an event. */
const asEvent = (text: string): string => `data: ${text}\n\n`;

const joined = (pieces: readonly Piece[]): string =>
  Buffer.concat(pieces.map((piece) => Buffer.from(piece as Uint8Array))).toString();

const events = 'text/event-stream';
const text = 'text/plain; charset=utf-8';

/** Writes as a careful handler does: no faster than the response takes. `false` once it is closed. */
async function writeCarefully(
  res: ServerResponse,
  pieces: AsyncIterable<Piece>,
  format: (text: string) => string,
): Promise<boolean> {
  let settle: (() => void) | undefined;
  let open = true;
  res.on('drain', () => settle?.());
  res.on('close', () => {
    open = false;
    settle?.();
  });
  for await (const piece of pieces) {
    if (!open) return false;
    if (!res.write(typeof piece === 'string' ? format(piece) : piece))
      await new Promise<void>((resolve) => (settle = resolve));
    if (!open) return false;
  }
  return true;
}

function byWrite(name: string, type: string, format: (text: string) => string): BodyStyle {
  return {
    name,
    isEventStream: type === events,
    send: (source) => async (_req, response) => {
      const res = response as ServerResponse;
      res.setHeader('Content-Type', type);
      try {
        if (await writeCarefully(res, source, format)) res.end();
      } catch (error) {
        // With the error: a stream of HTTP/2 that is destroyed without one looks complete.
        res.destroy(error as Error);
      }
    },
    burst: (pieces) => (_req, response) => {
      const res = response as ServerResponse;
      res.setHeader('Content-Type', type);
      for (const piece of pieces) res.write(typeof piece === 'string' ? format(piece) : piece);
      res.end();
    },
    expected: (pieces) => joined(pieces.map((piece) => (typeof piece === 'string' ? format(piece) : piece))),
  };
}

function byStream(name: string, pass: (source: Readable, res: ServerResponse) => unknown): BodyStyle {
  const serve =
    (make: () => Readable): Middleware =>
    (_req, response) => {
      const res = response as ServerResponse;
      res.setHeader('Content-Type', text);
      pass(make(), res);
    };
  return {
    name,
    isEventStream: false,
    send: (source) => serve(() => Readable.from(source)),
    burst: (pieces) => serve(() => Readable.from(pieces)),
    expected: joined,
  };
}

/** An event stream by `sse`. */
export const bySse: BodyStyle = {
  name: 'sse',
  isEventStream: true,
  send: (source) =>
    sse(async function* () {
      for await (const piece of source) yield String(piece);
    }),
  burst: (pieces) =>
    sse(async (stream) => {
      for (const piece of pieces) void stream.send(String(piece));
    }),
  expected: (pieces) => `:ok\n${pieces.map((piece) => asEvent(String(piece))).join('')}`,
};

export const eventsByWrite: BodyStyle = byWrite('events by res.write', events, asEvent);
export const textByWrite: BodyStyle = byWrite('text by res.write', text, String);
export const textByPipeline: BodyStyle = byStream('text by stream.pipeline', (source, res) =>
  pipeline(source, res).catch(() => undefined),
);
export const textByPipe: BodyStyle = byStream('text by readable.pipe', (source, res) => {
  // What `pipe` leaves to its user.
  source.on('error', (error) => res.destroy(error));
  res.on('close', () => source.destroy());
  source.pipe(res);
});

export const bodyStyles: readonly BodyStyle[] = [bySse, eventsByWrite, textByWrite, textByPipeline, textByPipe];
