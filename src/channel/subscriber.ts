import { randomUUID } from 'node:crypto';
import type { RoutedRequest } from '../internal/http/framework.ts';
import type { HttpRequest } from '../internal/http/message.ts';
import { answer } from '../internal/writer/answer.ts';
import type { OutStream } from '../internal/writer/stream.ts';
import type { StreamKind } from '../internal/writer/serve.ts';
import { ndjsonFormat } from '../internal/format/records.ts';
import { OutRecordStream } from '../records/stream.ts';
import { formatPrelude, OutEventStream } from '../sse/stream.ts';
import { hasCursor } from './policy/answer.ts';
import type { SubscriberStream } from './delivery/subscription.ts';
import type { ResolvedSubscribeOptions } from './subscribe-options.ts';

/** A client of a channel. */
export interface Subscriber {
  /** Unique in the world, and not sent. */
  readonly id: string;
  /** Its request. */
  readonly req: RoutedRequest;
  /** What `authorize` said who it is. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- what an application says who a client is
  readonly identity: any;
}

/** The stream of a subscriber, in either form. */
export interface ChannelStream extends SubscriberStream {
  /** Tells the client to come back, and closes. */
  leave(): void;
}

/** The kind of stream that subscribers with these options get. @param isStopped - of a request */
export function streamKindOf(
  options: ResolvedSubscribeOptions,
  isStopped: (req: HttpRequest) => boolean,
): StreamKind<ChannelStream> {
  const never = (): Promise<never> => Promise.reject(new Error('a channel has no source'));
  if (options.as === 'ndjson') {
    const { stream } = options;
    return {
      mediaTypes: ndjsonFormat.mediaTypes,
      typeParameters: '',
      prelude: '',
      options: stream,
      isStopped,
      wrap: (out) => {
        const records = new OutRecordStream(out, ndjsonFormat, stream);
        return { out, finish: () => finish(out, () => records.end()), leave: () => void records.leave() };
      },
      send: never,
    };
  }
  const { stream } = options;
  return {
    mediaTypes: ['text/event-stream'],
    typeParameters: '; charset=utf-8',
    prelude: formatPrelude(stream),
    options: stream,
    isStopped,
    wrap: (out) => {
      const events = new OutEventStream(out, '', stream);
      // Clients that know no ids do not need to be told to stay away.
      const stop = (): Promise<void> => (hasCursor(options.as) ? events.stop() : events.end());
      return { out, finish: () => finish(out, stop), leave: () => void events.leave() };
    },
    send: never,
  };
}

/** A client to which nothing is sent is told by the status not to come back. */
function finish(out: OutStream, stop: () => Promise<void>): void {
  if (out.state === 'open' && !out.started && !out.res.headersSent) {
    out.finishClose('ended');
    answer(out.res, { status: 204 });
  } else void stop();
}

/** What listeners and `subscribers()` see of a client. */
export function makeSubscriber(out: OutStream, identity: unknown): Subscriber {
  let id: string | undefined;
  return {
    get id() {
      return (id ??= randomUUID());
    },
    req: out.req as RoutedRequest,
    identity,
  };
}
