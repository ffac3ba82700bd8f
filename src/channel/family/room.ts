import { ChannelClosedError } from '../../errors.ts';
import { watched } from '../../internal/deferred.ts';
import type { StreamMiddleware } from '../../internal/writer/handler.ts';
import type { Channel, ChannelListeners, LocalChannel } from '../channel.ts';
import type { Publishable } from '../delivery/event.ts';
import { reportChannelError } from '../events.ts';
import type { PublishOptions } from '../options.ts';
import type { SubscribeOptions } from '../subscribe-options.ts';
import type { Subscriber } from '../subscriber.ts';

/** What a room needs of its family. */
export interface RoomHost<M extends object> {
  /** The channel of a key, made if there is none. Throws `ChannelClosedError`. */
  room(key: string): LocalChannel<M>;
  peek(key: string): LocalChannel<M> | undefined;
  free(key: string): void;
  subscribe(keys: () => string, options?: SubscribeOptions<M>): StreamMiddleware;
}

/** The channel of a key, also after it was freed: each use finds the one that there is, or makes one. */
export class Room<M extends object> implements Channel<M> {
  readonly name: string;
  readonly #host: RoomHost<M>;

  constructor(host: RoomHost<M>, key: string) {
    this.#host = host;
    this.name = key;
  }

  publish(event: Publishable<M>, options?: PublishOptions): Promise<string> {
    return this.#use((channel) => channel.publish(event, options));
  }

  end(event?: Publishable<M>): Promise<string> {
    return this.#use((channel) => channel.end(event));
  }

  subscribe(options?: SubscribeOptions<M>): StreamMiddleware {
    return this.#host.subscribe(() => this.name, options);
  }

  subscribers(): readonly Subscriber[] {
    return this.#host.peek(this.name)?.subscribers() ?? [];
  }

  on(event: keyof ChannelListeners, listener: (value: never) => void): () => void {
    return this.#host.room(this.name).on(event, listener);
  }

  close(): void {
    this.#host.free(this.name);
  }

  /** A closed family is a rejection, as a closed channel is. */
  #use(publish: (channel: LocalChannel<M>) => Promise<string>): Promise<string> {
    try {
      return publish(this.#host.room(this.name));
    } catch (error) {
      if (!(error instanceof ChannelClosedError)) throw error;
      return watched(Promise.reject(error), reportChannelError);
    }
  }
}
