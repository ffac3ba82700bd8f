import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * A port for a server that is to come back at the same one. It is below those that the kernel gives out by itself: one
 * of these is taken by the next best connection while the server is away.
 */
export async function lastingPort(): Promise<number> {
  for (;;) {
    const port = 12_000 + Math.floor(20_000 * Math.random());
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false)).listen(port, () => resolve(true));
    });
    if (!isFree) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}
