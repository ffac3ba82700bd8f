import type { Socket } from 'node:net';
import { type CloseReason, closeError } from '../errors.ts';
import { Layer, type Rank, rank } from '../internal/seam/layer.ts';
import { type HttpRequest, type HttpResponse, isHttp2 } from '../internal/http/message.ts';
import { abortResponse, closeUnterminated } from '../internal/seam/closing.ts';
import { abortRequest } from '../internal/context/request-context.ts';
import type { Seam } from '../internal/seam/response.ts';
import { type SessionMember, type SessionTransport, watchSession } from './session-transport.ts';
import type { ResolvedHeartbeatOptions } from './options.ts';
import { shortMove } from '../internal/health/transport.ts';

/**
 * An event stream that was encoded nearer to the handler, where no heartbeat can be inserted. TCP keep-alive finds a
 * dead client, or over HTTP/2 the PINGs of its session.
 */
export class EncodedStream extends Layer implements SessionMember {
  override readonly rank: Rank = rank.heartbeat;
  readonly #seam: Seam;
  readonly #req: HttpRequest;
  readonly #res: HttpResponse;
  #session: SessionTransport | undefined;

  constructor(seam: Seam, req: HttpRequest) {
    super();
    this.#seam = seam;
    this.#req = req;
    this.#res = seam.res;
    seam.mayBeQuiet = true;
  }

  begin(options: ResolvedHeartbeatOptions): void {
    const res = this.#res;
    if (!isHttp2(res)) keepAlive(this.#req.socket, options.every);
    else if (res.stream.session) this.#session = watchSession(res.stream.session, options, this);
  }

  /** The head was refused: it was no stream. */
  withdraw(): void {
    this.#seam.mayBeQuiet = false;
    this.close();
  }

  override close(): void {
    this.#session?.forget(this);
  }

  /** The session of the response sends its clients away. */
  evict(reason: CloseReason): void {
    abortRequest(this.#req, closeError(reason));
    closeUnterminated(this.#res, shortMove);
  }

  cut(reason: CloseReason): void {
    abortRequest(this.#req, closeError(reason));
    abortResponse(this.#res);
  }
}

function keepAlive(socket: Partial<Socket>, every: number): void {
  if (every !== Infinity) socket.setKeepAlive?.(true, every);
}
