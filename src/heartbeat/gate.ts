import type { ServerResponse } from 'node:http';
import { responseField } from '../internal/http/headers.ts';
import { type Head, type HeadOutcome, Layer, type LayerKind, type Rank, rank } from '../internal/seam/layer.ts';
import { mediaTypeOf } from '../internal/http/accept.ts';
import { type HttpRequest, type HttpResponse, isGone } from '../internal/http/message.ts';
import type { Seam } from '../internal/seam/response.ts';
import { type Door, enter, type Entry } from './admission.ts';
import { EncodedStream } from './encoded-stream.ts';
import { type Carrier, decideInjection, type Injection, isStream } from './policy/injection.ts';
import type { ResolvedHeartbeatOptions } from './options.ts';
import { Pulse } from './heartbeat-layer.ts';
import { RefusedStream } from './refused-stream.ts';
import { reportInjection, warnOfEncoded } from './events.ts';

/** What a gate is given. */
export interface GateInput {
  readonly seam: Seam;
  readonly req: HttpRequest;
  readonly options: ResolvedHeartbeatOptions;
  readonly doors: readonly Door[];
}

/** Waits for the head of a response, and takes itself away if that is not the head of a stream. */
export class Gate extends Layer {
  override readonly rank: Rank = rank.heartbeat;
  override readonly kind: LayerKind = 'injector';
  readonly #seam: Seam;
  readonly #req: HttpRequest;
  readonly #options: ResolvedHeartbeatOptions;

  /** Of this mount, and of those that it takes the place of. */
  readonly doors: readonly Door[];

  constructor({ seam, req, options, doors }: GateInput) {
    super();
    this.doors = doors;
    this.#seam = seam;
    this.#req = req;
    this.#options = options;
  }

  override head({ res, complete }: Head): HeadOutcome {
    const carrier = this.#options.carrierOf(mediaTypeOf(responseField(res, 'content-type')));
    const injection = this.#decide(res as ServerResponse, carrier, complete !== undefined);
    reportInjection(this.#req, injection);
    // It is no stream, or none of ours.
    if (isGone(res) || !isStream(injection)) return { kind: 'leave' };
    const entry = enter(this.doors, this.#req, res);
    if (entry.kind === 'refused') return this.#refuse(entry);
    if (injection.kind === 'inject') return this.#watch(injection.carrier, entry.leave);
    const isEncoded = carrier?.isEventStream === true && injection.reason === 'encoded';
    return isEncoded ? this.#leaveQuiet(res, entry.leave) : { kind: 'leave', undo: entry.leave };
  }

  #watch(carrier: Carrier, leave: () => void): HeadOutcome {
    const pulse = new Pulse({ seam: this.#seam, req: this.#req, carrier, options: this.#options });
    pulse.begin();
    const undo = (): void => {
      pulse.withdraw();
      leave();
    };
    return { kind: 'become', layer: pulse, undo };
  }

  #refuse({ refusal, error }: Extract<Entry, { kind: 'refused' }>): HeadOutcome {
    const refused = new RefusedStream({ seam: this.#seam, req: this.#req, options: refusal, error });
    return { kind: 'become', layer: refused, undo: refused.begin() };
  }

  #leaveQuiet(res: HttpResponse, leave: () => void): HeadOutcome {
    warnOfEncoded(this.#req, responseField(res, 'content-encoding'));
    const stream = new EncodedStream(this.#seam, this.#req);
    stream.begin(this.#options);
    const undo = (): void => {
      stream.withdraw();
      leave();
    };
    return { kind: 'become', layer: stream, undo };
  }

  #decide(res: ServerResponse, carrier: Carrier | undefined, isComplete: boolean): Injection {
    return decideInjection({
      method: this.#req.method,
      status: res.statusCode,
      field: (name) => responseField(res, name),
      carrier,
      isComplete,
      // Of streams only, and once it matters.
      isFiltered: carrier !== undefined && !isComplete && !this.#isWanted(res),
    });
  }

  #isWanted(res: HttpResponse): boolean {
    try {
      return this.#options.filter?.(this.#req, res) ?? true;
    } catch (error) {
      this.#options.registry.fail(error);
      return false;
    }
  }
}
