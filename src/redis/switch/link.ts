import { MissingPeerError } from '../../errors.ts';
import { Commands } from '../connection/commands.ts';
import type { Link } from '../connection/link.ts';
import { observedLink } from '../connection/observed-link.ts';
import { openSource, type OpenSource } from '../connection/source.ts';
import { Subscriptions } from '../connection/subscriptions.ts';
import { reportRedisError } from '../events.ts';
import type { ResolvedRedisSwitchOptions } from './options.ts';
import { switchScript } from './script.ts';

/** What a switch hears of Redis. */
export interface SwitchReceiver {
  /** Messages come from now on. Again, each time that the connection was lost. */
  onConnected(): void;
  onMessage(text: string): void;
  /** There can be no connection. */
  onMissing(error: MissingPeerError): void;
}

/** The connections of a switch: one for its commands, one for the messages of its fleet. */
export class SwitchLink {
  readonly #options: ResolvedRedisSwitchOptions;
  readonly #source: OpenSource;
  readonly #commandLink: Link;
  readonly #messageLink: Link;
  readonly #commands: Commands;
  readonly #subscriptions: Subscriptions;
  #isClosed = false;

  constructor(options: ResolvedRedisSwitchOptions, receiver: SwitchReceiver) {
    this.#options = options;
    this.#source = openSource(options.source, options.timeout);
    const { commands, subscriptions } = this.#source;
    const onDown = (error: unknown): void => {
      if (error instanceof MissingPeerError) receiver.onMissing(error);
    };
    this.#commandLink = observedLink('commands', commands, options, { onDown });
    this.#messageLink = observedLink('subscriptions', subscriptions, options, {
      onUp: () => this.#subscriptions.renew(),
      onDown,
    });
    this.#commands = new Commands(this.#commandLink, options.timeout);
    this.#subscriptions = new Subscriptions(this.#messageLink, options.timeout, reportRedisError);
    this.#subscriptions.add(options.key, {
      onSubscribed: () => {
        if (!this.#isClosed) receiver.onConnected();
      },
      onMessage: (text) => {
        if (!this.#isClosed) receiver.onMessage(text);
      },
    });
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Runs the script. Rejects with `BackplaneUnavailableError` if Redis does not answer in time. */
  async run(args: readonly string[]): Promise<unknown> {
    const { key, timeout } = this.#options;
    await this.#commands.connected(key, performance.now() + timeout);
    const publish = this.#commandLink.current?.isSharded === true ? 'SPUBLISH' : 'PUBLISH';
    const call = { channel: key, script: switchScript, keys: [key], args: [publish, ...args], patience: timeout };
    return this.#commands.run(call);
  }

  close(): void {
    this.#isClosed = true;
    this.#subscriptions.close();
    this.#commands.close();
    this.#commandLink.close();
    this.#messageLink.close();
    this.#source.close();
  }
}
