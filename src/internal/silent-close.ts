import type { ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { type HttpResponse, isHttp2 } from './message.ts';

/** Sees to the ways to lose a client of which a response tells by no 'close' of its own. */
export function watchSilentClose(res: HttpResponse, onClose: () => void): void {
  if (isHttp2(res)) res.stream.once('aborted', streamOnAborted);
  else if (!res.socket) watchPipelined(res, onClose);
}

// After a client's reset without an error Node destroys the stream when its writes are done, which they never are: nobody
// takes them. (A reset of our own comes by here too, with an error code.)
function streamOnAborted(this: ServerHttp2Stream): void {
  if (this.rstCode === 0) this.destroy();
}

// Of responses that wait behind others on their connection.
const pipelined = new WeakMap<Socket, Set<() => void>>();

// Before Node 24 a pipelined response whose connection dies before its turn never emits 'close'. One listener for all of a
// connection: a client may send as many requests as it likes.
function watchPipelined(res: ServerResponse, onClose: () => void): void {
  const socket = (res.req as typeof res.req | undefined)?.socket;
  if (!socket) return;
  let waiting = pipelined.get(socket);
  if (!waiting) {
    const created = (waiting = new Set<() => void>());
    pipelined.set(socket, created);
    socket.on('close', () => {
      for (const each of created) each();
    });
  }
  waiting.add(onClose);
  res.once('close', () => pipelined.get(socket)?.delete(onClose));
}
