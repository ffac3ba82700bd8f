import { isSet } from 'node:util/types';
import type { Compression } from '../compress/index.ts';
import type { Deadline } from '../deadline/index.ts';
import { type Heartbeat, watchWebSockets } from '../heartbeat/index.ts';
import { engineOf } from '../internal/http/engine-io.ts';
import type { HttpRequest, HttpResponse, Next } from '../internal/http/message.ts';
import type { Lifecycle } from '../lifecycle/index.ts';
import type { Monitor } from '../monitor/index.ts';
import { makeParts, type Parts, type SluiceOptions } from './options.ts';

/** A part as the type of the options has it: `undefined` where it is `false`, and perhaps where it may be. */
type PartIn<Options, Name, Part> = Name extends keyof Options
  ? Options[Name] extends false
    ? undefined
    : false extends Options[Name]
      ? Part | undefined
      : Part
  : Part;

/** The middleware that `sluice` makes. */
export interface Sluice<Options extends SluiceOptions = SluiceOptions> {
  (req: HttpRequest, res: HttpResponse, next: Next): void;
  /** `undefined` if it is off. */
  readonly monitor: PartIn<Options, 'monitor', Monitor>;
  /** `undefined` if it is off. */
  readonly lifecycle: PartIn<Options, 'lifecycle', Lifecycle>;
  /** `undefined` if it is off. */
  readonly deadline: PartIn<Options, 'deadline', Deadline>;
  /** `undefined` if it is off. */
  readonly heartbeat: PartIn<Options, 'heartbeat', Heartbeat>;
  /** `undefined` if it is off. */
  readonly compress: PartIn<Options, 'compress', Compression>;
  /**
   * Watches a server for the graceful shutdown: call it before the server listens, or in the same tick. Of a WebSocket
   * server, of `ws` or Socket.IO, it also watches the health of its clients. Returns the undo. Throws
   * `InvalidOptionError`.
   */
  attach(server: Parameters<Lifecycle['attach']>[0]): () => void;
  /** Closes the parts that it has made: their timers, listeners and subscriptions. Ends no response. */
  close(): void;
}

type Middleware = (req: HttpRequest, res: HttpResponse, next: Next) => void;

/**
 * All parts in one line: `app.use(sluice())`. Numbers, graceful shutdown, deadlines, heartbeats and compression, in the
 * right order. Each part takes its options, or a middleware of your own, or `false`. Throws `InvalidOptionError`.
 */
export function sluice<Options extends SluiceOptions = object>(
  options?: Options & Readonly<SluiceOptions>,
): Sluice<Options> {
  const parts = makeParts(options);
  const stack = [parts.monitor, parts.lifecycle, parts.deadline, parts.heartbeat, parts.compress].filter(
    (each): each is NonNullable<typeof each> => each !== undefined,
  );
  function sluice(req: HttpRequest, res: HttpResponse, next: Next): void {
    run(stack, 0, { req, res, next });
  }
  return Object.assign(sluice, {
    ...parts,
    attach: (server: object) => attach(parts, server),
    close: () => parts.close(),
  }) as unknown as Sluice<Options>;
}

interface Arrival {
  readonly req: HttpRequest;
  readonly res: HttpResponse;
  readonly next: Next;
}

function run(stack: readonly Middleware[], index: number, arrival: Arrival): void {
  const { req, res, next } = arrival;
  const middleware = stack[index];
  if (!middleware) next();
  else
    middleware(req, res, (error) => {
      if (error === undefined || error === null) run(stack, index + 1, arrival);
      else next(error);
    });
}

function attach({ lifecycle, heartbeat }: Parts, server: object): () => void {
  const detach = lifecycle?.attach(server as Parameters<Lifecycle['attach']>[0]);
  const unwatch =
    heartbeat && hasWebSockets(server)
      ? watchWebSockets(server as Parameters<typeof watchWebSockets>[0], { registry: heartbeat.registry })
      : undefined;
  return () => {
    detach?.();
    unwatch?.();
  };
}

function hasWebSockets(server: object): boolean {
  return ('clients' in server && isSet(server.clients)) || engineOf(server) !== undefined;
}
