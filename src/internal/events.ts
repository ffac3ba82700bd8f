import { channel } from 'node:diagnostics_channel';
import debug from 'debug';
import type { CloseReason } from '../errors.ts';
import type { RoutedRequest, RoutedResponse } from './http/framework.ts';
import { type HttpRequest, type HttpResponse, requestLabel } from './http/message.ts';
import { warnUnheard } from './unheard.ts';

/** What `DEBUG=sluice:<part>` prints for a message: a format of `debug` and its values. */
type Line = readonly [format: string, ...values: unknown[]];

/** Of a message that comes too often for a log. */
export const unlogged: unique symbol = Symbol('unlogged');

/** One kind of message, on one `diagnostics_channel`. */
export interface Event<M extends object> {
  /** The name of the channel. */
  readonly name: string;
  /** Whether a message reaches a subscriber or the debug log. Ask before you make one that costs something. */
  readonly isHeard: boolean;
  publish(message: Published<M>): void;
}

/** A message as this library makes it: whatever the framework is. */
type Published<M> = {
  readonly [Name in keyof M]: Name extends 'req'
    ? HttpRequest | Extract<M[Name], undefined>
    : Name extends 'res'
      ? HttpResponse
      : M[Name];
};

/** The events of one part, by the last word of their channel. */
export type Events<M extends Record<keyof M, object>> = { readonly [Name in keyof M]: Event<M[Name]> };

/** The message on `sluice:<part>:error`: an error that no caller could be told of. */
export interface ErrorMessage {
  /** What was thrown, or what a promise rejected with. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as Express types the error of an error handler
  readonly error: any;
  /** The request that it belongs to, if there is one. */
  readonly req: RoutedRequest | undefined;
}

/**
 * Makes the channels `sluice:<part>:<name>` and the debug namespace `sluice:<part>` from one table.
 * @param lines - what the namespace prints for each message, or `unlogged`
 */
export function defineEvents<M extends Record<keyof M, object>>(
  part: string,
  lines: { readonly [Name in keyof M]: ((message: M[Name]) => Line) | typeof unlogged },
): Events<M> {
  const log = debug(`sluice:${part}`);
  const names = Object.keys(lines) as (keyof M & string)[];
  return Object.fromEntries(
    names.map((name) => [name, defineEvent(`sluice:${part}:${name}`, log, lines[name])]),
  ) as unknown as Events<M>;
}

function defineEvent<M extends object>(
  name: string,
  log: debug.Debugger,
  lineOf: ((message: M) => Line) | typeof unlogged,
): Event<M> {
  const subscribers = channel(name);
  // `debug` leaves `enabled` undefined while no namespace was ever enabled.
  const isLogged = (): boolean => lineOf !== unlogged && (log.enabled as boolean | undefined) === true;
  return {
    name,
    get isHeard() {
      return subscribers.hasSubscribers || isLogged();
    },
    publish(published) {
      const message = published as M;
      if (lineOf !== unlogged && log.enabled) log(...(lineOf(message) as [string, ...unknown[]]));
      if (subscribers.hasSubscribers) subscribers.publish(message);
    },
  };
}

/** How a part reports errors that have no caller. */
export interface ErrorEvent extends Event<ErrorMessage> {
  /** Publishes the error. Emits the process warning `SLUICE_UNHANDLED` if the channel has no subscriber. */
  report(message: Published<ErrorMessage>): void;
  /** Emits that warning alone, for an error that is published already. */
  warnIfUnheard(message: Published<ErrorMessage>, consequence?: string): void;
}

type ErrorObserver = (part: string) => void;

const errorObservers = new Set<ErrorObserver>();

/**
 * Calls an observer with the part of each error that is published. It counts as no subscriber: what only counts errors
 * handles none, and the warnings come all the same. Returns the undo.
 */
export function observeErrors(observer: ErrorObserver): () => void {
  errorObservers.add(observer);
  return () => void errorObservers.delete(observer);
}

/** Makes the channel `sluice:<part>:error`. @param hook - the option that takes such errors too, if there is one */
export function defineErrors(part: string, hook?: string): ErrorEvent {
  const name = `sluice:${part}:error`;
  const subscribers = channel(name);
  const log = debug(`sluice:${part}`);
  const subscribe = `subscribe to the diagnostics channel \`${name}\``;
  const handle = hook === undefined ? subscribe : `give the stream an \`${hook}\`, or ${subscribe}`;
  const cure = `To handle such errors, ${handle}.`;
  const event = defineEvent<ErrorMessage>(name, log, ({ req, error }) =>
    req ? ['%s: %O', requestLabel(req), error] : ['%O', error],
  );
  const warnIfUnheard = ({ req, error }: Published<ErrorMessage>, consequence?: string): void => {
    if (!subscribers.hasSubscribers) warnUnheard(error, { cure, req, consequence });
  };
  const publish = (message: Published<ErrorMessage>): void => {
    for (const observer of errorObservers) observer(part);
    event.publish(message);
  };
  return {
    name,
    get isHeard() {
      return event.isHeard;
    },
    publish,
    warnIfUnheard,
    report(message) {
      publish(message);
      warnIfUnheard(message);
    },
  };
}

/** Message on `sluice:stream:error`. */
export type StreamErrorMessage = ErrorMessage;

/** Message on `sluice:stream:open`: the headers of a stream are on their way. */
export interface StreamOpenMessage {
  /** The request that the stream answers. */
  readonly req: RoutedRequest;
  /** Its response. Messages about one response have the same `res`. */
  readonly res: RoutedResponse;
}

/** Message on `sluice:stream:close`. */
export interface StreamCloseMessage {
  /** The request that the stream answered. */
  readonly req: RoutedRequest;
  /** Its response. */
  readonly res: RoutedResponse;
  /** Why it closed. */
  readonly reason: CloseReason;
}

interface StreamEvents {
  readonly open: StreamOpenMessage;
  readonly close: StreamCloseMessage;
}

/** The events of streams and bodies. Every part that works on a response reports them. */
export const streamEvents: Events<StreamEvents> = defineEvents<StreamEvents>('stream', {
  open: ({ req }) => ['%s opened', requestLabel(req)],
  close: ({ req, reason }) => ['%s closed: %s', requestLabel(req), reason],
});

/** For advice about handlers. */
export const streamLog: (format: string, ...values: unknown[]) => void = debug('sluice:stream');

export const streamErrors: ErrorEvent = defineErrors('stream', 'onError');

// An error may first reject a promise that nothing handles, and then, through `await`, end the handler.
const published = new WeakSet();

/**
 * Reports an error that has no caller.
 * @param isHandled - whether a hook of the application gets it
 * @param consequence - what the client sees of it, as a sentence
 */
export function reportError(req: HttpRequest, error: unknown, isHandled = false, consequence?: string): void {
  publishError(req, error);
  if (!isHandled) streamErrors.warnIfUnheard({ req, error }, consequence);
}

/** Publishes an error whose caller may ignore it. Each error once. */
export function publishError(req: HttpRequest, error: unknown): void {
  if (typeof error === 'object' && error !== null) {
    if (published.has(error)) return;
    published.add(error);
  }
  streamErrors.publish({ req, error });
}
