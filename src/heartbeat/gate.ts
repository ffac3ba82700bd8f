import type { ServerResponse } from 'node:http';
import { responseField } from '../internal/http/headers.ts';
import { type Head, Layer, type Rank, rank } from '../internal/seam/layer.ts';
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
  override readonly transforms: boolean = true;
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

  override get wantsFlush(): boolean {
    return false;
  }

  override head(head: Head): boolean {
    const { res, complete } = head;
    const carrier = this.#options.carrierOf(mediaTypeOf(responseField(res, 'content-type')));
    const injection = this.#decide(res as ServerResponse, carrier, complete !== undefined);
    reportInjection(this.#req, injection);
    if (isGone(res) || !isStream(injection)) return this.#stepAside(head);
    const entry = enter(this.doors, this.#req, res);
    if (entry.kind === 'refused') return this.#refuse(head, entry);
    head.onRefused(entry.leave);
    if (injection.kind === 'inject') return this.#watch(head, injection.carrier);
    const isEncoded = carrier?.isEventStream === true && injection.reason === 'encoded';
    return isEncoded ? this.#leaveQuiet(head) : this.#stepAside(head);
  }

  /** It is no stream, or none of ours. */
  #stepAside({ onRefused }: Head): false {
    this.#seam.remove(this);
    onRefused(() => void this.#seam.add(this));
    return false;
  }

  #watch({ onRefused }: Head, carrier: Carrier): true {
    const pulse = new Pulse({ seam: this.#seam, req: this.#req, carrier, options: this.#options });
    pulse.begin();
    this.#seam.replace(this, pulse);
    onRefused(() => {
      pulse.withdraw();
      this.#seam.replace(pulse, this);
    });
    return true;
  }

  #refuse({ onRefused }: Head, { refusal, error }: Extract<Entry, { kind: 'refused' }>): true {
    const refused = new RefusedStream({ seam: this.#seam, req: this.#req, options: refusal, error });
    refused.begin(onRefused);
    this.#seam.replace(this, refused);
    onRefused(() => this.#seam.replace(refused, this));
    return true;
  }

  #leaveQuiet({ res, onRefused }: Head): false {
    warnOfEncoded(this.#req, responseField(res, 'content-encoding'));
    const stream = new EncodedStream(this.#seam, this.#req);
    stream.begin(this.#options);
    this.#seam.replace(this, stream);
    onRefused(() => {
      stream.withdraw();
      this.#seam.replace(stream, this);
    });
    return false;
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
