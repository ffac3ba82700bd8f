/** The keys of one log. They share a hash tag, so that a cluster has them on one node. */
export interface LogKeys {
  readonly state: string;
  /** The stream, and the channel on which new entries are published. */
  readonly stream: string;
  readonly writer: string;
  idempotency(key: string): string;
}

/** @param writer - what makes the appends of this process one after another: no other one has it */
export function keysOf(prefix: string, channel: string, writer: string): LogKeys {
  // A brace in a name would end the tag, and `{}` is none.
  const state = `${prefix}{${channel.replace(/[{}%]/g, encodeURIComponent)}}`;
  return {
    state,
    stream: `${state}:log`,
    writer: `${state}:writer:${writer}`,
    idempotency: (key) => `${state}:once:${key}`,
  };
}
