import net from 'node:net';
import { onTestFinished } from 'vitest';
import { until } from '../support/until.ts';

/** A frame as it came (RFC 9113 4.1). */
export interface Frame {
  readonly type: string;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

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
];

/** A client that speaks HTTP/2 by hand: it goes on where a library would stop. */
export interface FrameClient {
  readonly frames: readonly Frame[];
  readonly isClosed: boolean;
  /** A GET, complete. Odd ids, ascending. */
  get(stream: number, path: string): void;
  waitFor(type: string, stream?: number): Promise<Frame>;
}

/** Connects with prior knowledge, and sends the preface and empty settings. */
export function connectFrames(port: number): FrameClient {
  const socket = net.connect(port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  const frames: Frame[] = [];
  let received = Buffer.alloc(0);
  let isClosed = false;
  socket.on('error', () => undefined);
  socket.on('close', () => (isClosed = true));
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 9 && received.length >= 9 + received.readUIntBE(0, 3)) {
      const end = 9 + received.readUIntBE(0, 3);
      frames.push({
        type: types[received[3]!] ?? 'unknown',
        flags: received[4]!,
        stream: received.readUInt32BE(5),
        payload: received.subarray(9, end),
      });
      received = received.subarray(end);
    }
  });
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  socket.write(frame(4, 0, 0));
  return {
    frames,
    get isClosed() {
      return isClosed;
    },
    get: (stream, path) => void socket.write(frame(1, 5, stream, fieldsOf(path))),
    waitFor: async (type, stream) => {
      const find = (): Frame | undefined =>
        frames.find((each) => each.type === type && (stream === undefined || each.stream === stream));
      await until(
        () => find() !== undefined,
        () => `no ${type} in ${frames.map((each) => `${each.type}:${each.stream}`).join(' ')}`,
      );
      return find()!;
    },
  };
}

/** What a GOAWAY says: the last stream that was taken in, and the code. */
export function goawayOf({ payload }: Frame): { last: number; code: number } {
  return { last: payload.readUInt32BE(0), code: payload.readUInt32BE(4) };
}

function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

// HPACK (RFC 7541): GET and http from the static table, :path and :authority as literals.
function fieldsOf(path: string): Buffer {
  return Buffer.concat([
    Buffer.from([0x82, 0x86, 0x04, path.length]),
    Buffer.from(path),
    Buffer.from([0x41, 1]),
    Buffer.from('x'),
  ]);
}
