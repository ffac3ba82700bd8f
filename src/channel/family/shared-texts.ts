import { ChannelText } from '../delivery/channel-text.ts';

/** A text that several clients send. */
export interface Share {
  readonly text: ChannelText;
  /** Frees it with its last user. */
  release(): void;
}

/** The texts of clients that are on the same channels. Each lives as long as it has users. */
export class SharedTexts {
  readonly #texts = new Map<string, { readonly text: ChannelText; users: number }>();

  /** @param name - the same for all that send the same */
  acquire(name: string): Share {
    const held = this.#texts.get(name) ?? { text: new ChannelText(), users: 0 };
    this.#texts.set(name, held);
    held.users += 1;
    return {
      text: held.text,
      release: () => {
        held.users -= 1;
        if (held.users === 0) this.#texts.delete(name);
      },
    };
  }
}
