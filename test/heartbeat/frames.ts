import net from 'node:net';
import tls from 'node:tls';
import { onTestFinished } from 'vitest';
import { until } from '../support/until.ts';

const types = [
  'DATA',
  'HEADERS',
  'PRIORITY',
  'RST_STREAM',
  'SETTINGS',
  'PUSH_PROMISE',
  'PING',
  'GOAWAY',
  'WINDOW_UPDATE',
  'CONTINUATION',
] as const;

export type FrameType = (typeof types)[number];

/** A frame of HTTP/2 (RFC 9113 4.1). */
export function frame(type: FrameType, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = types.indexOf(type);
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A GET, complete. HPACK (RFC 7541): GET and http from the static table, the rest as literals that are not indexed. */
export function getFrame(stream: number, path: string, fields: Readonly<Record<string, string>> = {}): Buffer {
  const literals = Object.entries(fields).map(([name, value]) =>
    Buffer.concat([Buffer.from([0]), literal(name), literal(value)]),
  );
  return frame(
    'HEADERS',
    5,
    stream,
    Buffer.concat([Buffer.from([0x82, 0x86, 0x04]), literal(path), Buffer.from([0x01]), literal('x'), ...literals]),
  );
}

function literal(text: string): Buffer {
  return Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);
}

/** What a client sends first: the preface, and settings. */
export const preface: Buffer = prefaceWith(Buffer.alloc(0));

/** The same with settings of its own. */
export function prefaceWith(settings: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame('SETTINGS', 0, 0, settings)]);
}

/** SETTINGS_INITIAL_WINDOW_SIZE 0 (RFC 9113 6.5.2): nothing may be sent in a stream. */
export const noWindow: Buffer = Buffer.from([0, 4, 0, 0, 0, 0]);

export interface ReceivedFrame {
  readonly type: FrameType | 'unknown';
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** A client that speaks HTTP/2 by hand, and answers nothing by itself. */
export interface FrameClient {
  readonly frames: readonly ReceivedFrame[];
  readonly isClosed: boolean;
  /** The PINGs of the server: not the answers to ours. */
  readonly pings: readonly ReceivedFrame[];
  send(...frames: Uint8Array[]): void;
  /** Answers a PING, with its payload. */
  answer(ping: ReceivedFrame): void;
  waitFor(passes: (frame: ReceivedFrame) => boolean): Promise<ReceivedFrame>;
  destroy(): void;
  reset(): void;
}

export interface FrameClientOptions {
  readonly secure?: boolean;
  readonly settings?: Uint8Array;
  /** Whether it stays when the server has sent its FIN. @defaultValue `false` */
  readonly staysHalfOpen?: boolean;
  /** Of tests that run at once, each has its own. */
  readonly onTestFinished?: (undo: () => void) => void;
}

/** Connects with prior knowledge, or over TLS. */
export function connectFrames(port: number, options: FrameClientOptions = {}): FrameClient {
  const { secure = false, settings = Buffer.alloc(0), onTestFinished: whenOver = onTestFinished } = options;
  const address = { port, host: '127.0.0.1', allowHalfOpen: options.staysHalfOpen ?? false };
  const security = { ALPNProtocols: ['h2'], rejectUnauthorized: false };
  const socket = secure ? tls.connect({ ...address, ...security }) : net.connect(address);
  whenOver(() => void socket.destroy());
  const frames: ReceivedFrame[] = [];
  let rest: Buffer = Buffer.alloc(0);
  let isClosed = false;
  socket.on('error', () => undefined);
  socket.on('close', () => (isClosed = true));
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const end = 9 + rest.readUIntBE(0, 3);
      frames.push({
        type: types[rest[3]!] ?? 'unknown',
        flags: rest[4]!,
        stream: rest.readUInt32BE(5),
        payload: rest.subarray(9, end),
      });
      rest = rest.subarray(end);
    }
  });
  socket.write(prefaceWith(settings));
  return {
    frames,
    get isClosed() {
      return isClosed;
    },
    get pings() {
      return frames.filter(({ type, flags }) => type === 'PING' && flags === 0);
    },
    send: (...all) => void socket.write(Buffer.concat(all)),
    answer: ({ payload }) => void socket.write(frame('PING', 1, 0, payload)),
    async waitFor(passes) {
      await until(
        () => frames.some(passes),
        () => `not in ${frames.map(({ type, stream }) => `${type}:${stream}`).join(' ')}`,
      );
      return frames.find(passes)!;
    },
    destroy: () => void socket.destroy(),
    reset: () => void socket.resetAndDestroy(),
  };
}
