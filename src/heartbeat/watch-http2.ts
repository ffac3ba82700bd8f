import type { Http2SecureServer, Http2Server, Http2Session } from 'node:http2';
import { Server } from 'node:net';
import { InvalidOptionError } from '../errors.ts';
import { healthAdvice, healthNames, type HealthOptions, resolveHealthOptions } from '../internal/health/options.ts';
import { callEach } from '../internal/listeners.ts';
import { type Duration, type OptionNames, readBoolean, readDuration, readOptions } from '../internal/option.ts';
import { defaultInterval, type ResolvedWatchHttp2Options, transportOf } from './session-transport.ts';

/** Options of `watchHttp2`. */
export interface WatchHttp2Options extends HealthOptions {
  /**
   * The least time between two PINGs, however short `every` is. Peers may take more for an attack, and end the session
   * with ENHANCE_YOUR_CALM. Such a peer gets half as many for ten minutes, also on its next session.
   * @defaultValue `'10s'`
   */
  minInterval?: Duration | undefined;
  /** Whether to ping sessions without open streams. Sessions of a client are always pinged. @defaultValue `false` */
  whileIdle?: boolean | undefined;
}

/**
 * Watches the sessions of an HTTP/2 server, or one session, by PINGs. At most one is outstanding, and any frame is a
 * sign of life. If a session is given up, its streams are cut. Returns the undo, which closes nothing. `heartbeat`
 * watches the sessions of its streams itself. Throws `InvalidOptionError`.
 */
export function watchHttp2(
  target: Http2Server | Http2SecureServer | Http2Session,
  given?: WatchHttp2Options,
): () => void {
  const options = resolveWatchHttp2Options(given);
  if (target instanceof Server && 'updateSettings' in target) return watchServer(target, options);
  if (isSession(target)) return transportOf(target, options).undo;
  throw new InvalidOptionError('watchHttp2.target', 'a server or a session of node:http2', target);
}

const names: OptionNames<WatchHttp2Options> = { ...healthNames, minInterval: true, whileIdle: true };

function resolveWatchHttp2Options(given: WatchHttp2Options | undefined): ResolvedWatchHttp2Options {
  const options = readOptions('watchHttp2', given, names, { instead: healthAdvice });
  return {
    ...resolveHealthOptions('watchHttp2', options),
    minInterval: readDuration('watchHttp2.minInterval', options.minInterval ?? defaultInterval),
    whileIdle: readBoolean('watchHttp2.whileIdle', options.whileIdle ?? false),
  };
}

function watchServer(server: Server, options: ResolvedWatchHttp2Options): () => void {
  const undos = new Set<() => void>();
  const serverOnSession = (session: Http2Session): void => {
    const transport = transportOf(session, options);
    const sessionOnClose = (): void => void undos.delete(undo);
    const undo = (): void => {
      session.off('close', sessionOnClose);
      transport.undo();
    };
    undos.add(undo);
    session.once('close', sessionOnClose);
  };
  server.on('session', serverOnSession);
  return () => {
    server.off('session', serverOnSession);
    callEach(
      undos,
      (undo) => undo(),
      (error) => options.registry.fail(error),
    );
    undos.clear();
  };
}

function isSession(value: unknown): value is Http2Session {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as { ping?: unknown }).ping === 'function' &&
    typeof (value as { goaway?: unknown }).goaway === 'function'
  );
}
