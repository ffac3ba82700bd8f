import { createServer } from 'node:http';
import type { Server } from 'node:net';

/** The clocks of a server that speaks HTTP/1. */
interface Clocks {
  keepAliveTimeout: number;
  headersTimeout: number;
}

/**
 * Lengthens the keep-alive of a server that still has Node's default. Returns the undo, which leaves alone what
 * somebody changed since.
 */
export function lengthenKeepAlive(server: Server, keepAlive: number): () => void {
  const clocks = server as Server & Partial<Clocks>;
  const before = { keepAliveTimeout: clocks.keepAliveTimeout, headersTimeout: clocks.headersTimeout };
  // A server of HTTP/2 alone has none of this.
  if (before.keepAliveTimeout === undefined || before.keepAliveTimeout !== createServer().keepAliveTimeout)
    return () => undefined;
  const after: Clocks = {
    keepAliveTimeout: keepAlive,
    headersTimeout: headersTimeoutAbove(keepAlive, before.headersTimeout ?? 0),
  };
  Object.assign(clocks, after);
  return () => {
    if (clocks.keepAliveTimeout === after.keepAliveTimeout && clocks.headersTimeout === after.headersTimeout)
      Object.assign(clocks, before);
  };
}

// Some versions of Node count it from the end of the request before (nodejs/node#27363). 0 is none.
function headersTimeoutAbove(keepAlive: number, headersTimeout: number): number {
  return headersTimeout === 0 ? 0 : Math.max(headersTimeout, keepAlive + 1000);
}
